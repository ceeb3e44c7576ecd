"""The process of a run in the background: `python -m napari_wsimil.training.background.child RUN`.

It holds the lock of the folder as long as it lives, trains what `request.json` says, tells what happens, and does what
`control.json` wants between two steps. It ends when the run does, when it is asked to stop, or with a sentence.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.background.folder import CONTROL, REQUEST, BackgroundFolder
from napari_wsimil.training.background.records import Control
from napari_wsimil.training.background.reporting import Reporter
from napari_wsimil.training.background.requests import FineTuneRequest, Request, TrainRequest

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any, Literal

    from napari_wsimil.training.background.keeping import Keeper
    from napari_wsimil.training.events import Event
    from napari_wsimil.training.watching import Watch

PATIENCE_SECONDS = 20.0
"""A process before this one, which was asked to stop, may need so long to end."""

LOOK_SECONDS = 0.1
NICE = 5
TRUST = "--trust-code"


def main(arguments: Sequence[str]) -> int:
    """Run; exit code 0 where the run is finished, stopped or another process's, else 1."""
    folder = BackgroundFolder(Path(arguments[0]).absolute())
    try:
        with folder.held(PATIENCE_SECONDS):
            return Worker(folder, trust_code=TRUST in arguments).work()
    except Timeout:
        return 0


def be_gentle() -> None:
    """Let windows and other programs go first."""
    if sys.platform != "win32":
        with suppress(OSError):
            os.nice(max(0, NICE - os.nice(0)))
        # Linux shares time among sessions before it looks at processes, and this one is alone in its own
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(NICE), encoding="ascii")


class Worker:
    """Does what the request says, as long as it is wanted.

    Parameters
    ----------
    folder
        Of the run.
    trust_code
        Whether a program may be the encoder.
    """

    def __init__(self, folder: BackgroundFolder, *, trust_code: bool = False) -> None:
        self._folder, self._trust_code = folder, trust_code
        self._report = Reporter(folder)
        self._control, self._stamp = Control(), (0, 0, 0)
        self._keeper: Keeper | None = None
        self._ended = False

    def work(self) -> int:
        """Work to the end, and write down how it came; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        try:
            self._report.begin()
            while self._attempt() == "stopped":
                self._report.end("stopped", self._why_stopped())
                if self._ended or self._look().wanted == "stop":
                    return 0
                # it was wanted again before it had ended
                self._report.begin()
            self._report.end("finished")
        except Exception as error:  # noqa: BLE001 - whatever it is, the run says so
            from napari_wsimil.training.background.sentences import sentence_of

            # the disk may be full, or gone
            with suppress(OSError):
                self._report.end("failed", sentence_of(error, self._folder))
            with suppress(OSError):
                traceback.print_exc()
            return 1
        return 0

    def _attempt(self) -> Literal["finished", "stopped"]:
        """Train from where the run is."""
        with closing(self._steps()) as steps:
            # all libraries are loaded: now begins what takes long
            be_gentle()
            if not self._wanted():
                return "stopped"
            for event in steps:
                self._report.event(event)
                if not self._wanted():
                    return "stopped"
        return "finished"

    def _steps(self) -> Generator[Event, None, Any]:
        found = self._folder.read(REQUEST, Request)
        if found is None:
            raise TrainingError(f"{self._folder.path / REQUEST} is missing or damaged; start the training anew.")
        from napari_wsimil.training.background.keeping import Keeper

        self._keeper = Keeper(self._folder, self._look().watch)
        return task_steps(found.root, self._folder, self._keeper, trust_code=self._trust_code)

    def _wanted(self) -> bool:
        """Whether to go on; waits while it is to pause."""
        while self._look().wanted == "pause" and not self._ended:
            self._enter("paused")
            time.sleep(LOOK_SECONDS)
        if self._control.wanted == "stop" or self._ended:
            return False
        self._enter("running")
        return True

    def _enter(self, phase: Literal["running", "paused"]) -> None:
        if self._report.state.phase != phase:
            self._report.enter(phase)

    def _look(self) -> Control:
        """What is wanted, read again where the file is another."""
        with suppress(OSError):
            found = (self._folder.path / CONTROL).stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp != self._stamp:
                self._control, self._stamp = self._folder.read(CONTROL, Control) or self._control, stamp
                if self._keeper is not None:
                    self._keeper.watch(self._control.watch)
        return self._control

    def _why_stopped(self) -> str:
        return "The system ended the training; Resume goes on with nothing lost." if self._ended else ""

    def _end(self, *_: object) -> None:
        """Be asked by the system, before it shuts down, say."""
        self._ended = True


def task_steps(
    request: TrainRequest | FineTuneRequest, folder: BackgroundFolder, watch: Watch, *, trust_code: bool = False
) -> Generator[Event, None, Any]:
    """The events of a request, in the folder where its file lies."""
    from dataclasses import replace

    if isinstance(request, TrainRequest):
        from napari_wsimil.encoders import trust_program
        from napari_wsimil.training.runs.run import train_steps

        if trust_code:
            trust_program(request.encoder)
        return train_steps(replace(request.plan(), out=folder.run), resume=True, watch=watch)
    from napari_wsimil.training.fine_tuning.run import fine_tune_steps

    plan = replace(request.plan(trust_code=trust_code), out=folder.run)
    return fine_tune_steps(plan, resume=True, watch=watch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
