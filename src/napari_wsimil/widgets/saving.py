"""Writing a file in a worker thread: the window never waits, and Cancel leaves nothing half-written."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_wsimil.errors import CancelledError, WsimilError
from napari_wsimil.widgets.job import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.inference import Progress

LOOK_MS = 100
"""Time between two looks at how far the writing is."""


class Saving(QObject):
    """One file that is being written; it begins at once.

    Parameters
    ----------
    write
        Called in a worker thread with the keywords `on_progress` and `cancel` of `exports.export`; gives the path written.
    parent
        When it is destroyed the writing stops, and calls nobody.

    Signals
    -------
    progressed
        The latest `Progress`, a few times a second.
    ended
        The `Path`, a `Failure`, or None after Cancel.
    """

    progressed = Signal(object)
    ended = Signal(object)

    def __init__(self, write: Callable[..., Path], parent: QObject) -> None:
        super().__init__(parent)
        self._stop = Event()
        self._latest: list[Progress] = []
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        # superqt keeps a worker and its arguments for ever; what it has taken out of a list is let go.
        worker = create_worker(_written, [write], self._latest, self._stop, _ignore_errors=True, _start_thread=False)
        worker.returned.connect(self._end)
        parent.destroyed.connect(self._stop.set)
        self._timer.start(LOOK_MS)
        worker.start()

    def cancel(self) -> None:
        """Stop at the next strip; `ended` comes with None then."""
        self._stop.set()

    def _look(self) -> None:
        if self._latest:
            self.progressed.emit(self._latest[-1])

    def _end(self, outcome: Any) -> None:
        self._timer.stop()
        self.ended.emit(outcome)
        self.deleteLater()


def _written(task: list[Callable[..., Path]], latest: list[Progress], stop: Event) -> Path | Failure | None:
    """Write; errors become values, because superqt's worker never ends after a RuntimeError."""

    def note(progress: Progress) -> None:
        latest[:] = [progress]

    try:
        return Path(task.pop()(on_progress=note, cancel=stop))
    except CancelledError:
        return None
    except WsimilError as error:
        return Failure(str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the window must hear that it ended
        return Failure(f"Saving failed unexpectedly: {error or type(error).__name__}.", error)
