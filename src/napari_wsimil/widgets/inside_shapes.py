"""The choice to look only inside what the user drew on a slide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import LayerFollower, follow, say, text_label
from napari_wsimil.widgets.slide_layer import ANNOTATIONS, facts
from napari_wsimil.widgets.view_geometry import on_slide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Outline = tuple[tuple[float, float], ...]

WITH_AREA = frozenset({"polygon", "rectangle", "ellipse"})
CORNERS_OF_ELLIPSE = 72
NOTHING_DRAWN = "Only inside drawn shapes"
DRAW_FIRST = "Draw a polygon, rectangle or ellipse in a Shapes layer to look only there."


class InsideShapes(QWidget):
    """A check box that says which shapes it means, and why it can't be ticked where there are none.

    The shapes are those selected in a Shapes layer, else all of it: of the active layer, else of the topmost one in view.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.box = QCheckBox(NOTHING_DRAWN)
        self.box.setObjectName("inside_shapes")
        self.hint = text_label(DRAW_FIRST)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.box)
        column.addWidget(self.hint)
        self._follower = LayerFollower(dict.fromkeys(("data", "highlight", "visible", "name"), self._offer), self)
        layers = viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.events.reordered, layers.selection.events.active):
            follow(event, self._offer, self)
        self._offer()

    def outlines(self, slide_layer: Any) -> tuple[Outline, ...] | None:
        """The chosen shapes as outlines of (x, y) level-0 pixels of a slide; None where everything is wanted."""
        self._offer()
        layer = self._layer()
        if layer is None or not self.box.isChecked():
            return None
        rows, _ = chosen_shapes(layer)
        data, kinds = layer.data, layer.shape_type  # napari makes new lists of them each time
        around = [corners(data[row], kinds[row]) for row in rows]
        return tuple(_outline(on_slide(self._viewer, layer, slide_layer, points)) for points in around)

    def _layer(self) -> Any | None:
        """The layer whose shapes are meant."""
        active = self._viewer.layers.selection.active
        shown = [layer for layer in reversed(self._viewer.layers) if layer.visible]
        for layer in ([active] if active is not None else []) + shown:
            # The boxes of a result are shapes too, and gone with the next prediction.
            drawn = facts(layer).get("kind", ANNOTATIONS) == ANNOTATIONS
            if isinstance(layer, Shapes) and drawn and chosen_shapes(layer)[0]:
                return layer
        return None

    def _offer(self, _: Any = None) -> None:
        """Say what there is to choose now."""
        active = self._viewer.layers.selection.active
        layer = self._layer()
        # Also of a layer without a shape, so as to notice the first one that is drawn.
        self._follower.turn_to(layer or (active if isinstance(active, Shapes) else None))
        self.box.setEnabled(layer is not None)
        say(self.hint, "" if layer is not None else DRAW_FIRST)
        if layer is None:
            self.box.setChecked(False)
            self.box.setText(NOTHING_DRAWN)
            self.box.setToolTip(DRAW_FIRST)
            return
        rows, selected = chosen_shapes(layer)
        what = "selected" if selected else "drawn"
        count = f"{len(rows):,} {what} shapes" if len(rows) > 1 else f"{what} shape"
        self.box.setText(f"Only inside the {count}")
        self.box.setToolTip(
            f"Patches whose centre lies in shapes of layer “{layer.name}”"
            + ("" if selected else "; select some of them to look only there")
        )


def chosen_shapes(layer: Any) -> tuple[list[int], bool]:
    """Rows of the selected shapes that have an area, or of all of them where none is; and whether they were selected."""
    with_area = [row for row, kind in enumerate(layer.shape_type) if kind in WITH_AREA]
    chosen = set(layer.selected_data)
    selected = [row for row in with_area if row in chosen]
    return selected or with_area, bool(selected)


def corners(data: Any, kind: str) -> NDArray[np.float64]:
    """(n, 2) (row, column) around a shape, given its data and its kind as napari names it."""
    drawn = np.asarray(data, float)[:, -2:]
    if kind != "ellipse":
        return drawn
    # napari keeps an ellipse as the four corners of its box, which may be turned.
    turn = np.linspace(0, 2 * np.pi, CORNERS_OF_ELLIPSE, endpoint=False)[:, None]
    across, down = (drawn[1] - drawn[0]) / 2, (drawn[3] - drawn[0]) / 2
    around: NDArray[np.float64] = drawn.mean(axis=0) + np.cos(turn) * across + np.sin(turn) * down
    return around


def _outline(points: NDArray[np.float64]) -> Outline:
    """To a hundredth of a pixel, which can be written down."""
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in points)
