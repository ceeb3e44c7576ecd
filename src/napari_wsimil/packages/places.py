"""Where the user's own models lie, and which names they may have there."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

VARIABLE = "NAPARI_WSIMIL_LIBRARY"
"""Environment variable: the folder of the user's own models, where it is not the usual one."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Names that every file system takes, and that are no path."""

_TAKEN = {"bundled", "con", "prn", "aux", "nul", *(f"{kind}{number}" for kind in ("com", "lpt") for number in range(10))}
"""Names that mean something else, here or to Windows."""


def library_folder() -> Path:
    """The folder whose subfolders are the user's own models: ``$NAPARI_WSIMIL_LIBRARY``, else in the user's data folder."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_data_path

    return Path(user_data_path("napari-wsimil", appauthor=False)) / "models"


def in_library(name: str) -> Path | None:
    """The folder of the library's model of that name, or None; whatever looks like a path is no name."""
    if not NAME.fullmatch(name):
        return None
    folder = library_folder() / name
    return folder if folder.is_dir() else None


def safe_name(text: str) -> str:
    """The name of the library that is most like a text; "model" where nothing of it can be one."""
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9._]+", "-", plain).strip("-._")[:56].rstrip("-._")
    if name.partition(".")[0] in _TAKEN:
        return f"model-{name}"
    return name or "model"
