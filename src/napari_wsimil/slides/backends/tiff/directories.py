"""The chain of directories (IFDs) of a TIFF, walked before other readers do.

tifffile would follow a circle for ever, and OpenSlide takes memory as the file tells it to.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import LARGEST_PIECE, LONGEST_SIDE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_NDPI_FORMAT = 65420
"""The tag that all NDPI files have."""
_MOST_TAGS = 4096
_MOST_DIRECTORIES = 1 << 16
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Of one value, by the number of its type."""
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_SIDES = ((256, 257), (322, 323), (256, 278))
"""Width and height of an image, of its tiles, and of its strips."""
_LENGTHS = frozenset(tag for sides in _SIDES for tag in sides)
_WANTED = _LENGTHS | {*_OFFSETS, *_COUNTS}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}
"""Numbers by their type; libtiff takes any of them where one is wanted."""


class _Shape(NamedTuple):
    """How a directory is written: formats of the tag count and of an offset, and the size of a tag in bytes."""

    tags: str
    offset: str
    tag: int


class _Directory(NamedTuple):
    """Where a directory lies, and how many tags it has; 0 for one that can't be read."""

    offset: int
    tags: int


def is_tiff(path: Path) -> bool:
    """Whether a file starts like a TIFF or BigTIFF."""
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


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


def check_directories(path: Path, *, ndpi: bool) -> bool:
    """Refuse a chain of directories that is no chain.

    Returns
    -------
    Whether it is whole; else it breaks off after the first directory.

    Raises
    ------
    SlideError
        It comes back to where it was, or has more than 65,536 members, or begins beyond the end of the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        found = list(_directories(path, file, _shape(file.read(8), ndpi=ndpi)))
    if found and not found[0].tags and found[0].offset >= size:
        raise SlideError(
            f"{path.name} is cut off: the list of its images, which says where pixels lie, is lost; copy it again."
        )
    return all(directory.tags for directory in found)


def check_extents(path: Path) -> None:
    """Refuse a TIFF that states more bytes than it has, or pieces too large to be decoded as one.

    Raises
    ------
    SlideError
        It does.
    """
    size = path.stat().st_size
    ndpi = is_ndpi(path)
    with path.open("rb") as file:
        shape = _shape(file.read(8), ndpi=ndpi)
        for _, count in _directories(path, file, shape):
            values = dict(_values(path, file.read(count * shape.tag), file, shape, size))
            _check_sizes(path, values)
            for offsets, counts in () if ndpi else zip(_OFFSETS, _COUNTS, strict=True):
                start, length = (values.get(tag, np.zeros(1)).astype(np.float64) for tag in (offsets, counts))
                shared = min(len(start), len(length))
                if length.max() > size or (start[:shared] + length[:shared]).max() > size:
                    raise SlideError(f"{path.name} is cut off: it states pixels beyond its end; copy it again.")


def _check_sizes(path: Path, values: dict[int, NDArray[np.generic]]) -> None:
    image, tile, strip = ([int(values[tag][0]) if tag in values else 0 for tag in sides] for sides in _SIDES)
    if max(image) > LONGEST_SIDE or min(image) < 0:
        raise SlideError(f"{path.name} states an image of {image[0]} x {image[1]} pixels, which is no slide; copy it again.")
    # a strip may claim to have more rows than the image
    for width, height in (tile, (strip[0], min(strip[1], image[1]))):
        if width * height > LARGEST_PIECE:
            raise SlideError(f"{path.name} is compressed in pieces of {width} x {height} pixels, too large to decode one.")


def _values(path: Path, tags: bytes, file: BinaryIO, shape: _Shape, size: int) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Numbers of the tags that say how large something is; all tags must lie within the file."""
    order, (form, wide) = shape.tags[0], ("Q", 8) if shape.tag == 20 else ("I", 4)
    # NDPI keeps the upper half of an offset elsewhere
    ndpi = wide == 4 and shape.offset[1] == "Q"
    for at in range(0, len(tags) - shape.tag + 1, shape.tag):
        code, kind, count = struct.unpack(f"{order}HH{form}", tags[at : at + 4 + wide])
        if code in _LENGTHS and count != 1:
            raise SlideError(
                f"{path.name} is damaged: it states {count} numbers for one size; copy it again or export it anew."
            )
        length = count * _BYTES.get(kind, 1)
        data = tags[at + 4 + wide : at + shape.tag]
        if length > wide:
            offset = 0 if ndpi else int(struct.unpack(f"{order}{form}", data)[0])
            if offset + length > size:
                raise SlideError(f"{path.name} is cut off: it states values beyond its end; copy it again.")
            if code in _WANTED:
                file.seek(offset)
                data = file.read(length)
        if code in _WANTED and kind in _INTEGERS and count and not (ndpi and length > wide):
            yield code, np.frombuffer(data[:length], f"{order}{_INTEGERS[kind]}")


def _directories(path: Path, file: BinaryIO, shape: _Shape) -> Iterator[_Directory]:
    """Go to the tags of each directory of the chain in turn; the last has no tags where the chain breaks off."""
    size = path.stat().st_size
    file.seek(8 if shape.tag == 20 else 4)
    seen: set[int] = set()
    offset = _number(file, shape.offset)
    while offset:
        if offset in seen or len(seen) == _MOST_DIRECTORIES:
            raise SlideError(f"{path.name} is damaged: its directories lead in a circle; copy it again or export it anew.")
        seen.add(offset)
        file.seek(min(offset, size))
        count = _number(file, shape.tags)
        start = file.tell()
        if not 0 < count <= _MOST_TAGS or start + count * shape.tag > size:
            yield _Directory(offset, 0)
            return
        yield _Directory(offset, count)
        file.seek(start + count * shape.tag)
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
