"""What the panel of a result has done in worker threads; each loads torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.training.runs.outcome import Outcome


@dataclass(frozen=True)
class Found:
    """A finished run.

    Attributes
    ----------
    outcome
        What it ended in.
    kept
        The name by which the library has its model, or None.
    name
        For files and repositories with the model.
    """

    outcome: Outcome
    kept: str | None
    name: str


def look(folder: Path) -> Found | None:
    """Read a run; None where it is not finished."""
    from napari_wsimil.packages.library import find_in_library
    from napari_wsimil.packages.places import safe_name
    from napari_wsimil.training.runs.outcome import read_outcome

    outcome = read_outcome(folder)
    if outcome is None:
        return None
    return Found(outcome, find_in_library(outcome.package), safe_name(outcome.spec.title or outcome.spec.id))


def retitle(outcome: Outcome, kept: str | None, title: str) -> Found | None:
    """Give a package, and its copy in the library, another title; returns the run as it is then."""
    from napari_wsimil.packages import rename_in_library
    from napari_wsimil.packages.library import set_title

    set_title(outcome.package, title)
    if kept is not None:
        rename_in_library(kept, title)
    return look(outcome.folder)
