"""What a run in the background tells, as Qt signals in the GUI thread; its files are read in a thread of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


class RunWatcher(QObject):
    """Follows one run at a time.

    Signals
    -------
    attached
        Another run is followed now: the `BackgroundRun`, or None.
    events
        A list of `Event`, oldest first; the first list after `attached` holds all that happened before.
    state_changed
        The `RunState`.
    scored
        The newest `ValidationScores`.
    sighted
        The newest `Sight`: what the model, as it is now, sees on the chosen slide.
    """

    attached = Signal(object)
    events = Signal(object)
    state_changed = Signal(object)
    scored = Signal(object)
    sighted = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._run: Any = None

    @property
    def run(self) -> Any:
        """The `BackgroundRun` that is followed, or None."""
        return self._run

    def attach(self, run: Any) -> None:
        """Follow another run, or none."""
        self._run = run
        self.attached.emit(run)
