"""Who does the slides: this process, or Dask's workers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from napari_wsimil.cohorts.work import do_slide, settled_precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.cohorts.request import AskedPrecision, Job
    from napari_wsimil.cohorts.work import Outcome
    from napari_wsimil.inference import Progress

Report = "Callable[[str, str, Progress], object]"
"""Called with the name of a slide, where it is done, and how far it is."""


class Crew(Protocol):
    """Workers that do one slide each at a time."""

    def free(self) -> int:
        """How many slides could be begun now."""

    def start(self, job: Job) -> str:
        """Begin a slide; returns where."""

    def ended(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Wait up to `seconds` for attempts to end; reports meanwhile."""

    def settle_precision(self, job: Job) -> AskedPrecision:
        """What `settled_precision` finds on one of the workers."""

    def close(self) -> None:
        """Stop whatever is in hand, and let go."""


class InProcess:
    """One slide after another, in this process.

    Parameters
    ----------
    report
        See `Report`.
    stop
        Asked several times a second whether to stop.
    """

    def __init__(self, report: Callable[[str, str, Progress], object], stop: Callable[[], bool]) -> None:
        self._report, self._stop = report, stop
        self._job: Job | None = None

    def free(self) -> int:
        """See `Crew`."""
        return int(self._job is None)

    def start(self, job: Job) -> str:
        """See `Crew`."""
        self._job = job
        return ""

    def ended(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """See `Crew`."""
        job, self._job = self._job, None
        if job is None:
            time.sleep(seconds)
            return []
        name = job.name
        return [(job, do_slide(job, lambda progress: self._report(name, "", progress), self._stop))]

    def settle_precision(self, job: Job) -> AskedPrecision:
        """See `Crew`."""
        return settled_precision(job)

    def close(self) -> None:
        """See `Crew`."""
