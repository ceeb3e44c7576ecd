"""A cohort at work: each slide done exactly once, faults that pass tried again, those that stay recorded."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_wsimil.cohorts.events import CohortEvent
from napari_wsimil.cohorts.folder import PARQUET, REPORT
from napari_wsimil.cohorts.report import write_report
from napari_wsimil.cohorts.request import make_job
from napari_wsimil.cohorts.result import CohortResult
from napari_wsimil.cohorts.tables import write_tables
from napari_wsimil.errors import CancelledError, WsimilError, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.cohorts.crews import Crew
    from napari_wsimil.cohorts.folder import CohortFolder
    from napari_wsimil.cohorts.records import Record
    from napari_wsimil.cohorts.request import AskedPrecision, Job, Means, Request
    from napari_wsimil.cohorts.slides import CohortSlide
    from napari_wsimil.cohorts.work import Outcome
    from napari_wsimil.inference import Progress

TICK_SECONDS = 0.2
BACKOFF_SECONDS = 2.0
"""Before the second attempt; twice as long before each further one."""
LONGEST_BACKOFF_SECONDS = 60.0
TABLE_SECONDS = 30.0
"""How often the table is written while slides are done."""
IDLE_SECONDS = 20.0
"""After which the user is told that there is no worker."""


@dataclass
class _Todo:
    """A slide that is not done yet: attempts of this run that went wrong, and when the next may begin."""

    slide: CohortSlide
    wrong: int = 0
    deaths: int = 0
    after: float = 0.0


@dataclass(frozen=True)
class Wish:
    """What a run is to do.

    Attributes
    ----------
    slides
        All slides, with their names.
    retries
        Further attempts at a slide after a fault that may pass.
    skip_failed
        Leave slides that failed in an earlier run as they are.
    only
        Names of the slides to do now; None: all of them. The others stay as they are.
    """

    slides: tuple[CohortSlide, ...]
    request: Request
    means: Means
    retries: int = 2
    skip_failed: bool = False
    only: frozenset[str] | None = None


@dataclass
class CohortRun:
    """One run of a cohort.

    Parameters
    ----------
    folder
        Held by this process.
    cohort
        Its id.
    tell
        Called with each event.
    stop
        Asked several times a second whether to stop.
    """

    folder: CohortFolder
    cohort: str
    wish: Wish
    tell: Callable[[CohortEvent], object]
    stop: Callable[[], bool]
    records: dict[str, Record] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)
    _todo: deque[_Todo] = field(default_factory=deque)
    _working: dict[str, _Todo] = field(default_factory=dict)
    _written: float = 0.0

    def find_done(self) -> bool:
        """See which slides an earlier run has done; returns whether any is left."""
        for slide in self.wish.slides:
            wanted = self.wish.only is None or slide.name in self.wish.only
            record = self.folder.finished(slide, self.wish.request)
            if record is None and (self.wish.skip_failed or not wanted):
                record = self.folder.failed(slide, self.wish.request)
            if record is not None:
                self.records[slide.name] = record
            elif wanted:
                self._todo.append(_Todo(slide))
        self.folder.tidy({name for name, record in self.records.items() if record.status == "done"})
        self._tell("begin")
        return bool(self._todo)

    @property
    def left(self) -> int:
        """Slides that are not done yet."""
        return len(self._todo) + len(self._working)

    def go(self, crew: Crew) -> None:
        """Do what is left.

        Raises
        ------
        CancelledError
            It was stopped.
        WsimilError
            No slide can be done any more: the disk is full, or the scheduler was lost.
        """
        precision = self._precision(crew)
        idle_since: float | None = time.monotonic()
        while self._todo or self._working:
            if self.stop():
                raise CancelledError("The cohort was cancelled; repeat the command to go on.")
            self._start(crew, precision)
            idle_since = self._tell_if_idle(idle_since)
            for job, outcome in crew.ended(TICK_SECONDS):
                self._end(job, outcome)
            if time.monotonic() - self._written > TABLE_SECONDS:
                self.write_tables()

    def _tell_if_idle(self, since: float | None) -> float | None:
        """Say once that nobody works, though there are slides to do; returns since when, None where that was said."""
        waiting = not self._working and all(todo.after <= time.monotonic() for todo in self._todo)
        if not waiting:
            return time.monotonic()
        if since is not None and time.monotonic() - since > IDLE_SECONDS:
            self._tell("notice", text="There is no worker now; the run goes on as soon as one is there.")
            return None
        return since

    def result(self) -> CohortResult:
        """How all slides ended."""
        records = (self.records.get(slide.name) for slide in self.wish.slides)
        return CohortResult(self.folder.path, tuple(record for record in records if record is not None), frozenset(self.new))

    def write_tables(self) -> None:
        """Write the table of all slides, those not done yet as waiting."""
        if not write_tables(self.folder.path, self.wish.slides, self.records, self.wish.request) and not self._written:
            self._tell(
                "notice",
                text=f"{PARQUET} is not written because pyarrow is not installed: pip install 'napari-wsimil[cluster]'.",
            )
        self._written = time.monotonic()

    def write_all(self, seconds: float) -> None:
        """Write the table and the report; `seconds` is what this run took."""
        for name, todo in self._working.items():
            # it may have ended while the run was being stopped
            if (there := self.folder.finished(todo.slide, self.wish.request)) is not None:
                self.records[name] = there
        self.write_tables()
        try:
            write_report(self.folder, self.wish.slides, self.records, self.wish.request, self.new, seconds)
        except ModuleNotFoundError as error:
            self._tell(
                "notice",
                text=f"{REPORT} is not written because {error.name} is not installed: pip install 'napari-wsimil[cluster]'.",
            )

    def report(self, name: str, worker: str, progress: Progress) -> None:
        """Tell how far a slide is."""
        if name in self._working:
            about = {"stage": progress.stage, "patches": progress.done, "of": progress.total, "rate": progress.rate}
            self._tell("progress", name=name, worker=worker, **about)

    def _precision(self, crew: Crew) -> AskedPrecision:
        """The precision of all slides: decided once for the cohort."""
        from napari_wsimil.encoders import PRECISIONS  # loads PyTorch, which a window does not wait for

        asked = self.wish.request.precision
        settled = (self.folder.about() or {}).get("precision")
        if settled in PRECISIONS:
            return settled
        found = asked
        if asked == "auto":
            found = crew.settle_precision(self._job(self._todo[0].slide, asked))
        if not self.stop():
            self.folder.settle(precision=found)
        return found

    def _job(self, slide: CohortSlide, precision: AskedPrecision) -> Job:
        return make_job(self.cohort, self.folder.path, slide, self.wish.request, self.wish.means, precision)

    def _start(self, crew: Crew, precision: AskedPrecision) -> None:
        """Give free workers their next slides."""
        for _ in range(crew.free()):
            todo = self._next()
            if todo is None:
                return
            self._working[todo.slide.name] = todo
            self.new.add(todo.slide.name)
            self._tell("started", name=todo.slide.name, worker=crew.start(self._job(todo.slide, precision)))

    def _next(self) -> _Todo | None:
        now = time.monotonic()
        for todo in self._todo:
            if todo.after <= now:
                self._todo.remove(todo)
                return todo
        return None

    def _end(self, job: Job, outcome: Outcome) -> None:
        todo = self._working.pop(job.name)
        if outcome.kind == "done" and outcome.record is not None:
            self._finish(outcome.record)
        elif outcome.kind == "lost" and (there := self.folder.finished(todo.slide, self.wish.request)) is not None:
            # it died after its last word
            self._finish(there)
        elif outcome.kind == "full":
            raise WsimilError(f"The disk is full ({outcome.error}); make room and repeat the command to go on.")
        elif outcome.kind in ("unfit", "cancelled"):
            self._todo.appendleft(todo)
            if outcome.error:
                self._tell("notice", name=job.name, text=outcome.error)
        elif outcome.kind == "failed":
            self._fail(todo, outcome.error, outcome)
        else:
            self._again(todo, outcome)

    def _finish(self, record: Record) -> None:
        self.records[record.name] = record
        self._tell("done", name=record.name, record=record)

    def _fail(self, todo: _Todo, error: str, outcome: Outcome) -> None:
        record = self.folder.fail(todo.slide, self.wish.request, error, seconds=round(outcome.seconds, 3), host=outcome.host)
        self.records[record.name] = record
        self._tell("failed", name=record.name, record=record, text=error)

    def _again(self, todo: _Todo, outcome: Outcome) -> None:
        """Try a slide again later, unless that was done often enough."""
        todo.wrong += 1
        todo.deaths += outcome.kind == "lost"
        why = "its worker died" if outcome.kind == "lost" else outcome.error
        if todo.wrong > self.wish.retries:
            self._fail(todo, self._given_up(todo, outcome), outcome)
            return
        wait = 0.0 if outcome.kind == "lost" else min(BACKOFF_SECONDS * 2 ** (todo.wrong - 1), LONGEST_BACKOFF_SECONDS)
        todo.after = time.monotonic() + wait
        self._todo.append(todo)
        self._tell("again", name=todo.slide.name, text=f"{todo.slide.name} will be tried again: {why}")

    def _given_up(self, todo: _Todo, outcome: Outcome) -> str:
        if outcome.kind != "lost":
            return outcome.error if self.wish.retries == 0 else f"{outcome.error} (tried {todo.wrong} times)"
        times = "once" if todo.deaths == 1 else f"{todo.deaths} times"
        return (
            f"{printable(todo.slide.path.name)} was given up: its worker died {times} while at it, probably because the slide "
            "needs more memory than there is; use fewer workers, or one on a larger machine."
        )

    def _tell(self, kind: str, **about: object) -> None:
        done = sum(record.status == "done" for record in self.records.values())
        failed = len(self.records) - done
        self.tell(CohortEvent(kind, done, failed, len(self.wish.slides), **about))  # type: ignore[arg-type]
