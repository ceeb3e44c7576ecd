"""Text into a file, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.errors import ExportError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Write `text` as UTF-8.

    Raises
    ------
    ExportError
        The folder is missing, the path is a folder, or the file can't be written.
    """
    if not path.parent.is_dir():
        raise ExportError(f"Can't write {path}: there is no folder {path.parent}; create it or choose another.")
    if path.is_dir():
        raise ExportError(f"Can't write {path}: it is a folder; give a file name in it.")
    try:
        # newline="": a CSV has its own line ends, and they must be the same on every system.
        with written_whole(path) as part, part.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise ExportError(f"Can't write {path}: {error.strerror or error}; choose a folder you may write to.") from error
    return path
