"""A run in the background as seen from outside: any process may hold any number of these, and none waits for the run."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.errors import CancelledError, TrainingError
from napari_wsimil.training.background import launching
from napari_wsimil.training.background.folder import (
    CONTROL,
    EVENTS,
    LOG,
    REQUEST,
    SIGHT,
    SIGHT_PREDICTION,
    STATE,
    VALIDATION,
    BackgroundFolder,
)
from napari_wsimil.training.background.records import (
    Control,
    KeptScores,
    KeptSight,
    RunState,
    Sight,
    ValidationScores,
    now,
)
from napari_wsimil.training.background.requests import Request
from napari_wsimil.training.background.sentences import gone, unwritable
from napari_wsimil.training.events import parsed_event

if TYPE_CHECKING:
    from napari_wsimil.training.background.records import Wanted
    from napari_wsimil.training.background.requests import FineTuneRequest, TrainRequest
    from napari_wsimil.training.events import Event
    from napari_wsimil.training.runs.study_run import TrainingRun

LOOK_SECONDS = 0.05
STARTING_SECONDS = 60.0
"""A process that another one started has to be at its run by then."""

FULL_BYTES = 1 << 20
"""A disk with less room than this is full."""


class BackgroundRun:
    """A run in the background: made by `start_run` and `attach_run`.

    No method waits for the run: each reads or writes small files, and raises `TrainingError` where one can't be written. A
    window calls them in a thread of its own where the first `poll` is of a run of many hours, or the network is slow.

    Attributes
    ----------
    folder
        Of the run.
    request
        What was asked for: `task` "train" or "fine-tune", and `plan()`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = BackgroundFolder(folder)
        found = self._files.read(REQUEST, Request)
        if found is None:
            raise TrainingError(f"{folder} holds no training that was started in the background; start one there.")
        self.request: TrainRequest | FineTuneRequest = found.root
        self._read = 0

    def again(self) -> BackgroundRun:
        """Another handle of the same run, whose first `poll` tells everything."""
        return BackgroundRun(self.folder)

    def state(self) -> RunState:
        """How it is now."""
        kept = self._kept()
        if kept.living and not self._files.alive:
            # it may have come to its end between the two looks
            kept = self._kept()
            if kept.living:
                kept = self._without_process(kept)
        return replace(kept, wanted=self._control().wanted)

    def pause(self) -> None:
        """Let it wait after the step, or the batch of patches, that it is at."""
        self._want("pause")

    def stop(self) -> None:
        """Let its process end after the step that it is at; `go_on` resumes it with nothing lost."""
        self._want("stop")

    def go_on(self, *, device: str | None = None, trust_code: bool = False) -> None:
        """End a pause; or start a process that resumes a run that was stopped, failed or was lost.

        Parameters
        ----------
        device
            Where a new process computes, where that is to be another one: "cpu" after a GPU ran out of memory.
        trust_code
            See `load_model`: trust is never kept, so a new process needs it again.

        Raises
        ------
        TrainingError
            The run is finished, or the process can't be started.
        """
        # first what is wanted: a process that is about to stop looks once more before it ends
        self._want("run")
        state = self.state()
        if state.living:
            return
        if state.phase == "finished":
            raise TrainingError(f"{self.folder} is trained to its end; there is nothing to go on with.")
        if device is not None:
            self.request = self.request.model_copy(update={"device": device})
            self._write(REQUEST, self.request)
        first = RunState(started=state.started, stage=state.stage, epoch=state.epoch, epochs=state.epochs)
        try:
            with self._files.starting():
                # another window may have been quicker
                if not self.state().living:
                    launching.begin(self._files, first, trust_code=trust_code)
        except OSError as error:
            raise unwritable(self._files, error) from error

    @property
    def watched(self) -> str | None:
        """Name of the validation slide that is looked at after each epoch, or None."""
        return self._control().watch

    def watch(self, slide: str | None) -> None:
        """Choose a validation slide by its name: what the network sees on it is kept after each epoch, and once at once."""
        self._write(CONTROL, replace(self._control(), watch=slide))

    def poll(self) -> list[Event]:
        """What happened since the last poll of this handle, oldest first; at the first all that ever did."""
        try:
            with (self._files.path / EVENTS).open("rb") as file:
                file.seek(0, 2)
                # a run that came to nothing was begun anew
                self._read = min(self._read, file.tell())
                file.seek(self._read)
                new = file.read()
        except OSError:
            return []
        # a last line that is still being written is left for the next time
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return [event for event in map(parsed_event, whole.split(b"\n")) if event is not None]

    def scores(self) -> ValidationScores | None:
        """What the network says of the validation slides, or None where none were scored yet."""
        kept = self._files.read(VALIDATION, KeptScores)
        return None if kept is None or not kept.whole else ValidationScores.of(kept)

    def sight(self) -> Sight | None:
        """What the network sees on the watched slide, or None where it was not looked at yet."""
        kept = self._files.read(SIGHT, KeptSight)
        if kept is None:
            return None
        path = self._files.path / SIGHT_PREDICTION
        return Sight(kept.stage, kept.epoch, kept.slide, path if path.is_file() else None, kept.missing)

    def wait(self, timeout: float | None = None) -> TrainingRun:
        """Wait for the run to end, and return what came of it.

        Parameters
        ----------
        timeout
            Seconds; None: as long as it takes.

        Raises
        ------
        TrainingError
            It failed or was lost; the sentence says why.
        CancelledError
            It was stopped.
        TimeoutError
            It is not at its end yet.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while (state := self.state()).living:
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"{self.folder} is still being trained.")
            time.sleep(LOOK_SECONDS)
        if state.phase == "stopped":
            raise CancelledError(f"The training of {self.folder} was stopped; go_on() resumes it.")
        if state.phase != "finished":
            raise TrainingError(state.sentence)
        from napari_wsimil.training.runs.study_run import finished_run

        fold = getattr(self.request, "fold", None)
        return finished_run(self.folder, fold)

    def _want(self, wanted: Wanted) -> None:
        self._write(CONTROL, replace(self._control(), wanted=wanted))

    def _write(self, name: str, document: object) -> None:
        try:
            self._files.write(name, document)
        except OSError as error:
            raise unwritable(self._files, error) from error

    def _control(self) -> Control:
        return self._files.read(CONTROL, Control) or Control()

    def _kept(self) -> RunState:
        return self._files.read(STATE, RunState) or RunState(phase="lost", sentence=self._lost())

    def _without_process(self, kept: RunState) -> RunState:
        """What to think of a run at which somebody should be, and nobody is."""
        if kept.phase == "starting" and kept.pid is None:
            code = launching.exit_code(self.folder, kept)
            young = launching.launched_here(self.folder, kept) or abs(now() - kept.updated) < timedelta(
                seconds=STARTING_SECONDS
            )
            if code is None and young:
                return kept
            return replace(kept, phase="failed", sentence=self._never_began())
        return replace(kept, phase="lost", sentence=self._lost())

    def _never_began(self) -> str:
        log = self._files.path / LOG
        try:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        except OSError:
            said = []
        why = f" ({said[0].strip()[:200]})" if said else ""
        return f"The training's own process did not start{why}; {log} may say more. Press Resume to try again."

    def _lost(self) -> str:
        if not self._files.path.is_dir():
            return gone(self._files)
        try:
            full = shutil.disk_usage(self.folder).free < FULL_BYTES
        except OSError:
            full = False
        if full:
            return f"The disk of {self.folder} is full; free some space, and Resume goes on: at most a step is lost."
        return (
            "The training was ended from outside, or the computer ran out of memory or power; at most a step is lost: Resume "
            "goes on."
        )


def attach_run(folder: str | Path) -> BackgroundRun:
    """Look after a run that was started in the background, here or by another process.

    Raises
    ------
    TrainingError
        The folder holds none.
    """
    return BackgroundRun(Path(folder).expanduser().absolute())
