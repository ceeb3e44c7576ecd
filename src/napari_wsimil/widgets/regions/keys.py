"""Keys of the viewer that step through the regions while the gallery is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

NEXT, BEFORE = "N", "Shift+N"
"""napari uses neither, whichever layer is active; P, for "previous", draws polygons in Shapes layers."""


class StepKeys:
    """`NEXT` and `BEFORE`: always in the dock itself, and in the viewer from `hold` to `let_go`.

    Parameters
    ----------
    viewer
        The napari viewer.
    dock
        The widget in which the keys work as well.
    step
        Called with 1 or -1.
    """

    def __init__(self, viewer: Any, dock: QWidget, step: Callable[[int], None]) -> None:
        self._viewer, self._step = viewer, step
        self._held = False
        for key, by in ((NEXT, 1), (BEFORE, -1)):
            shortcut = QShortcut(QKeySequence(key), dock)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(lambda by=by: step(by))

    def hold(self) -> None:
        """Make the viewer listen to the keys."""
        if not self._held:
            self._held = True
            self._viewer.bind_key(NEXT, lambda _: self._step(1), overwrite=True)
            self._viewer.bind_key(BEFORE, lambda _: self._step(-1), overwrite=True)

    def let_go(self) -> None:
        """Give the keys back."""
        if self._held:
            self._held = False
            for key in (NEXT, BEFORE):
                self._viewer.bind_key(key, None)
