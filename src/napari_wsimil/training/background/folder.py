"""The folder `.background` of a run: small JSON files written whole, and the lock that tells whether a process is at it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = ".background"
REQUEST, CONTROL, STATE, EVENTS = "request.json", "control.json", "state.json", "events.jsonl"
VALIDATION, SIGHT, SIGHT_PREDICTION, LOG, LOCK = "validation.json", "sight.json", "sight.prediction.h5", "log.txt", ".lock"
STARTING = ".starting"
STARTING_SECONDS = 10.0

TRIES, PAUSE_SECONDS = 20, 0.01
"""Windows lets no file be replaced while somebody reads it."""

Kept = TypeVar("Kept")


class BackgroundFolder:
    """Files of a run in the background.

    Parameters
    ----------
    run
        Folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.path = run / NAME

    def make(self) -> None:
        """Make the folder; raises `TrainingError` where it can't be made."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{self.run} can't be written ({error.strerror}); choose another folder.") from error

    def clear(self) -> None:
        """Forget a run that came to nothing."""
        for name in (REQUEST, CONTROL, STATE, EVENTS, VALIDATION, SIGHT, SIGHT_PREDICTION, LOG):
            (self.path / name).unlink(missing_ok=True)

    def read(self, name: str, kind: type[Kept]) -> Kept | None:
        """What a file says; None where it is missing, or is none of ours."""
        for _ in range(TRIES):
            try:
                return TypeAdapter(kind).validate_python(json.loads((self.path / name).read_bytes()))
            except PermissionError:
                time.sleep(PAUSE_SECONDS)
            except (OSError, ValueError, ValidationError):
                return None
        return None

    def write(self, name: str, document: object) -> None:
        """Write a file, whole or not at all; raises OSError."""
        text = json.dumps(TypeAdapter(type(document)).dump_python(document, mode="json"), indent=1)
        self.put(name, lambda part: part.write_text(text + "\n", encoding="utf-8"))

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        """Let `write` write to a path, and put that in the place of a file; raises OSError."""
        for left in reversed(range(TRIES)):
            try:
                with written_whole(self.path / name) as part:
                    write(part)
                return
            except PermissionError:
                if not left:
                    raise
                time.sleep(PAUSE_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether a process is at it."""
        if not self.path.is_dir():
            return False
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return False
        lock.release()
        return False

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Start a process for it while nobody else does; raises `TrainingError` where another one takes too long for that."""
        try:
            with FileLock(self.path / STARTING).acquire(timeout=STARTING_SECONDS):
                yield
        except Timeout as error:
            raise TrainingError(
                f"Another program is starting a training in {self.run}; wait for it, then try again."
            ) from error

    @contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Be the process that is at it; raises `filelock.Timeout` where another one is and does not end in time."""
        with FileLock(self.path / LOCK).acquire(timeout=seconds):
            yield
