"""What a window knows of one stage of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_wsimil.training.learning_curve import Curve

State = Literal["waiting", "running", "done"]


@dataclass(frozen=True)
class StageState:
    """One stage of the run, or of the fold that is trained now.

    Attributes
    ----------
    key
        Its name in events.
    name
        In plain words.
    state
        "waiting", "running" or "done".
    """

    key: str
    name: str
    state: State


@dataclass(frozen=True)
class Doing:
    """What a stage without epochs is at: `done` of `total`, a share where slides are many patches; `what`: a slide, say."""

    what: str = ""
    done: float = 0.0
    total: float = 0.0


@dataclass
class Training:
    """One stage that trains.

    Attributes
    ----------
    epochs
        That are planned; 0: not told.
    slides
        That it learns from.
    ended
        Epochs that have ended.
    epoch
        The one that is being trained, from 1; the last one where training is over.
    step, steps
        Steps of that epoch.
    phase
        The recipe's name of what is done in this part of the epoch.
    best_epoch
        From 1; None: there is none yet.
    seconds_left
        None: not known.
    stopped
        Why it ended, "epochs" or "patience"; empty while it goes on.
    curves
        By name.
    """

    epochs: int = 0
    slides: int = 0
    ended: int = 0
    epoch: int = 0
    step: int = 0
    steps: int = 0
    phase: str = ""
    best_epoch: int | None = None
    seconds_left: float | None = None
    seconds: float = 0.0
    stopped: str = ""
    curves: dict[str, Curve] = field(default_factory=dict)

    def put(self, name: str, x: float, value: Any) -> None:
        """Add a point; what is not a number is none."""
        if isinstance(value, (int, float)) and math.isfinite(value):
            self.curves.setdefault(name, Curve()).put(x, float(value))

    @property
    def seconds_of_epoch(self) -> float:
        """Mean of the epochs that have ended; infinite before the first."""
        return self.seconds / self.ended if self.ended else math.inf
