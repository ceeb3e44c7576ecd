"""Parts of a dock that are drawn anew by turns: never two in one moment, and none more often than the eye wants."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

AGAIN_SECONDS = 0.2
"""Between two drawings of one part."""

TURN_MS = 15
"""Between two parts: the window answers meanwhile."""


class Redrawing:
    """Draws what was asked for, while its widget is seen.

    Parameters
    ----------
    widget
        The parts' dock: what is asked for while it is hidden is drawn when it is shown, which it tells by `go_on`.
    parts
        Name -> what draws it, in the order in which they take turns.
    """

    def __init__(self, widget: QWidget, parts: dict[str, Callable[[], Any]]) -> None:
        self._widget, self._parts = widget, parts
        self._asked: set[str] = set()
        self._drawn = dict.fromkeys(parts, -AGAIN_SECONDS)
        self._timer = QTimer(widget)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)

    def ask(self, *names: str) -> None:
        """Draw these parts soon; all where none is named."""
        self._asked |= set(names or self._parts)
        self.go_on()

    def go_on(self) -> None:
        """The widget may be seen now."""
        if self._asked and self._widget.isVisible() and not self._timer.isActive():
            now = time.monotonic()
            soonest = min(self._drawn[name] for name in self._asked) + AGAIN_SECONDS
            self._timer.start(max(TURN_MS, round(1000 * (soonest - now))))

    def _draw(self) -> None:
        """The part that waits longest."""
        if not self._widget.isVisible():
            return
        name = min((name for name in self._parts if name in self._asked), key=lambda name: self._drawn[name], default=None)
        if name is not None:
            self._asked.discard(name)
            self._parts[name]()
            self._drawn[name] = time.monotonic()
            self.go_on()
