"""The runs in the background that this user started lately, in one small file that several windows share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from napari_wsimil.files import written_whole
from napari_wsimil.training.background.folder import NAME, REQUEST

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE = "NAPARI_WSIMIL_STATE"
"""Environment variable: folder of what the program remembers, instead of the user's own."""

MOST = 50
WAIT_SECONDS = 2.0


def recent_runs() -> list[Path]:
    """Folders of the runs in the background that were started last on this computer, newest first.

    Folders that are gone are left out.
    """
    return [folder for folder in _listed() if _is_run(folder)]


def remember(folder: Path) -> None:
    """Put a run first in the list. A list that can't be written is no reason to not train."""
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_file().with_suffix(".lock")).acquire(timeout=WAIT_SECONDS):
            _write([folder, *(one for one in _listed() if one != folder)][:MOST])
    except (OSError, Timeout):
        return


def state_folder() -> Path:
    """Where the program remembers what this user did: ``$NAPARI_WSIMIL_STATE``, else in the user's state folder."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else Path(user_state_path("napari-wsimil", appauthor=False))


def _file() -> Path:
    return state_folder() / "runs.json"


def _listed() -> list[Path]:
    try:
        found = json.loads(_file().read_bytes())
        return [Path(text) for text in found["runs"] if isinstance(text, str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write(folders: Sequence[Path]) -> None:
    with written_whole(_file()) as part:
        part.write_text(json.dumps({"runs": [str(folder) for folder in folders]}, indent=1) + "\n", encoding="utf-8")


def _is_run(folder: Path) -> bool:
    try:
        return (folder / NAME / REQUEST).is_file()
    except OSError:
        return False
