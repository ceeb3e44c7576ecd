"""The layer of regions drawn on a slide: Shapes in level-0 pixels with a class each, and back to regions of files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from napari.layers import Layer, Shapes

from napari_wsimil.annotations import Annotations, Region
from napari_wsimil.annotations.classes import UNCLASSED
from napari_wsimil.annotations.keyholes import outline
from napari_wsimil.annotations.masks import regions_of_mask
from napari_wsimil.annotations.regions import valid_shape
from napari_wsimil.widgets.annotate.brush import is_brush, names_of
from napari_wsimil.widgets.inside_shapes import WITH_AREA, corners
from napari_wsimil.widgets.slide_layer import ANNOTATIONS, KEY, facts, placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.annotations.classes import Colour
    from napari_wsimil.slides import Slide

    ColourOf = Callable[[str], Colour]

NAME = "Annotations"
FACE_ALPHA = 0.18
"""Of the inside of a region: tissue stays readable, and holes can be seen."""


class Row(NamedTuple):
    """One shape of the layer.

    Attributes
    ----------
    data
        (n, 2) float (row, column) as napari has it.
    kind
        napari's name of the shape.
    name
        The class, "" for none.
    source
        The region that it was read from; "" where it was drawn here.
    """

    data: NDArray[np.floating[Any]]
    kind: str
    name: str
    source: str


@dataclass
class Origin:
    """A region that was read from a file, and its outlines as they were put into the layer: napari keeps fewer digits.

    Attributes
    ----------
    region
        As it was read.
    lines
        (n, 2) float32 of each of its parts.
    """

    region: Region
    lines: list[NDArray[np.float32]]


@dataclass(frozen=True)
class Drawn:
    """All that is drawn on a slide, taken from its layers at once, so that another thread can make regions of it.

    Attributes
    ----------
    rows
        Outline of (row, column), class and source of each shape.
    origins
        What was read from files, by source.
    more
        Regions that are shown as a picture.
    masks
        What is painted: numbers, their classes, and the side of a pixel in level-0 pixels.
    """

    rows: tuple[tuple[NDArray[np.float64], str, str], ...] = ()
    origins: dict[str, Origin] = field(default_factory=dict)
    more: tuple[Region, ...] = ()
    masks: tuple[tuple[NDArray[np.uint8], dict[int, str], float], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn."""
        return not self.rows and not self.more and not any(mask.any() for mask, _, _ in self.masks)

    def annotations(self, path: Path) -> Annotations:
        """Regions with a class, and those without; what was read and not changed is exactly what was read."""
        found, done = [*self.more], set[str]()
        whole = self._whole()
        for line, name, source in self.rows:
            if source in whole:
                if source not in done:
                    found.append(self.origins[source].region)
                    done.add(source)
                continue
            shape = valid_shape([shapely.Polygon(line[:, ::-1] + 0.5)]) if len(line) > 2 else shapely.Polygon()
            read = self.origins.get(source)
            if not shape.is_empty:
                found.append(Region(name, shape, read.region.parents if read and read.region.name == name else ()))
        for mask in self.masks:
            found += regions_of_mask(*mask)
        named, unclassed = (tuple(one for one in found if bool(one.name) is told) for told in (True, False))
        return Annotations(path, named, {}, unclassed)

    def _whole(self) -> set[str]:
        """Regions whose shapes are those that were put in, of the class that they had."""
        lines: dict[str, list[NDArray[np.float64]]] = {}
        for line, name, source in self.rows:
            if source in self.origins and name == self.origins[source].region.name:
                lines.setdefault(source, []).append(line)
        return {
            source
            for source, found in lines.items()
            if len(found) == len(put := self.origins[source].lines) and all(map(np.array_equal, found, put))
        }


def is_annotations(layer: Any) -> bool:
    """Whether a layer holds regions drawn on a slide, to be edited or not."""
    return facts(layer).get("kind") == ANNOTATIONS


def layers_of(viewer: Any, slide: Slide) -> list[Any]:
    """The layers with regions on a slide, the topmost first."""
    return [one for one in reversed(viewer.layers) if is_annotations(one) and facts(one)["fingerprint"] == slide.fingerprint]


def drawable(viewer: Any, slide: Slide | None) -> Any | None:
    """The Shapes layer that regions of a slide are drawn in, or None."""
    found = layers_of(viewer, slide) if slide is not None else []
    return next((layer for layer in found if isinstance(layer, Shapes)), None)


def is_drawn_on(viewer: Any, slide: Slide) -> bool:
    """Whether there is a layer to draw or paint on, be it empty."""
    return bool(layers_of(viewer, slide)) or any(is_brush(layer, slide) for layer in viewer.layers)


