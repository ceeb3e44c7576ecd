"""Into a file, whole or not at all."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_wsimil.errors import ExportError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def exported(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, which becomes `path` when the block ends well.

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
        with written_whole(path) as part:
            yield part
    except OSError as error:
        raise ExportError(f"Can't write {path}: {error.strerror or error}; choose a folder you may write to.") from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with the line ends of `text`: a CSV has its own, and they must be the same on every system."""
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(text)
