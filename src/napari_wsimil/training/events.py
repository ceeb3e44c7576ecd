"""What a training run tells while it runs: one stream that a progress bar, a window and TensorBoard read alike."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Kind = Literal["start", "step", "epoch", "finish", "stage", "progress"]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes
    ----------
    kind
        "start": the run begins or goes on; "stage": the next of several stages begins; "progress": a stage without steps
        (making features, scoring slides) goes on; "step": the weights changed once;
        "epoch": every slide was seen and the validation slides were scored; "finish": the best weights are in the model.
    stage
        Which stage of the run, "train" where there is one only.
    epoch
        From 0.
    data
        JSON-able. step: phase, step, steps (in this epoch), losses {name: value}, seconds_left. epoch: losses (means),
        validation {name: value}, learning_rate, seconds, best (whether it is the best so far), best_epoch. finish: best_epoch,
        epochs, seconds, stopped ("epochs" or "patience"). progress: done, total, what (a slide's name), seconds_left. stage, of
        a training in several: number, stages, title, titles {stage: title} of all, finished (before this process).
    """

    kind: Kind
    stage: str = "train"
    epoch: int = 0
    data: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps({"kind": self.kind, "stage": self.stage, "epoch": self.epoch, **self.data}) + "\n"


class EventLog:
    """A file with one event a line, written so that others can read it while it grows.

    Parameters
    ----------
    path
        Made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        # of a process that was killed while it wrote
        text = path.read_bytes()
        self.cut(text.rfind(b"\n") + 1)

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._path.stat().st_size

    def append(self, event: Event) -> None:
        """Write one event."""
        with self._path.open("ab") as file:
            file.write(event.line().encode())

    def cut(self, size: int) -> None:
        """Forget what came after the first `size` bytes: steps that a killed run will take again."""
        if size < self.size:
            with self._path.open("r+b") as file:
                file.truncate(size)


def read_events(path: Path) -> Iterator[Event]:
    """Events of a log, oldest first; a last line that is still being written, and what a bad disk left, are left out."""
    with path.open("rb") as file:
        for line in file:
            event = parsed_event(line) if line.endswith(b"\n") else None
            if event is not None:
                yield event


def parsed_event(line: bytes) -> Event | None:
    """The event of a line; None where it is none: logs outlive full and broken disks."""
    try:
        found = json.loads(line)
        event = Event(found.pop("kind"), found.pop("stage"), found.pop("epoch"), found)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    known = event.kind in get_args(Kind) and isinstance(event.stage, str) and isinstance(event.epoch, int)
    return event if known else None
