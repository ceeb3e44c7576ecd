"""What the files of a run in the background say: its state, what is wanted of it, and what its network answers and sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic.dataclasses import dataclass as checked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Phase = Literal["starting", "running", "paused", "stopped", "finished", "failed", "lost"]
Wanted = Literal["run", "pause", "stop"]

LIVING: frozenset[Phase] = frozenset({"starting", "running", "paused"})
"""Phases of a run that somebody is at."""


def now() -> datetime:
    """The time with its zone, to the millisecond."""
    return datetime.now(UTC).astimezone()


@checked(frozen=True)
class Control:
    """What is wanted of a run: that it runs, pauses or stops, and which validation slide to look at after each epoch."""

    wanted: Wanted = "run"
    watch: str | None = None


@checked(frozen=True)
class RunState:
    """How a run is.

    Attributes
    ----------
    phase
        "starting": its program is being loaded; "running"; "paused": it waits between two steps; "stopped": as asked;
        "finished": its folder holds the model; "failed": `sentence` says why; "lost": its process is gone without a word.
        All but "finished" can be gone on with.
    wanted
        What was asked for last; until the step at hand is done the phase may be another.
    sentence
        Why it failed, was lost or stopped, and the way on; else empty.
    pid
        Of its process, or None before there is one.
    started, updated
        When the run was begun, and when the last of this was written.
    stage, epoch, epochs, seconds_left
        How far it is, about once a second: the epoch is counted from 0; None where it is not known.
    """

    phase: Phase = "starting"
    wanted: Wanted = "run"
    sentence: str = ""
    pid: int | None = None
    started: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    stage: str = ""
    epoch: int | None = None
    epochs: int | None = None
    seconds_left: float | None = None

    @property
    def living(self) -> bool:
        """Whether a process is at it."""
        return self.phase in LIVING


@checked(frozen=True)
class KeptScores:
    """`validation.json`."""

    stage: str
    epoch: int
    classes: tuple[str, ...]
    names: tuple[str, ...]
    targets: tuple[int, ...]
    probabilities: tuple[tuple[float, ...], ...]

    @property
    def whole(self) -> bool:
        """Whether each slide has a class and a probability of every class."""
        known = all(0 <= target < len(self.classes) for target in self.targets)
        rows = all(len(row) == len(self.classes) for row in self.probabilities)
        return known and rows and len(self.names) == len(self.targets) == len(self.probabilities)


@dataclass(frozen=True, eq=False)
class ValidationScores:
    """What the network, as it was after an epoch, says of the validation slides.

    Attributes
    ----------
    stage, epoch
        Of which; epoch -1 is the network before a fine-tuning.
    classes, names
        Of the model, and of the slides.
    targets
        (n,) int64, numbers of the slides' classes.
    probabilities
        (n, C) float64, not calibrated.
    """

    stage: str
    epoch: int
    classes: tuple[str, ...]
    names: tuple[str, ...]
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @classmethod
    def of(cls, kept: KeptScores) -> ValidationScores:
        """As arrays."""
        table = np.asarray(kept.probabilities, np.float64).reshape(len(kept.names), len(kept.classes))
        return cls(kept.stage, kept.epoch, kept.classes, kept.names, np.asarray(kept.targets, np.int64), table)


@checked(frozen=True)
class KeptSight:
    """`sight.json`: what `sight.prediction.h5` is, or why there is none."""

    stage: str
    epoch: int
    slide: str
    missing: str = ""


@dataclass(frozen=True)
class Sight:
    """What the network, as it was after an epoch, sees on the slide that is watched.

    Attributes
    ----------
    stage, epoch
        Of which; epoch -1 is the network before a fine-tuning.
    slide
        Its name in the manifest.
    prediction
        A prediction file (`load_prediction`), replaced by the next one; None: there is none, and `missing` says why.
    missing
        One sentence on what could not be shown, else empty. Where the slide itself is not known (features only), there is a
        prediction without a slide in its provenance, and this says so.
    """

    stage: str
    epoch: int
    slide: str
    prediction: Path | None
    missing: str = ""
