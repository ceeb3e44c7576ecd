"""Thousands of regions as a picture: napari would need minutes to draw them as shapes, and could not be used then."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import shapely
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_wsimil.annotations.classes import UNCLASSED
from napari_wsimil.widgets.annotate.brush import place
from napari_wsimil.widgets.slide_layer import ANNOTATIONS, KEY, facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_wsimil.annotations import Region
    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.annotate.region_layer import ColourOf

MOST_SHAPES = 2000
MOST_CORNERS = 60_000
"""More than either can't be drawn and edited as shapes without waiting."""

LONGEST = 4096
"""Pixels along the longer side of the picture."""


def too_many(regions: Sequence[Region]) -> bool:
    """Whether regions are shown as a picture rather than as shapes that can be edited."""
    shapes = [region.shape for region in regions]
    return len(regions) > MOST_SHAPES or int(shapely.get_num_coordinates(shapes).sum()) > MOST_CORNERS


def raster_layer(slide: Slide, regions: Sequence[Region], colour_of: ColourOf, name: str) -> Labels:
    """A picture of regions; the regions themselves stay with it, as they were read."""
    step = max(1.0, max(slide.width, slide.height) / LONGEST)
    names = sorted({region.name for region in regions})[:254]
    picture = _painted(regions, names, step, (math.ceil(slide.height / step), math.ceil(slide.width / step)))
    about = {
        "kind": ANNOTATIONS,
        "fingerprint": slide.fingerprint,
        "path": str(slide.path),
        "regions": tuple(regions),
        "names": names,
        "step": step,
    }
    layer = Labels(picture, name=name, opacity=0.5, metadata={KEY: about}, **place(slide, step))
    layer.editable = False
    raster_colours(layer, colour_of)
    return layer


def raster_colours(layer: Any, colour_of: ColourOf) -> None:
    """Give the picture the colours of the classes."""
    colours: dict[int | None, Any] = {None: (0.0, 0.0, 0.0, 0.0), 0: (0.0, 0.0, 0.0, 0.0)}
    for number, name in enumerate(facts(layer)["names"], start=1):
        colours[number] = (*(np.array(colour_of(name) if name else UNCLASSED) / 255), 1.0)
    layer.colormap = DirectLabelColormap(color_dict=colours)


def _painted(regions: Sequence[Region], names: list[str], step: float, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """(rows, columns) number of the class, large regions first, so that those upon them can be seen."""
    picture = np.zeros(shape, np.uint8)
    known = {name: number for number, name in enumerate(names, start=1)}
    for region in sorted(regions, key=lambda region: -region.shape.area):
        for part in shapely.get_parts(region.shape):
            rings = [shapely.get_coordinates(ring) / step - 0.5 for ring in (part.exterior, *part.interiors)]
            lines = [np.rint(ring).astype(np.int32) for ring in rings]
            cv2.fillPoly(picture, lines, known.get(region.name, 255))
    return picture
