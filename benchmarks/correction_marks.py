"""The person of the correction benchmark: looks at two slides and outlines, roughly, what anybody sees there.

The rule, the same for all seeds: the first two training slides that show tumour are opened. On each, the planted area is
outlined as "!tumour" and the largest focus as "tumour": four regions in all. Outlines are coarse: of a focus eight points at
equal angles around its middle, of the planted area its outline without bends below 80 px (40 µm); each point is then moved at
random by about 30 px (15 µm). Nothing that the model says is looked at, nor any fresh slide.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_wsimil.training.corrections import Correction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from correction_slides import MadeSlide
    from numpy.typing import NDArray

TREMBLE, BEND = 30.0, 80.0  # px
CORNERS = 8
MOST_REGIONS = 5


def corrections(slides: Sequence[MadeSlide], folder: Path, seed: int) -> list[Correction]:
    """What the person marks on two training slides, with the slides' labels; the marks are files in `folder`."""
    random = np.random.default_rng([seed, 4])
    folder.mkdir(parents=True, exist_ok=True)
    opened = [slide for slide in slides if slide.part == "train" and slide.confounder and slide.foci][:2]
    made, count = [], 0
    for slide in opened:
        marked = {
            "!tumour": [_traced(slide.confounder[0], random)],
            "tumour": [_rounded(max(slide.foci, key=lambda focus: float(shapely.Polygon(focus).area)), random)],
        }
        path = folder / f"{slide.name}.geojson"
        path.write_text(json.dumps(_collection(marked)))
        made.append(Correction(slide.path, path, "tumour"))
        count += sum(map(len, marked.values()))
    if len(made) != 2 or count > MOST_REGIONS:
        raise RuntimeError(f"{count} regions on {len(made)} slides: the rule of the experiment is broken.")
    return made


def without_marks(marked: Sequence[Correction]) -> list[Correction]:
    """The same slides with their labels only."""
    return [Correction(one.slide, None, one.label) for one in marked]


def _rounded(outline: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """A few corners around the middle."""
    middle = outline.mean(axis=0)
    away = outline - middle
    angles = np.arctan2(away[:, 1], away[:, 0])
    wanted = np.linspace(-np.pi, np.pi, CORNERS, endpoint=False)
    nearest = [int(np.abs(np.angle(np.exp(1j * (angles - angle)))).argmin()) for angle in wanted]
    return outline[nearest] + random.normal(0, TREMBLE, (CORNERS, 2))


def _traced(outline: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """The outline with few corners."""
    ring = np.asarray(shapely.Polygon(outline).simplify(BEND).exterior.coords)[:-1]
    return ring + random.normal(0, TREMBLE, ring.shape)


def _collection(marked: dict[str, list[NDArray[np.float64]]]) -> dict[str, object]:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]},
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for name, rings in marked.items()
        for ring in rings
    ]
    return {"type": "FeatureCollection", "features": features}
