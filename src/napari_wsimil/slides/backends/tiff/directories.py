"""The chain of directories (IFDs) of a TIFF, walked before tifffile does: it would follow a circle for ever."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from napari_wsimil.errors import SlideError

if TYPE_CHECKING:
    from pathlib import Path

_NDPI_FORMAT = 65420
"""The tag that all NDPI files have."""
_MOST_TAGS = 4096
_MOST_DIRECTORIES = 1 << 16


class _Shape(NamedTuple):
    """How a directory is written: formats of the tag count and of an offset, and the size of a tag in bytes."""

    tags: str
    offset: str
    tag: int


def is_ndpi(path: Path) -> bool:
    """Whether the first directory has Hamamatsu's tag at the 64-bit offset of NDPI; the suffix does not matter."""
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"II*\0":
            return False
        # another TIFF's first offset has 32 bits; with whatever follows it, it lies beyond the end of the file or at no tags
        offset = struct.unpack("<Q", head[4:])[0]
        if offset > path.stat().st_size:
            return False
        file.seek(offset)
        count = int.from_bytes(file.read(2), "little")
        tags = file.read(12 * min(count, _MOST_TAGS))
    return any(tags[at : at + 2] == _NDPI_FORMAT.to_bytes(2, "little") for at in range(0, len(tags), 12))


def check_directories(path: Path, *, ndpi: bool) -> None:
    """Refuse a chain of directories that is no chain.

    Raises
    ------
    SlideError
        It comes back to where it was, or has more than 65,536 members.
    """
    with path.open("rb") as file:
        shape = _shape(file.read(8), ndpi=ndpi)
        file.seek(8 if shape.tag == 20 else 4)
        seen: set[int] = set()
        offset = _number(file, shape.offset)
        while offset:
            if offset in seen or len(seen) == _MOST_DIRECTORIES:
                raise SlideError(f"{path.name} is damaged: its directories lead in a circle; copy it again or export it anew.")
            seen.add(offset)
            file.seek(min(offset, 1 << 62))
            count = _number(file, shape.tags)
            if not 0 < count <= _MOST_TAGS:
                return
            file.seek(count * shape.tag, 1)
            offset = _number(file, shape.offset)


def _shape(head: bytes, *, ndpi: bool) -> _Shape:
    order = "<" if head[:2] == b"II" else ">"
    if head[2:4] in (b"+\0", b"\0+"):
        return _Shape(f"{order}Q", f"{order}Q", 20)
    return _Shape(f"{order}H", f"{order}{'Q' if ndpi else 'I'}", 12)


def _number(file: BinaryIO, form: str) -> int:
    """The next number, 0 at the end of the file."""
    data = file.read(struct.calcsize(form))
    return int(struct.unpack(form, data)[0]) if len(data) == struct.calcsize(form) else 0
