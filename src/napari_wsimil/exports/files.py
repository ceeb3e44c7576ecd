"""Text into a file, whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_wsimil.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Write `text` as UTF-8 to a temporary file beside `path` and rename it, so that no reader ever sees half a file.

    Raises
    ------
    ExportError
        The folder is missing, the path is a folder, or the file can't be written.
    """
    if not path.parent.is_dir():
        raise ExportError(f"Can't write {path}: there is no folder {path.parent}; create it or choose another.")
    if path.is_dir():
        raise ExportError(f"Can't write {path}: it is a folder; give a file name in it.")
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        # newline="": a CSV has its own line ends, and they must be the same on every system.
        with temporary.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ExportError(f"Can't write {path}: {error.strerror or error}; choose a folder you may write to.") from error
    return path
