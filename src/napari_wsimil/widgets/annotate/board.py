"""What is drawn on the slide of a viewer, and with which class: the part of the dock that knows no buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes
from psygnal import Signal

from napari_wsimil.annotations.classes import same_name
from napari_wsimil.widgets.annotate.brush import is_brush, mask_colours, number_of, place
from napari_wsimil.widgets.annotate.class_book import KEYS, ClassBook
from napari_wsimil.widgets.annotate.raster import raster_colours
from napari_wsimil.widgets.annotate.region_layer import (
    areas_of,
    draw_as,
    drawable,
    drawn_on,
    edges,
    faces,
    layers_of,
    make_layer,
    recolour,
    rename,
    rows_of,
)
from napari_wsimil.widgets.inside_shapes import WITH_AREA
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.annotate.region_layer import Drawn, Origin, Row
    from napari_wsimil.widgets.session import Session

LINE_PIXELS = 2.5
"""Width of an outline on the screen."""

EDITING = ("select", "direct")
"""Modes in which a class is given to what is selected, rather than to what is drawn next."""


def board_of(viewer: Any) -> Board:
    """The one board of a viewer: all docks that draw share it."""
    session = session_of(viewer)
    if session.board is None:
        session.board = Board(viewer, session)
    board: Board = session.board
    return board


class Board:
    """Get the one of a viewer with `board_of`.

    Parameters
    ----------
    viewer
        The napari viewer.
    session
        Says which slide is meant.

    Attributes
    ----------
    files
        Fingerprint of a slide -> where its regions were saved to or opened from.
    dirty
        Fingerprints of slides whose regions were changed since.
    unkept
        Fingerprint -> slide whose regions are not even kept in the cache yet.

    Signals
    -------
    class_chosen
        Another class is drawn now.
    file_read
        The path of a file whose regions are on the slide now.
    """

    class_chosen = Signal()
    file_read = Signal(object)

    def __init__(self, viewer: Any, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.book = ClassBook()
        self.current = self.book.classes[0].name
        self.files: dict[str, Path] = {}
        self.dirty: set[str] = set()
        self.unkept: dict[str, Slide] = {}

    @property
    def slide(self) -> Slide | None:
        """The slide that is meant, or None."""
        return self.session.slide

    @property
    def layer(self) -> Any | None:
        """The Shapes layer with the regions of the slide, or None."""
        return drawable(self.viewer, self.slide)

    @property
    def brush(self) -> Any | None:
        """The layer that is painted on, or None."""
        slide = self.slide
        return next((one for one in self.viewer.layers if slide is not None and is_brush(one, slide)), None)

    def drawn(self) -> Drawn | None:
        """All that is drawn on the slide now."""
        return drawn_on(self.viewer, self.slide) if self.slide is not None else None

    def line_width(self) -> float:
        """Level-0 pixels of an outline that is `LINE_PIXELS` wide on the screen now."""
        mpp = self.slide.mpp if self.slide is not None else None
        return LINE_PIXELS / max(self.viewer.scene.camera.zoom * (mpp or (1.0, 1.0))[1], 1e-9)

    def ready(self) -> Any | None:
        """The layer to draw in, made where there is none; None without a slide."""
        layer = self.layer
        if layer is None and self.slide is not None:
            layer = self.viewer.add_layer(make_layer(self.slide, [], {}, self.book.colour, self.line_width()))
            self.adopt(layer)
        return layer

    def start(self, mode: str) -> None:
        """Draw on the slide, or change what is drawn, by napari's name of the tool; makes the layer where there is none."""
        layer = self.ready()
        if layer is not None:
            self.viewer.layers.selection.active = layer
            layer.visible = True
            self.draw_next()
            layer.mode = mode

    def add_box(self, box: tuple[float, float, float, float], name: str) -> None:
        """Draw a rectangle x0, y0, x1, y1 in level-0 pixels; the tool that is in use stays."""
        layer = self.ready()
        if layer is None:
            return
        draw_as(layer, name, self.book.colour)
        x0, y0, x1, y1 = (side - 0.5 for side in box)
        line = np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])
        colours = {"edge_color": edges([name], self.book.colour), "face_color": faces([name], self.book.colour)}
        layer.add([line], shape_type="rectangle", edge_width=self.line_width(), **colours)
        layer.visible = True
        self.draw_next()

    def adopt(self, layer: Any) -> None:
        """Let the keys 1 to 9 choose the class while a layer is active."""
        for number in range(1, KEYS + 1):
            layer.bind_key(str(number), lambda _, number=number: self.choose_number(number), overwrite=True)

    def choose_number(self, number: int) -> None:
        """Choose the class that a key stands for."""
        if number <= len(self.book.classes):
            self.choose(self.book.classes[number - 1].name)

    def choose(self, name: str) -> None:
        """Draw this class from now on; while shapes are being selected, give it to those that are."""
        self.current = name
        layer = self.layer
        if layer is not None and str(layer.mode) in EDITING and layer.selected_data:
            rename(layer, dict.fromkeys(layer.selected_data, name))
            recolour(layer, self.book.colour)
        self.draw_next()
        self.class_chosen.emit()

    def draw_next(self) -> None:
        """Hand the current class to the layers."""
        layer, brush = self.layer, self.brush
        if layer is not None and str(layer.mode) not in EDITING:
            draw_as(layer, self.current, self.book.colour)
            layer.current_edge_width = self.line_width()
        if brush is not None:
            brush.selected_label = number_of(brush, self.current)
            self.recolour()

    def delete_selected(self) -> int:
        """Delete the selected regions; how many they were."""
        layer = self.layer
        if layer is None:
            return 0
        count = len(layer.selected_data)
        layer.remove_selected()
        return count

    def put(self, layer: Any) -> None:
        """Show a layer with regions in place of the one that was drawn in so far."""
        old = self.layer if isinstance(layer, Shapes) else None
        place = len(self.viewer.layers) if old is None else self.viewer.layers.index(old)
        if old is not None:
            self.viewer.layers.remove(old)
        self.viewer.layers.insert(place, layer)
        added = self.viewer.layers[place]
        self.viewer.layers.selection.active = added
        self.adopt(added)
        self.draw_next()

    def rows(self) -> tuple[list[Row], dict[str, Origin]]:
        """The shapes that are there now."""
        layer = self.layer
        return ([], {}) if layer is None else (rows_of(layer), dict(facts(layer)["origins"]))

    def recolour(self) -> None:
        """Give all that is drawn the colours of the classes."""
        slide = self.slide
        for layer in layers_of(self.viewer, slide) if slide is not None else ():
            if isinstance(layer, Shapes):
                recolour(layer, self.book.colour)
            else:
                raster_colours(layer, self.book.colour)
        if self.brush is not None:
            mask_colours(self.brush, self.book.colour)

    def rename(self, old: str, new: str) -> bool:
        """Give a class and its regions another name; False where there is such a class."""
        if not self.book.rename(old, new):
            return False
        name = found.name if (found := self.book.find(new)) else new
        self._relabel(old, name)
        if same_name(self.current) == same_name(old):
            self.choose(name)
        return True

    def remove(self, name: str) -> None:
        """Take a class away, and what was drawn of it."""
        layer, brush = self.layer, self.brush
        if layer is not None:
            layer.selected_data = {
                number for number, row in enumerate(rows_of(layer)) if same_name(row.name) == same_name(name)
            }
            layer.remove_selected()
        if brush is not None:
            brush.data[brush.data == number_of(brush, name)] = 0
            brush.refresh()
        self.book.remove(name)
        if same_name(self.current) == same_name(name):
            self.choose(self.book.classes[0].name)

    def fit_slide(self) -> None:
        """Lay what is drawn on the slide again: it got another pixel size."""
        slide = self.slide
        if slide is None:
            return
        for layer in filter(None, [*layers_of(self.viewer, slide), self.brush]):
            step = facts(layer).get("step", 1.0)
            for name, value in place(slide, step).items():
                if name != "axis_labels":
                    setattr(layer, name, value)

    def fit_lines(self) -> None:
        """Give outlines the width that suits the zoom."""
        layer, width = self.layer, self.line_width()
        if layer is None or not len(layer.data) or 0.7 < layer.edge_width[0] / width < 1.4:
            return
        layer.edge_width = [width] * len(layer.data)
        layer.refresh()  # napari 0.9 does not draw a new edge width by itself

    def counts(self) -> dict[str, tuple[int, float]]:
        """Class as `same_name` spells it -> number of regions, and their area in level-0 pixels."""
        found: dict[str, tuple[int, float]] = {}
        for name, area in self._areas():
            count, total = found.get(same_name(name), (0, 0.0))
            found[same_name(name)] = (count + 1, total + area)
        return found

    def names(self) -> list[str]:
        """The classes of what is drawn."""
        slide = self.slide
        found: list[str] = []
        for layer in layers_of(self.viewer, slide) if slide is not None else ():
            if isinstance(layer, Shapes):
                found += [row.name for row in rows_of(layer)]
            else:
                found += [region.name for region in facts(layer)["regions"]]
        return list(dict.fromkeys(found))

    def _areas(self) -> list[tuple[str, float]]:
        slide = self.slide
        found: list[tuple[str, float]] = []
        for layer in layers_of(self.viewer, slide) if slide is not None else ():
            if isinstance(layer, Shapes):
                rows = [row for row in rows_of(layer) if row.kind in WITH_AREA]
                found += zip([row.name for row in rows], areas_of(rows), strict=True)
            else:
                found += [(region.name, region.shape.area) for region in facts(layer)["regions"]]
        return found

    def _relabel(self, old: str, new: str) -> None:
        layer, brush = self.layer, self.brush
        if layer is not None:
            rename(layer, {number: new for number, row in enumerate(rows_of(layer)) if same_name(row.name) == same_name(old)})
        if brush is not None:
            names = facts(brush)["names"]
            names[:] = [new if same_name(name) == same_name(old) else name for name in names]
