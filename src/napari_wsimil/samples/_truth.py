"""Ground truth of a generated slide: the tumour foci as QuPath GeoJSON beside the slide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.samples._layout import Layout


def truth_path(slide: str | Path) -> Path:
    """Where the ground truth of a generated slide lies."""
    slide = Path(slide)
    return slide.with_name(f"{slide.stem}.truth.geojson")


def truth_json(layout: Layout) -> str:
    """The foci as a FeatureCollection of annotations, level-0 px, closed rings."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*np.round(ring, 2).tolist(), np.round(ring[0], 2).tolist()]]},
            "properties": {
                "objectType": "annotation",
                "name": f"Tumour focus {number}",
                "classification": {"name": "Tumour", "color": [200, 0, 0]},
            },
        }
        for number, ring in enumerate(layout.foci, start=1)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def read_truth(slide: str | Path) -> list[NDArray[np.float64]]:
    """Outlines of the tumour foci of a generated slide, each (n, 2) level-0 px (x, y); none on a normal slide."""
    collection = json.loads(truth_path(slide).read_text())
    return [np.asarray(feature["geometry"]["coordinates"][0], np.float64) for feature in collection["features"]]


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
