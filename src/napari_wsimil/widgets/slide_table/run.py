"""A run over many slides in the background: the cohort engine, in this process, out of the window's way."""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import sleep
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject

from napari_wsimil.cohorts import CohortEvent, predict_cohort
from napari_wsimil.errors import CancelledError, WsimilError
from napari_wsimil.widgets.job import Failure, any_running

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from napari_wsimil.cohorts import CohortResult, CohortSlide
    from napari_wsimil.widgets.slide_table.settings import RunSettings

    Steps = Generator[list[CohortEvent], None, CohortResult | Failure | None]

TELL_SECONDS = 0.2
"""Between two reports to the window, each of all that happened meanwhile."""

PAUSED = "Paused until the open slide is predicted."


@dataclass(frozen=True)
class CohortWish:
    """What is to be done.

    Attributes
    ----------
    slides
        All slides of the table.
    only
        Names of those to predict now.
    results
        Folder of the predictions.
    """

    slides: Sequence[CohortSlide]
    only: Sequence[str]
    results: Path
    settings: RunSettings


def cohort_steps(wish: CohortWish, stop: Event) -> Steps:
    """Predict the slides in a thread of their own; yields what happened, several times a second.

    No process is started for it: an encoder takes all cores anyway, one process needs the memory of one model, nothing beside
    the plain installation is needed, and the window waits for it no more than for a single prediction. A prediction that the
    user starts meanwhile has precedence: the run stands still until it has ended, so that the two do not halve each other's
    speed.
    """
    told: SimpleQueue[CohortEvent] = SimpleQueue()
    ended: list[CohortResult | Failure | None] = []
    thread = Thread(target=lambda: ended.append(_run(wish, told, stop)), name="wsimil-many-slides")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(TELL_SECONDS)
            yield _all(told)
        yield _all(told)
        return ended[0]
    finally:
        stop.set()
        thread.join()


def _run(wish: CohortWish, told: SimpleQueue[CohortEvent], stop: Event) -> CohortResult | Failure | None:
    def tell(event: CohortEvent) -> None:
        told.put(event)
        if event.kind == "done":
            wish.settings.trim()
        if any_running() and not stop.is_set():
            told.put(CohortEvent("notice", event.done, event.failed, event.total, text=PAUSED))
            while any_running() and not stop.is_set():
                sleep(TELL_SECONDS)

    try:
        settings = wish.settings.for_cohort()
        return predict_cohort(
            wish.slides, out=wish.results, workers=0, only=wish.only, on_event=tell, cancel=stop.is_set, **settings
        )
    except CancelledError:
        return None
    except WsimilError as error:
        return Failure(str(error))
    except OSError as error:
        return Failure(f"{error.filename or wish.results} can't be read or written ({error.strerror or error}).")
    except Exception as error:  # noqa: BLE001 - whatever it is, the dock must get its buttons back
        return Failure(f"The run failed unexpectedly: {error or type(error).__name__}.", error)


def _all(told: SimpleQueue[CohortEvent]) -> list[CohortEvent]:
    found = []
    try:
        while True:
            found.append(told.get_nowait())
    except Empty:
        return found


def _forwarded(steps: Steps) -> Steps:
    return (yield from steps)


class _Worker(GeneratorWorker):  # type: ignore[misc]
    """A worker that stops its run, and waits for that, when it is stopped itself: by napari when the window is closed."""

    steps: Steps

    def work(self) -> Any:
        try:
            return super().work()
        finally:
            self.steps.close()


class CohortJob(QObject):
    """One run.

    Parameters
    ----------
    on_events
        Called in the GUI thread with lists of `CohortEvent`.
    on_end
        Called once in the GUI thread with the `CohortResult`, a `Failure`, or None after a cancel.
    parent
        The dock; when it is destroyed the run stops and calls nobody.
    """

    def __init__(
        self,
        wish: CohortWish,
        on_events: Callable[[list[CohortEvent]], None],
        on_end: Callable[[Any], None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._stop = stop = Event()
        self._result: Any = None
        self._on_end = on_end
        steps = cohort_steps(wish, stop)
        worker = create_worker(_forwarded, steps, _worker_class=_Worker, _ignore_errors=True, _start_thread=False)
        worker.steps = steps
        worker.yielded.connect(on_events)
        worker.returned.connect(self._keep)
        worker.finished.connect(self._end)
        parent.destroyed.connect(lambda *_: stop.set())
        worker.start()

    def cancel(self) -> None:
        """Stop within the slide in hand; what it has encoded is kept, and `on_end` is called with None."""
        self._stop.set()

    def _keep(self, result: Any) -> None:
        self._result = result

    def _end(self) -> None:
        self._on_end(self._result)
        self.deleteLater()
