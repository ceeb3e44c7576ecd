"""How far a run is, and how long it will take. No Qt here."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from napari_wsimil.widgets.words import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.cohorts import CohortEvent

LEAST_DONE = 0.1
"""Slides that must be done before a time is told."""


class Pace:
    """The pace of one run.

    Parameters
    ----------
    count
        Slides to do.
    clock
        Seconds.
    """

    def __init__(self, count: int, clock: Callable[[], float] = monotonic) -> None:
        self.count = count
        self.ended = 0
        self.failed = 0
        self._part = 0.0
        self._told = "Starting"
        self._clock, self._began = clock, clock()

    @property
    def done(self) -> float:
        """Slides that ended, and the part of the one in hand that is done."""
        return min(self.ended + self._part, float(self.count))

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None where nothing can be said yet."""
        if not LEAST_DONE <= self.done < self.count:
            return None
        return (self._clock() - self._began) / self.done * (self.count - self.done)

    def take(self, event: CohortEvent) -> None:
        """Note an event of the run."""
        if event.kind in ("done", "failed"):
            self.ended += 1
            self.failed += event.kind == "failed"
            self._part = 0.0
        elif event.kind == "started":
            self._part, self._told = 0.0, event.name
        elif event.kind == "progress":
            count = f" {event.patches:,} of {event.of:,}" if event.of else ""
            self._part = event.patches / event.of if event.of else 0.0
            self._told = f"{event.name}: {event.stage}{count}"
        elif event.text:
            self._told = event.text

    def text(self) -> str:
        """For example "3 of 12 slides · 1 failed · 4 min left · case-4: Encoding patches 320 of 1,400"."""
        failed = f"{self.failed:,} failed" if self.failed else ""
        left = "" if self.seconds_left is None else f"{duration(self.seconds_left)} left"
        return " · ".join(filter(None, (f"{self.ended:,} of {self.count:,} slides", failed, left, self._told)))
