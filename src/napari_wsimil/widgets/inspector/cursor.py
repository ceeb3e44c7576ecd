"""Where the cursor is on the slide, and where it was clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from superqt.utils import QSignalThrottler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.widgets.session import Session

LOOK_MS = 60
"""Time between two looks while the cursor moves: a move itself only notes the place."""

STILL = 4.0
"""Screen pixels that the mouse may move between press and release of a click."""


class CursorPlace(QObject):
    """Follows the mouse over the canvas as long as a dock is seen.

    Parameters
    ----------
    viewer
        The napari viewer.
    session
        Knows the slide.
    dock
        Nothing is told while it is hidden, and nothing after it is gone.

    Signals
    -------
    moved, clicked
        Carry (x, y) in level-0 pixels of the slide.
    """

    moved = Signal(float, float)
    clicked = Signal(float, float)

    def __init__(self, viewer: Any, session: Session, dock: QWidget) -> None:
        super().__init__(dock)
        self._viewer = viewer
        self._session = session
        self._dock = dock
        self._position: Any = None
        self.following = True
        self._throttle = QSignalThrottler(parent=self)
        self._throttle.setTimeout(LOOK_MS)
        self._throttle.triggered.connect(self._tell)

        def move(_: Any, event: Any) -> None:
            self._move(event)

        def press(_: Any, event: Any) -> Iterator[None]:
            return self._press(event)

        moves, presses = viewer.mouse_move_callbacks, viewer.mouse_drag_callbacks
        moves.append(move)
        presses.append(press)

        def let_go(_: Any = None) -> None:
            moves.remove(move)
            presses.remove(press)

        dock.destroyed.connect(let_go)

    def _move(self, event: Any) -> None:
        if self.following and self._dock.isVisible():
            self._position = event.position
            self._throttle.throttle()

    def _press(self, event: Any) -> Iterator[None]:
        if event.button != 1 or event.modifiers or not self._dock.isVisible() or self._drawing():
            return
        begin, far = event.pos, False
        yield
        while event.type == "mouse_move":
            far = far or max(abs(event.pos - begin)) > STILL
            yield
        place = None if far else self._place(event.position)
        if place is not None:
            self.clicked.emit(*place)

    def _drawing(self) -> bool:
        active = self._viewer.layers.selection.active
        return active is not None and active.mode != "pan_zoom"

    def _tell(self) -> None:
        place = None if not self.following or self._position is None else self._place(self._position)
        if place is not None:
            self.moved.emit(*place)

    def _place(self, position: Any) -> tuple[float, float] | None:
        layer = self._session.slide_layer
        if layer is None:
            return None
        row, column = layer.world_to_data(position)[-2:]
        # napari's pixel 0 has its centre at 0; a slide is measured from its corner.
        return float(column) + 0.5, float(row) + 0.5
