"""Processes that outlive the one that starts them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.background.folder import LOG, STATE
from napari_wsimil.training.background.sentences import FULL, unwritable

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from napari_wsimil.training.background.folder import BackgroundFolder
    from napari_wsimil.training.background.records import RunState

MODULE = "napari_wsimil.training.background.child"

_begun: dict[Path, datetime] = {}
"""Run -> when the first state was written for the process that this one started for it last."""

_launched: dict[Path, subprocess.Popen[bytes]] = {}
"""Run -> the process that this one started for it last: asking it keeps no dead process in the system's table."""


def begin(folder: BackgroundFolder, state: RunState, *, trust_code: bool = False) -> None:
    """Write the first state of a run and start a process for it.

    Raises
    ------
    TrainingError
        The system does not let it start; the state says so, too.
    OSError
        The state can't be written.
    """
    folder.write(STATE, state)
    try:
        launch(folder, trust_code=trust_code)
    except TrainingError as error:
        with suppress(OSError):
            folder.write(STATE, replace(state, phase="failed", sentence=str(error)))
        raise
    _begun[folder.run] = state.updated


def launch(folder: BackgroundFolder, *, trust_code: bool = False) -> None:
    """Start a process for a run and return at once; it lives on when this one ends, and what it prints goes to `log.txt`.

    Raises
    ------
    TrainingError
        The system does not let it start.
    """
    # -P: a file that happens to lie in the working folder is never imported instead of a library
    command = [sys.executable, "-P", "-X", "faulthandler", "-m", MODULE, str(folder.run)]
    try:
        with (folder.path / LOG).open("ab") as log:
            process = subprocess.Popen(
                [*command, *(["--trust-code"] if trust_code else [])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder.path,
                **_detached(),
            )
    except OSError as error:
        if error.errno in FULL:
            raise unwritable(folder, error) from error
        raise TrainingError(
            f"The training of {folder.run} can't be started ({sys.executable}: {error.strerror or error}); start the program "
            "anew, or free some memory, and press Resume."
        ) from error
    _launched[folder.run] = process


def exit_code(run: Path, state: RunState) -> int | None:
    """How the process ended that this one started with that state; None: it has not, or it was started by another process."""
    if not launched_here(run, state):
        return None
    return _launched[run].poll()


def launched_here(run: Path, state: RunState) -> bool:
    """Whether this process started the one of that state."""
    return run in _launched and _begun.get(run) == state.updated


def _detached() -> dict[str, Any]:
    """Arguments by which a process has no terminal, no window, and no part in signals to this one."""
    names = ("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW", "BELOW_NORMAL_PRIORITY_CLASS")
    # zero where the system is not Windows, which knows sessions instead
    return {"creationflags": sum(getattr(subprocess, name, 0) for name in names), "start_new_session": True}
