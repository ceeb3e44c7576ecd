"""The check of a draft in a worker thread: the window never waits for a disk, nor for thousands of slides to be dealt out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_wsimil.training.data.drafting import Examination, examine_steps

if TYPE_CHECKING:
    from collections.abc import Generator

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.training.data.drafting import Draft, DraftState
    from napari_wsimil.training.data.drafting.looks import Looks

    Told = Generator[tuple[DraftState, Examination], None, tuple[DraftState, Examination] | str]

WAIT_MS = 60
"""What is changed at one go is checked once."""


class DraftChecker(QObject):
    """Checks a draft after each change; one check at a time, given up where the draft has changed meanwhile.

    Signals
    -------
    told
        The `Examination` so far of the draft as it is; the last one of a check is finished.
    failed
        A sentence: why there was no check.
    """

    told = Signal(object)
    failed = Signal(str)

    def __init__(self, draft: Draft, parent: QWidget) -> None:
        super().__init__(parent)
        self._draft = draft
        self._worker: Any = None
        self._again = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)

    @property
    def running(self) -> bool:
        """Whether something is not checked yet."""
        return self._worker is not None or self._timer.isActive()

    def start(self) -> None:
        """The draft was changed."""
        if self._worker is None:
            self._timer.start(WAIT_MS)
        else:
            self._again = True
            self._worker.quit()

    def _begin(self) -> None:
        # superqt keeps a worker and its arguments for ever; what it has taken out of a list is let go
        self._worker = create_worker(_steps, [(self._draft.state, self._draft.looks)], _ignore_errors=True, _start_thread=False)
        self._worker.yielded.connect(self._take)
        self._worker.returned.connect(self._take)
        self._worker.finished.connect(self._end)
        self.destroyed.connect(self._worker.quit)
        self._worker.start()

    def _take(self, answer: Any) -> None:
        if isinstance(answer, str):
            self.failed.emit(answer)
        elif answer is not None and not self._again and self._draft.accept(*answer):
            self.told.emit(answer[1])

    def _end(self) -> None:
        self._worker = None
        if self._again:
            self._again = False
            self._timer.start(0)


def _steps(task: list[tuple[DraftState, Looks]]) -> Told:
    """Check; errors become values, because superqt's worker never ends after a RuntimeError."""
    state, looks = task.pop()
    steps = examine_steps(state, looks)
    try:
        while True:
            try:
                found = next(steps)
            except StopIteration as end:
                return state, end.value
            yield state, found
    except Exception as error:  # noqa: BLE001 - whatever it is, the window must not wait for ever
        return f"The slides could not be checked: {error or type(error).__name__}."
