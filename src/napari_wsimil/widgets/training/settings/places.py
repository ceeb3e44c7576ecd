"""Where runs are kept when nobody says: beside the slides, else among the user's documents; without Qt."""

from __future__ import annotations

import os
from datetime import date
from typing import TYPE_CHECKING

from platformdirs import user_documents_path

if TYPE_CHECKING:
    from pathlib import Path

RUNS = "training"
"""Name of the folder beside the slides that holds runs, and the features that they share."""

FEATURES = "features"


def runs_folder(beside: Path | None) -> Path:
    """The folder that holds runs.

    Parameters
    ----------
    beside
        Folder of the slides; None: not known yet.
    """
    if beside is not None and beside.is_dir() and os.access(beside, os.W_OK) and not _is_versioned(beside):
        return beside / RUNS
    return user_documents_path() / "napari-wsimil" / RUNS


def fresh_run(folder: Path, method: str, day: date | None = None) -> Path:
    """A folder of a run that is not there yet: method and day, and a number where there are several."""
    name = f"{method}-{(day or date.today()).isoformat()}"
    wanted, number = folder / name, 1
    while wanted.exists():
        number += 1
        wanted = folder / f"{name}-{number}"
    return wanted


def _is_versioned(folder: Path) -> bool:
    """Whether a folder is kept under version control: runs, which are large, do not belong there."""
    return any((parent / mark).exists() for parent in (folder, *folder.parents) for mark in (".git", ".hg", ".svn"))
