"""Files whole or not at all."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to, which takes its place when the block ends well and is gone otherwise.

    So no reader ever sees half a file, and what was there stays when writing fails.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield part
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def written_together(folder: Path, last: str) -> Iterator[Path]:
    """Give a temporary folder in `folder` to write files and folders to, which all take their places when the block ends well.

    Where something fails, all that was there stays. `last` names the one whose presence tells that the others are there: the
    old one goes first, the new one comes last, so that a power cut leaves none rather than one beside others' files.
    """
    part = folder / f".{uuid4().hex}.part"
    old = part / "old"
    try:
        old.mkdir(parents=True)
        yield part
        made = sorted((entry for entry in part.iterdir() if entry != old), key=lambda entry: entry.name == last)
        for entry in (part / last, *made):
            if (folder / entry.name).exists():
                (folder / entry.name).rename(old / entry.name)
        for entry in made:
            entry.rename(folder / entry.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
