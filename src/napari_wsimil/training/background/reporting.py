"""What a run in the background tells of itself: every event in a file, and its state beside."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_wsimil.training.background.folder import EVENTS, STATE
from napari_wsimil.training.background.records import RunState, now
from napari_wsimil.training.events import EventLog, read_events

if TYPE_CHECKING:
    from napari_wsimil.training.background.folder import BackgroundFolder
    from napari_wsimil.training.background.records import Phase
    from napari_wsimil.training.events import Event

SECONDS = {"step": 0.2, "progress": 0.25}
"""Kinds of events that are told no more often than this."""

RUN_EVENTS = "events.jsonl"
"""Of the run itself, or of one of its folds."""

STATE_SECONDS = 1.0
ROOM_BYTES = 1 << 16


class Reporter:
    """Writes what happens.

    Parameters
    ----------
    folder
        Of the run.
    """

    def __init__(self, folder: BackgroundFolder) -> None:
        self._folder = folder
        kept = folder.read(STATE, RunState) or RunState()
        self.state = replace(kept, phase="starting", sentence="", pid=os.getpid())
        self._room = folder.path / ".room"
        self._told: dict[str, float] = {}
        self._written = 0.0
        self._log: EventLog | None = None

    def begin(self) -> None:
        """Write the first state; raises OSError where the disk is full."""
        self._log = EventLog(self._folder.path / EVENTS)
        # so that a full disk can still be told of
        self._room.write_bytes(os.urandom(ROOM_BYTES))
        self.enter("starting")

    def event(self, event: Event) -> None:
        """Write an event, unless it is one of many; raises OSError."""
        last = SECONDS.get(event.kind, 0.0)
        clock = time.monotonic()
        if last and clock - self._told.get(event.kind, 0.0) < last:
            return
        self._told[event.kind] = clock
        if self._log is not None:
            if event.kind == "start" and event.data.get("resumed"):
                self._catch_up(self._log, event)
            self._log.append(event)
        self._note(event, clock)

    def enter(self, phase: Phase, sentence: str = "") -> None:
        """Write another phase; raises OSError."""
        self.state = replace(self.state, phase=phase, sentence=sentence, updated=now())
        self._folder.write(STATE, self.state)
        self._written = time.monotonic()

    def end(self, phase: Phase, sentence: str = "") -> None:
        """Write the last phase, with the room that was kept for it."""
        self._room.unlink(missing_ok=True)
        self.enter(phase, sentence)

    def _catch_up(self, log: EventLog, start: Event) -> None:
        """Tell of epochs that were kept, though not told any more: their process was killed in between."""
        fold, _, stage = start.stage.rpartition(", ")
        own = self._folder.run / fold.replace(" ", "-") / RUN_EVENTS
        if not own.is_file():
            return
        told = {one.epoch for one in read_events(self._folder.path / EVENTS) if (one.kind, one.stage) == ("epoch", start.stage)}
        for one in read_events(own):
            if (one.kind, one.stage) == ("epoch", stage) and one.epoch < start.epoch and one.epoch not in told:
                log.append(replace(one, stage=start.stage))

    def _note(self, event: Event, clock: float) -> None:
        """How far it is, into the state."""
        told: dict[str, Any] = {"stage": event.stage, "epoch": event.epoch}
        if event.kind in ("stage", "progress"):
            told["epoch"] = None
        if event.kind in ("stage", "start"):
            told["epochs"] = event.data.get("epochs")
        told["seconds_left"] = event.data.get("seconds_left", None if event.kind == "stage" else self.state.seconds_left)
        self.state = replace(self.state, **told)
        if clock - self._written >= STATE_SECONDS:
            self.enter(self.state.phase)