def drawn_on(viewer: Any, slide: Slide) -> Drawn:
    """Whatever is drawn on a slide now."""
    rows: list[tuple[NDArray[np.float64], str, str]] = []
    origins: dict[str, Origin] = {}
    more: tuple[Region, ...] = ()
    painted = [one for one in viewer.layers if is_brush(one, slide)]
    masks = tuple((np.array(one.data), names_of(one), facts(one)["step"]) for one in painted)
    for layer in layers_of(viewer, slide):
        if not isinstance(layer, Shapes):
            more += facts(layer)["regions"]
            continue
        origins |= facts(layer)["origins"]
        for row in rows_of(layer):
            if row.kind in WITH_AREA:
                rows.append((corners(row.data, row.kind), row.name, row.source))
    return Drawn(tuple(rows), origins, more, masks)


def rows_of(layer: Any) -> list[Row]:
    """The shapes of a layer."""
    columns = layer.features
    names = columns["class"].fillna("").astype(str).tolist()
    sources = columns["source"].fillna("").astype(str).tolist()
    return [Row(*row) for row in zip(layer.data, layer.shape_type, names, sources, strict=True)]


def rows_from(regions: Iterable[Region], label: str, first: int = 1) -> tuple[list[Row], dict[str, Origin]]:
    """Regions as shapes: each part by itself, holes by a bridge to them, which napari does not draw.

    Parameters
    ----------
    regions
        What to show.
    label
        Where they come from, for the column "source", which napari shows in the status bar.
    first
        Number of the first one.
    """
    rows: list[Row] = []
    origins: dict[str, Origin] = {}
    for number, region in enumerate(regions, start=first):
        source = f"{label} #{number}"
        lines = [(outline(part)[:, ::-1] - 0.5).astype(np.float32) for part in shapely.get_parts(region.shape)]
        origins[source] = Origin(region, lines)
        rows += [Row(line, "polygon", region.name, source) for line in lines]
    return rows, origins


def make_layer(slide: Slide, rows: Sequence[Row], origins: dict[str, Origin], colour_of: ColourOf, width: float) -> Any:
    """A layer of its own; may be called in any thread, as napari takes its time to cut shapes into triangles."""
    names = [row.name for row in rows]
    options = {
        "name": NAME,
        "shape_type": [row.kind for row in rows] or "polygon",
        "ndim": 2,
        "features": {"class": np.array(names, object), "source": np.array([row.source for row in rows], object)},
        "edge_width": width,
        "opacity": 1.0,
        "axis_labels": ("y", "x"),
        "metadata": {
            KEY: {"kind": ANNOTATIONS, "fingerprint": slide.fingerprint, "path": str(slide.path), "origins": origins},
        },
        **placement(slide.mpp),
    }
    if rows:
        options |= {"edge_color": edges(names, colour_of), "face_color": faces(names, colour_of)}
    return Layer.create([row.data for row in rows], options, "shapes")


def edges(names: Sequence[str], colour_of: ColourOf) -> NDArray[np.float64]:
    """(n, 4) colours of outlines, 0 to 1."""
    colours = np.array([(*(colour_of(name) if name else UNCLASSED), 255) for name in names], float).reshape(-1, 4)
    return colours / 255


def faces(names: Sequence[str], colour_of: ColourOf) -> NDArray[np.float64]:
    """(n, 4) colours of insides, 0 to 1."""
    return edges(names, colour_of) * (1, 1, 1, FACE_ALPHA)


def recolour(layer: Any, colour_of: ColourOf) -> None:
    """Give every shape the colours of its class."""
    names = [row.name for row in rows_of(layer)]
    if names:
        layer.edge_color = edges(names, colour_of)
        layer.face_color = faces(names, colour_of)


def draw_as(layer: Any, name: str, colour_of: ColourOf) -> None:
    """What is drawn next is of this class; what is selected stays as it is."""
    layer.feature_defaults = {"class": name, "source": ""}
    # napari would give the new colour to what is selected, too
    selected = set(layer.selected_data)
    layer.selected_data = set()
    layer.current_edge_color = edges([name], colour_of)[0]
    layer.current_face_color = faces([name], colour_of)[0]
    layer.selected_data = selected


def rename(layer: Any, names: dict[int, str]) -> None:
    """Give shapes, by their number, another class."""
    features = layer.features.copy()
    column = features["class"].astype(object)
    for number, name in names.items():
        column.iat[number] = name
    features["class"] = column
    layer.features = features


def areas_of(rows: Sequence[Row]) -> list[float]:
    """Areas of shapes in level-0 pixels, holes left out; all at once, as it is asked for after every change."""
    if not rows:
        return []
    points = np.concatenate([np.asarray(row.data, np.float64)[:, -2:] for row in rows])
    counts = np.array([len(row.data) for row in rows])
    starts = np.cumsum(counts) - counts
    ahead = np.arange(1, len(points) + 1)
    ahead[starts + counts - 1] = starts
    (y, x), (v, u) = points.T, points[ahead].T
    around = np.abs(np.add.reduceat(x * v - u * y, starts)) / 2
    round_ones = np.array([row.kind == "ellipse" for row in rows])
    areas: list[float] = np.where(round_ones, around * np.pi / 4, around).tolist()
    return areas
