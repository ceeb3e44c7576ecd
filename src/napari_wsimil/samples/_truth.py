"""Ground truth of a generated slide: the tumour foci, and what was planted, as QuPath GeoJSON beside the slide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.samples._layout import Layout

TUMOUR, CONFOUNDER = "Tumour", "Confounder"


def truth_path(slide: str | Path) -> Path:
    """Where the ground truth of a generated slide lies."""
    slide = Path(slide)
    return slide.with_name(f"{slide.stem}.truth.geojson")


def truth_json(layout: Layout) -> str:
    """The foci and the confounder as a FeatureCollection of annotations, level-0 px, closed rings."""
    features = [
        _feature(ring, f"Tumour focus {number}", TUMOUR, [200, 0, 0]) for number, ring in enumerate(layout.foci, start=1)
    ]
    if layout.confounder is not None:
        features.append(_feature(layout.confounder.outline, layout.confounder.kind.capitalize(), CONFOUNDER, [90, 90, 200]))
    return json.dumps({"type": "FeatureCollection", "features": features})


def _feature(ring: NDArray[np.float64], name: str, kind: str, colour: list[int]) -> dict[str, object]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[*np.round(ring, 2).tolist(), np.round(ring[0], 2).tolist()]]},
        "properties": {"objectType": "annotation", "name": name, "classification": {"name": kind, "color": colour}},
    }


def read_truth(slide: str | Path, kind: str = TUMOUR) -> list[NDArray[np.float64]]:
    """Outlines of the tumour foci of a generated slide, each (n, 2) level-0 px (x, y); none on a normal slide.

    Parameters
    ----------
    kind
        "Confounder" gives what was planted instead.
    """
    collection = json.loads(truth_path(slide).read_text())
    return [
        np.asarray(feature["geometry"]["coordinates"][0], np.float64)
        for feature in collection["features"]
        if feature["properties"]["classification"]["name"] == kind
    ]


def tumour_fraction(
    foci: list[NDArray[np.float64]], xy: NDArray[np.int64], size_level0: float, steps: int = 8
) -> NDArray[np.float64]:
    """(N,) share of each patch that lies inside a focus, from `steps` x `steps` points a patch."""
    from skimage.measure import points_in_poly

    offset = (np.arange(steps) + 0.5) * size_level0 / steps
    grid = np.stack(np.meshgrid(offset, offset), axis=-1).reshape(-1, 2)
    points = (xy[:, None, :] + grid).reshape(-1, 2)
    inside = np.zeros(len(points), bool)
    for outline in foci:
        inside |= points_in_poly(points, outline)
    return inside.reshape(len(xy), -1).mean(axis=1)
