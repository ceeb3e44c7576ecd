"""The tools: shapes to draw, to select and to change; a brush, and what was painted turned into regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_wsimil.widgets.annotate.brush import resolutions, start_painting
from napari_wsimil.widgets.parts import NarrowButton, combo_item, form, narrow_combo

if TYPE_CHECKING:
    from napari_wsimil.widgets.annotate.board import Board
    from napari_wsimil.widgets.annotate.brush import Resolution

TOOLS = {
    "pan_zoom": ("Move", "Move the slide; regions stay as they are"),
    "add_polygon": ("Polygon", "Click corners; a double click or Escape ends the polygon"),
    "add_polygon_lasso": ("Lasso", "Drag around a region; on a tablet or with the mouse"),
    "add_rectangle": ("Rectangle", "Drag a rectangle; with Shift a square"),
    "add_ellipse": ("Ellipse", "Drag an ellipse; with Shift a circle"),
    "select": ("Select", "Click regions to move them, to change their class, or to delete them"),
    "direct": ("Corners", "Drag single corners of regions; choosing a class changes the selected ones"),
}
"""napari's name of the tool -> what the button says, and its tooltip."""

COLUMNS = 3
PAINTING = {"paint": ("Brush", "Paint the chosen class on the slide"), "erase": ("Erase", "Rub out what was painted")}
NO_SLIDE = "Open a slide to draw on it"


class Tools(QWidget):
    """Buttons that stay pressed while their tool is in use, however it was chosen.

    Parameters
    ----------
    board
        What is drawn on.

    Signals
    -------
    painted
        What was painted shall become regions.
    deleted
        Selected regions were deleted; how many.
    """

    painted = Signal()
    deleted = Signal(int)

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board
        self.buttons = {mode: _tool(mode, *about) for mode, about in TOOLS.items()}
        self.brush_buttons = {mode: _tool(mode, *about) for mode, about in PAINTING.items()}
        self.delete_button = _tool(
            "delete", "Delete", "Delete the selected regions (or press Delete on the slide)", stays=False
        )
        self.resolution = narrow_combo("brush_resolution")
        self.resolution.setAccessibleName("Size of the brush's pixels")
        self.convert_button = NarrowButton("Make regions")
        self.convert_button.setObjectName("make_regions")
        self.convert_button.setToolTip("Make regions of what was painted, exact to its pixels, to be saved with the others")
        self._offered: list[Resolution] = []
        self._lay_out()
        self._connect()

    def show_state(self) -> None:
        """Another slide, prediction, layer or tool: press the button that is meant, and offer what can be done."""
        slide, layer, brush = self._board.slide, self._board.layer, self._board.brush
        active = self._board.viewer.layers.selection.active
        for buttons, of in ((self.buttons, layer), (self.brush_buttons, brush)):
            mode = str(of.mode) if of is not None and of == active else ""
            for name, button in buttons.items():
                button.setChecked(name == mode)
                button.setEnabled(slide is not None)
        self.delete_button.setEnabled(layer is not None)
        self.convert_button.setEnabled(brush is not None)
        self._offer_resolutions()

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(4)
        for number, button in enumerate((*self.buttons.values(), self.delete_button)):
            grid.addWidget(button, number // COLUMNS, number % COLUMNS)
        brush = QHBoxLayout()
        brush.setSpacing(4)
        for button in (*self.brush_buttons.values(), self.convert_button):
            brush.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(grid)
        column.addLayout(form([("Paint at", self.resolution)]))
        column.addLayout(brush)

    def _connect(self) -> None:
        for mode, button in self.buttons.items():
            button.clicked.connect(lambda _, mode=mode: self._draw(mode))
        for mode, button in self.brush_buttons.items():
            button.clicked.connect(lambda _, mode=mode: self._paint(mode))
        self.delete_button.clicked.connect(lambda: self.deleted.emit(self._board.delete_selected()))
        self.convert_button.clicked.connect(self.painted.emit)

    def _draw(self, mode: str) -> None:
        self._board.start(mode)
        self.show_state()

    def _paint(self, mode: str) -> None:
        """Paint on the layer that is there, or on a new one of the chosen resolution."""
        row = self.resolution.currentIndex()
        start_painting(self._board, mode, self._offered[row] if row >= 0 else None)
        self.show_state()

    def _offer_resolutions(self) -> None:
        slide = self._board.slide
        offered = resolutions(slide, self._board.session.prediction) if slide is not None else []
        # what is painted already keeps its size
        self.resolution.setEnabled(bool(offered) and self._board.brush is None)
        if offered == self._offered:
            return
        self._offered = offered
        self.resolution.clear()
        for row, one in enumerate(offered):
            self.resolution.addItem(one.label)
            if one.problem:
                item = combo_item(self.resolution, row)
                item.setEnabled(False)
                item.setToolTip(one.problem)
        usable = [row for row, one in enumerate(offered) if not one.problem]
        self.resolution.setCurrentIndex(usable[0] if usable else -1)
        for button in self.brush_buttons.values():
            button.setEnabled(bool(usable))


def _tool(name: str, text: str, hint: str, *, stays: bool = True) -> QPushButton:
    button = NarrowButton(text)
    button.setObjectName(f"tool_{name}")
    button.setToolTip(hint)
    button.setCheckable(stays)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button
