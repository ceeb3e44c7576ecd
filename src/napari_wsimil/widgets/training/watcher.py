"""What a run in the background tells, as Qt signals in the GUI thread; its files are read in a thread of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_wsimil.training.history import History
from napari_wsimil.widgets.training.reading import RunReader

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_wsimil.training.background.records import RunState
    from napari_wsimil.training.runs.validation_slides import ValidationSlide

TAKE_MS = 100
"""Between two looks at what was read."""

BUSY_SECONDS = 0.02
"""A long history is told in pieces of this length, and the window answers between them."""


class RunWatcher(QObject):
    """Follows one run at a time.

    Signals
    -------
    attached
        Another run is followed now: the `BackgroundRun`, or None.
    events
        A list of `Event`, oldest first; the first lists after `attached` hold all that happened before. `history` knows them.
    state_changed
        The `RunState`; one that ends the run comes after all of its events.
    watches
        Name of the validation slide that the run looks at after each epoch.
    slides
        The `ValidationSlide`s of the run, as soon as it has dealt them out.
    scored
        The newest `ValidationScores`.
    judged
        Their `Judgement`.
    ready
        What plots need was imported, in the reading thread: using it keeps nobody waiting now.
    sighted
        The newest `Seen`: what the model, as it is now, sees on the chosen slide.

    Attributes
    ----------
    history
        What became of the run so far.
    state
        Its last `RunState`, or None.
    validation_slides, watched
        What `slides` and `watches` told last.
    """

    attached = Signal(object)
    events = Signal(object)
    state_changed = Signal(object)
    watches = Signal(object)
    slides = Signal(object)
    scored = Signal(object)
    judged = Signal(object)
    sighted = Signal(object)
    ready = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._run: Any = None
        self._forget()
        # the thread must end with this object, which it does not know
        self._readers: list[RunReader] = []
        readers = self._readers
        self.destroyed.connect(lambda *_: _close(readers))
        self._timer = QTimer(self)
        self._timer.setInterval(TAKE_MS)
        self._timer.timeout.connect(self._take)

    @property
    def run(self) -> Any:
        """The `BackgroundRun` that is followed, or None."""
        return self._run

    def attach(self, run: Any) -> None:
        """Follow another run, or none; the same one again is read anew."""
        _close(self._readers)
        self._run = run
        self._forget()
        self._timer.stop()
        if run is not None:
            self._readers.append(RunReader(run.again()))
            self._timer.start()
        self.attached.emit(run)

    def hurry(self) -> None:
        """Look at the run now; call it when something was asked of it."""
        for reader in self._readers:
            reader.hurry()

    def _forget(self) -> None:
        self.history = History()
        self.state: RunState | None = None
        self.validation_slides: tuple[ValidationSlide, ...] = ()
        self.watched: str | None = None

    def _take(self) -> None:
        """Tell what was read, for a moment."""
        until = time.perf_counter() + BUSY_SECONDS
        run = self._run
        while time.perf_counter() < until and self._readers and run is self._run:
            news = self._readers[-1].take()
            if news is None:
                self._timer.setInterval(TAKE_MS)
                return
            self._tell(news.signal, news.value)
        self._timer.setInterval(0)

    def _tell(self, signal: str, value: Any) -> None:
        if signal == "events":
            self.history.take(value)
        elif signal == "state_changed":
            self.state = value
            if value.phase == "finished":
                self.history.finish()
        elif signal == "slides":
            self.validation_slides = value
        elif signal == "watches":
            self.watched = value
        getattr(self, signal).emit(value)


def _close(readers: list[RunReader]) -> None:
    while readers:
        readers.pop().close()
