"""How much room stored features take, and which of them go when it gets too much."""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_wsimil.bags.store.locks import WriterLock, is_open
from napari_wsimil.bags.store.raw_file import RawFile
from napari_wsimil.samples import sample_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEX = "[0-9a-f]"
_OURS = f"*_overlap-{_HEX * 8}/features_*-{_HEX * 8}/*-{_HEX * 12}.h5"
"""Files of ours in folders of ours: the store may be a folder that others write to as well."""

_LEFT = f"*_overlap-{_HEX * 8}/features_*-{_HEX * 8}/.*-{_HEX * 12}.h5.*"
_HOUR = 3600.0
_DAY = 24 * _HOUR


@dataclass(frozen=True)
class Kept:
    """A stored file: its bytes on the disk, and when it was used last."""

    path: Path
    size: int
    used: float


def default_store_folder() -> Path:
    """Where the window keeps features: ``$NAPARI_WSIMIL_CACHE``, else the user's cache folder, and ``features`` in it."""
    return sample_folder() / "features"


def mark_used(path: Path) -> None:
    """Touch a file, so that `trim_files` takes it last; once an hour, so that a date that changed mostly means new contents."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > _HOUR:
            os.utime(path)


def kept_files(folder: Path) -> list[Kept]:
    """All stored files of a store, the one used longest ago first."""
    return sorted(_kept(folder), key=lambda kept: kept.used)


def trim_files(folder: Path, limit: int) -> int:
    """Remove what was used longest ago until at most `limit` bytes are left; returns the bytes that went."""
    _drop_leftovers(folder)
    files, gone = kept_files(folder), 0
    excess = sum(kept.size for kept in files) - limit
    for kept in files:
        if gone >= excess:
            break
        if _removed(kept.path):
            gone += kept.size
    return gone


def _kept(folder: Path) -> Iterator[Kept]:
    for pattern in (_OURS, f"{_OURS}.part"):
        for path in folder.glob(pattern):
            with suppress(OSError):
                about = path.stat()
                # a file with holes takes less than its length; Windows does not say
                size = about.st_blocks * 512 if hasattr(about, "st_blocks") else about.st_size
                yield Kept(path, size, about.st_mtime)


def _removed(path: Path) -> bool:
    """Remove a file, unless somebody writes it or has it open."""
    part = path if path.suffix == ".part" else path.with_name(f"{path.name}.part")
    with suppress(OSError):
        lock = WriterLock.taken(part)
        if lock is None:
            return False
        try:
            with closing(RawFile(path, writable=os.name != "nt")) as raw:
                if is_open(raw):
                    return False
                if os.name != "nt":
                    path.unlink()
            if os.name == "nt":
                path.unlink()
        finally:
            lock.release()
        return True
    return False


def _drop_leftovers(folder: Path) -> None:
    """Remove files that processes were killed while making: those untouched for a day."""
    for path in folder.glob(_LEFT):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _DAY:
                path.unlink()
