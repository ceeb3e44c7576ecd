"""Which buttons of a run are of use, and what is said of it; without Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_wsimil.training.background import RunState

Deed = Literal["start", "pause", "resume", "stop"]

SURVIVES = "Training goes on in the background; open this dock again to see it."
"""Said when the dock is closed."""

RUNNING = {"train": "Training", "fine-tune": "Fine-tuning"}
SAID = {
    "starting": "Starting…",
    "running": "{doing}. This window may be closed meanwhile.",
    "paused": "Paused.",
    "stopped": "Stopped; nothing is lost. Resume goes on.",
    "finished": "Finished.",
    "failed": "",
    "lost": "",
}
"""What is said of a run in each phase; of the last two it is what the run says itself."""

ASKED = {
    "start": "Starting…",
    "pause": "Pausing after this step…",
    "resume": "Going on…",
    "stop": "Stopping after this step…",
}
"""What is said from a click until the run has done it."""

WANTED: dict[Deed, str] = {"pause": "pause", "resume": "run", "stop": "stop"}
DONE: dict[Deed, frozenset[str]] = {
    "pause": frozenset({"paused", "stopped", "finished", "failed", "lost"}),
    "stop": frozenset({"stopped", "finished", "failed", "lost"}),
    "resume": frozenset({"running", "finished", "failed", "lost"}),
}
"""Phases in which what was asked for is done, or can't be any more."""


@dataclass(frozen=True)
class Desk:
    """What the window shows of a run.

    Attributes
    ----------
    start, pause, resume, stop
        Whether a button is of use.
    said
        One sentence; empty where there is nothing to say.
    wrong
        It tells that something went wrong.
    """

    start: bool
    pause: bool = False
    resume: bool = False
    stop: bool = False
    said: str = ""
    wrong: bool = False


class RunDesk:
    """Follows one run, or none, and what was asked of it that it has not done yet."""

    def __init__(self) -> None:
        self.state: RunState | None = None
        self.asked: Deed | None = None
        self.task = "train"
        self._attached = False
        self.refused = ""

    def attach(self, task: str | None) -> None:
        """Another run is followed; `task` is what it does, None: there is no run."""
        self._attached = task is not None
        self.task = task or "train"
        self.state, self.asked, self.refused = None, None, ""

    def ask(self, deed: Deed) -> None:
        """Something was asked for: that is said until it is done."""
        self.asked, self.refused = deed, ""

    def refuse(self, sentence: str) -> None:
        """What was asked for can't be done."""
        self.asked, self.refused = None, sentence

    def take(self, state: RunState) -> None:
        """Take what the run says of itself."""
        if state != self.state and state.living:
            self.refused = ""
        self.state = state
        asked = self.asked
        if asked in DONE and state.wanted == WANTED[asked] and state.phase in DONE[asked]:
            self.asked = None

    @property
    def living(self) -> bool:
        """Whether a process is at the run."""
        return self.state is not None and self.state.living

    def shown(self) -> Desk:
        """What the window shows now."""
        state, asked = self.state, self.asked
        if self.refused:
            return self._buttons(said=self.refused, wrong=True)
        if asked is not None:
            return self._buttons(said=ASKED[asked])
        if state is None:
            return self._buttons(said="Looking at the run…" if self._attached else "")
        if state.living and state.wanted != "run" and state.phase != "paused":
            return self._buttons(said=ASKED["pause" if state.wanted == "pause" else "stop"])
        said = SAID[state.phase].format(doing=RUNNING.get(self.task, "Training"))
        if state.sentence:
            said = f"{said} {state.sentence}" if state.phase == "finished" else state.sentence
        return self._buttons(said=said, wrong=state.phase in ("failed", "lost"))

    def _buttons(self, *, said: str, wrong: bool = False) -> Desk:
        state, asked = self.state, self.asked
        if asked == "start" or state is None:
            return Desk(start=asked is None and not self._attached, said=said, wrong=wrong)
        if not state.living:
            return Desk(start=asked is None, resume=asked is None and state.phase != "finished", said=said, wrong=wrong)
        halting = asked in ("pause", "stop") or state.wanted != "run"
        stopping = asked == "stop" or state.wanted == "stop"
        return Desk(
            start=False,
            pause=not halting and asked is None,
            resume=halting and asked != "resume",
            stop=not stopping,
            said=said,
            wrong=wrong,
        )
