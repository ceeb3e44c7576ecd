"""Keep, Discard, and both undone: files move in a worker, and the list of models is told."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wsimil.errors import WsimilError
from napari_wsimil.files import written_whole
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.docks import stay_in_front
from napari_wsimil.widgets.model_list import choose_model, models_changed

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.widgets.training.correct.attempt import Candidate

DECISION = ".decision"
"""File in a run's folder that says what became of its model, so that nobody is asked twice."""


class Decisions(QObject):
    """Does what was decided.

    Parameters
    ----------
    viewer
        The napari viewer.
    parent
        The page, whose dock stays in front.

    Signals
    -------
    kept
        By this name the model is in the list now.
    taken_back
        It is not any more.
    failed
        One sentence.
    """

    kept = Signal(str)
    taken_back = Signal()
    failed = Signal(str)

    def __init__(self, viewer: Any, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._page = parent

    def keep(self, candidate: Candidate) -> None:
        """Put the new model into the user's list, and choose it."""
        read_in_background(candidate, partial(_keep, candidate), self._done_keep)

    def take_back(self, candidate: Candidate, name: str) -> None:
        """Take it off the list again, and choose the old one."""
        read_in_background(candidate, partial(_take_back, candidate, name), self._done_take_back)

    def note(self, candidate: Candidate, decision: str) -> None:
        """Remember what was decided, "" for nothing yet."""
        read_in_background(candidate, partial(_note, candidate.run, decision), self._noted)

    def _done_keep(self, done: tuple[Candidate, Any]) -> None:
        _, name = done
        if isinstance(name, Exception):
            self.failed.emit(str(name))
            return
        models_changed.emit()
        self._choose(name)
        self.kept.emit(name)

    def _done_take_back(self, done: tuple[Candidate, Any]) -> None:
        candidate, found = done
        models_changed.emit()
        self._choose(candidate.base)
        if isinstance(found, Exception):
            self.failed.emit(str(found))
        self.taken_back.emit()

    def _noted(self, done: tuple[Candidate, Any]) -> None:
        if isinstance(done[1], Exception):
            self.failed.emit(f"What you decided can't be remembered: {done[1]}")

    def _choose(self, name: str) -> None:
        """Choose a model, and come back to the front: another dock may have been opened for it."""
        choose_model(self._viewer, name)
        stay_in_front(self._page)


def is_decided(run: Path) -> bool:
    """Whether somebody kept or discarded the model of a run already."""
    return (run / DECISION).is_file()


def _keep(candidate: Candidate) -> str:
    from napari_wsimil.packages.library import add_to_library

    name = add_to_library(candidate.package).name
    _note(candidate.run, f"kept as {name}")
    return name


def _take_back(candidate: Candidate, name: str) -> None:
    from napari_wsimil.packages.library import remove_from_library

    _note(candidate.run, "")
    remove_from_library(name)


def _note(run: Path, decision: str) -> None:
    if not run.is_dir():
        raise WsimilError(f"{run} is gone.")
    if decision:
        with written_whole(run / DECISION) as part:
            part.write_text(f"{decision}\n", encoding="utf-8")
    else:
        (run / DECISION).unlink(missing_ok=True)
