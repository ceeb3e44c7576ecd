"""Reads the files of one run in a thread of its own; what it finds waits until the window takes it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_wsimil.errors import WsimilError
from napari_wsimil.training.evaluation.judgement import judgement
from napari_wsimil.training.runs.validation_slides import validation_slides
from napari_wsimil.widgets.training.live.seen import see

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLL_SECONDS, IDLE_SECONDS = 0.2, 1.0
"""Between two looks at a run that goes on, and at one that does not."""

RESULTS_SECONDS = 1.0
"""Scores and sight are looked for after each epoch, and so often besides."""

AT_ONCE = 500
"""Events that are handed over together: what listens to them must be done in a few milliseconds."""

PLOTS = "pyqtgraph"
"""Takes a quarter of a second to be imported, and would take it in the GUI thread else."""

RESULTS = ("sklearn.metrics", "napari_wsimil.inference")
"""Take seconds, in which the run goes on telling what it does."""


class News(NamedTuple):
    """Something new: the name of a signal of `RunWatcher`, and what it carries."""

    signal: str
    value: Any


class RunReader:
    """Follows one run until it is closed.

    Parameters
    ----------
    run
        A handle that nobody else polls.
    """

    def __init__(self, run: Any) -> None:
        self._found: SimpleQueue[News] = SimpleQueue()
        self._over, self._wake = threading.Event(), threading.Event()
        task = (run, self._found, self._over, self._wake)
        threading.Thread(target=_follow, args=task, name="wsimil-run-reader", daemon=True).start()

    def take(self) -> News | None:
        """The oldest news, or None."""
        with suppress(Empty):
            return self._found.get_nowait()
        return None

    def hurry(self) -> None:
        """Look now: something was asked of the run."""
        self._wake.set()

    def close(self) -> None:
        """Read no more; the thread ends soon."""
        self._over.set()
        self._wake.set()


def _follow(run: Any, found: SimpleQueue[News], over: threading.Event, wake: threading.Event) -> None:
    looks = Looks(run)
    while not over.is_set():
        for news in looks.news():
            found.put(news)
            if over.is_set():
                return
        wake.wait(POLL_SECONDS if looks.goes_on else IDLE_SECONDS)
        wake.clear()


def _import_all() -> None:
    for name in RESULTS:
        import_module(name)


class Looks:
    """What is new of a run each time one looks.

    Attributes
    ----------
    goes_on
        Whether something may happen by itself.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self._last: dict[str, Any] = {}
        self._results_at = 0.0
        self._plots = False
        self._importing = threading.Thread(target=_import_all, name="wsimil-run-imports", daemon=True)
        self._importing.start()
        self.goes_on = True

    def news(self) -> Iterator[News]:
        """Look at everything that may have changed; what can't be read now is read the next time."""
        state = self._try(self._run.state)
        # events after the state: a state that ends a run comes when all of them were told
        events = self._try(self._run.poll) or []
        for start in range(0, len(events), AT_ONCE):
            yield News("events", events[start : start + AT_ONCE])
        if state is not None:
            self.goes_on = state.living
            yield from self._if_new("state_changed", state, (state.phase, state.wanted, state.sentence, state.pid))
        if not self._plots:
            self._plots = True
            import_module(PLOTS)
            yield News("ready", None)
        # before the slides, of which it is one
        yield from self._if_new("watches", self._try(lambda: self._run.watched))
        yield from self._if_new("slides", self._try(lambda: validation_slides(self._run.folder)) or None)
        if any(event.kind == "epoch" for event in events) or time.monotonic() - self._results_at > RESULTS_SECONDS:
            yield from self._results()

    def _results(self) -> Iterator[News]:
        if self._importing.is_alive():
            return
        self._results_at = time.monotonic()
        scores = self._try(self._run.scores)
        if scores is not None:
            for news in self._if_new("scored", scores, (scores.stage, scores.epoch, scores.names)):
                yield news
                told = judgement(scores.stage, scores.epoch, scores.classes, scores.targets, scores.probabilities)
                yield News("judged", told)
        sight = self._try(self._run.sight)
        if sight is not None and self._is_new("sighted", (sight.stage, sight.epoch, sight.slide)):
            seen = self._try(lambda: see(sight))
            if seen is not None:
                yield News("sighted", seen)

    def _if_new(self, signal: str, value: Any, known_by: Any = None) -> Iterator[News]:
        if value is not None and self._is_new(signal, value if known_by is None else known_by):
            yield News(signal, value)

    def _is_new(self, signal: str, known_by: Any) -> bool:
        new = signal not in self._last or self._last[signal] != known_by
        self._last[signal] = known_by
        return new

    @staticmethod
    def _try(read: Callable[[], Any]) -> Any:
        """A folder may be gone, a file may be replaced just now."""
        try:
            return read()
        except (WsimilError, OSError, ValueError):
            return None
