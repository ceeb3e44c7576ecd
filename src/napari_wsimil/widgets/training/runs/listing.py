"""The runs that were started lately, as a list shows them; without Qt."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_wsimil.errors import WsimilError

MOST = 20


@dataclass(frozen=True)
class ListedRun:
    """A run that can be shown.

    Attributes
    ----------
    run
        The `BackgroundRun`.
    phase, started
        How it was when the list was made, and when it was begun.
    """

    run: Any
    phase: str
    started: datetime

    @property
    def folder(self) -> Path:
        """Its folder."""
        folder: Path = self.run.folder
        return folder

    @property
    def living(self) -> bool:
        """Whether a process was at it."""
        return self.phase in ("starting", "running", "paused")

    def text(self) -> str:
        """A line: its name, how it is, and when it was begun."""
        return f"{name_of(self.run)} · {self.phase} · {day(self.started)}"


def listed_runs() -> list[ListedRun]:
    """The runs that were started last, newest first; reads files, so a worker calls it."""
    from napari_wsimil.training.background import attach_run, recent_runs

    found = []
    for folder in recent_runs()[:MOST]:
        with suppress(WsimilError, OSError):
            found.append(listed(attach_run(folder)))
    return found


def listed(run: Any) -> ListedRun:
    """A run as it is now."""
    state = run.state()
    return ListedRun(run, state.phase, state.started)


def name_of(run: Any) -> str:
    """What a run is called: its title, the model that it corrects, or its folder."""
    request = run.request
    if request.title:
        return str(request.title)
    if request.task != "fine-tune":
        return str(run.folder.name)
    model = Path(request.model)
    name = model.parent.name if model.name == "model" else model.name
    return f"{name.split(' ')[-1]}, fine-tuned"  # folders of corrections begin with the day and the time


def day(moment: datetime) -> str:
    """Day and time on the user's clock; the time alone where it was today."""
    here = moment.astimezone()
    return f"{here:%H:%M}" if here.date() == datetime.now().astimezone().date() else f"{here.day} {here:%b %H:%M}"
