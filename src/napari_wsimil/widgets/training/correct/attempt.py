"""One correction from its beginning to Keep or Discard: what phase it is in, and what may come next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from psygnal import Signal

if TYPE_CHECKING:
    from pathlib import Path

Phase: TypeAlias = Literal["idle", "preparing", "running", "looking", "judging", "kept", "discarded"]

FOLLOWING: dict[Phase, tuple[Phase, ...]] = {
    "idle": ("preparing", "running", "looking"),
    "preparing": ("running", "idle"),
    "running": ("looking", "idle"),
    "looking": ("judging", "idle"),
    "judging": ("kept", "discarded", "preparing", "running", "idle"),
    "kept": ("judging", "preparing", "running", "idle"),
    "discarded": ("judging", "preparing", "running", "idle"),
}
"""Phase -> those that may come after it."""

BUSY = ("preparing", "running", "looking")


@dataclass(frozen=True)
class Candidate:
    """A model that came of corrections, and the one that it came of.

    Attributes
    ----------
    run
        Folder of the fine-tuning.
    package
        The new model.
    base
        What `load_model` takes for the old one.
    """

    run: Path
    package: Path
    base: str


class Attempt:
    """What the page is about at present.

    Attributes
    ----------
    phase
        "idle": marks are drawn. "preparing": the run is being planned. "running": it runs, or is paused or stopped. "looking":
        the open slide is predicted with the new model. "judging": before and after are shown. "kept", "discarded": decided,
        until it is undone or the next run begins.
    candidate
        What is to be kept or discarded, or was.
    kept_as
        The name in the list of models, while it is kept.

    Signals
    -------
    changed
        The phase.
    """

    changed = Signal(str)

    def __init__(self) -> None:
        self.phase: Phase = "idle"
        self.candidate: Candidate | None = None
        self.kept_as = ""

    @property
    def is_busy(self) -> bool:
        """Whether something goes on that a new run would disturb."""
        return self.phase in BUSY

    def prepare(self) -> None:
        """Fine-tune was pressed."""
        self._turn("preparing")
        self.candidate, self.kept_as = None, ""

    def run(self) -> None:
        """The run has begun, or goes on."""
        if self.phase != "running":
            self._turn("running")

    def fail(self) -> None:
        """Whatever went on came to nothing; marks are as they were."""
        self.candidate = None
        self._turn("idle")

    def look(self, candidate: Candidate) -> None:
        """The run is finished."""
        self.candidate, self.kept_as = candidate, ""
        self._turn("looking")

    def judge(self) -> None:
        """Before and after can be seen; also again, when Keep or Discard is undone."""
        self.kept_as = ""
        self._turn("judging")

    def keep(self, name: str) -> None:
        """The new model is in the list by this name."""
        self.kept_as = name
        self._turn("kept")

    def discard(self) -> None:
        """The old model stays."""
        self._turn("discarded")

    def _turn(self, phase: Phase) -> None:
        if phase not in FOLLOWING[self.phase]:
            raise ValueError(f"after {self.phase} can't come {phase}")
        self.phase = phase
        self.changed.emit(phase)
