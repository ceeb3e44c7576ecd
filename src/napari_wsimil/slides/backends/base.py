"""What a backend is: a file parsed once, whose stored levels are read tile by tile."""

from __future__ import annotations

import os
import struct
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from napari_wsimil.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

DECODE_ERRORS = (ValueError, RuntimeError, OSError, TypeError, LookupError, ArithmeticError, struct.error, zlib.error)
"""What the decoders raise for damaged data; each library has its own habit."""


LARGEST_PIECE = 1 << 26
"""Pixels that are decoded as one: 192 MB. What is compressed in larger pieces is refused."""
LONGEST_SIDE = 10_000_000
"""Pixels of a canvas in either direction: half a metre of glass at the finest scan."""
_LONGEST_QUOTE = 120


class UnsupportedError(SlideError):
    """A file that one backend does not read; another one may.

    Parameters
    ----------
    expected
        The format belongs to another backend, which is nothing to tell the user.
    """

    def __init__(self, text: str, *, expected: bool = False) -> None:
        super().__init__(text)
        self.expected = expected


class TileError(Exception):
    """One tile can't be decoded; the rest of the slide stays usable.

    Parameters
    ----------
    pixels
        What of the tile could be decoded, white elsewhere; None for nothing.
    """

    def __init__(self, text: str, pixels: NDArray[np.uint8] | None = None) -> None:
        super().__init__(text)
        self.pixels = pixels


def said(error: Exception, path: Path) -> str:
    """What a library says of a file, fit to stand within a sentence of ours: one short line without the folder of `path`."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    for folder in (path.absolute(), path.absolute().parent):
        text = text.replace(f"{folder}{os.sep}", "")
    # a library may quote any bytes of the file
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text[:_LONGEST_QUOTE].rstrip(". ")


@dataclass(frozen=True)
class Level:
    """One stored resolution of the pyramid.

    Parameters
    ----------
    index
        0 is the finest.
    width, height
        Size in pixels of this level.
    downsample
        Width of level 0 over the width of this level, never rounded.
    tile_size
        (width, height) of the tiles that are decoded as one.
    """

    index: int
    width: int
    height: int
    downsample: float
    tile_size: tuple[int, int]

    @property
    def tiles(self) -> tuple[int, int]:
        """Columns and rows of tiles; the last ones may hang over the edge."""
        return -(-self.width // self.tile_size[0]), -(-self.height // self.tile_size[1])


@dataclass
class Metadata:
    """What a file says of itself.

    Parameters
    ----------
    mpp
        (x, y) µm per pixel of level 0 as stated, plausible or not; None where nothing is stated.
    mpp_source
        "vendor", "ome", "dicom" or "tiff"; None with `mpp` None.
    icc_profile
        What the colours of the pixels mean, as an ICC profile; None where the file does not say.
    notices
        Sentences that the user must see.
    """

    vendor: str
    properties: dict[str, str]
    mpp: tuple[float, float] | None = None
    mpp_source: str | None = None
    objective_power: float | None = None
    icc_profile: bytes | None = None
    notices: list[str] = field(default_factory=list)


class Backend(ABC):
    """One open file. All reads are thread-safe; nothing is decoded before the first read."""

    name: ClassVar[str]
    path: Path
    levels: tuple[Level, ...]
    metadata: Metadata

    @abstractmethod
    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """Decode one tile.

        Returns
        -------
        (h, w, 3) uint8, possibly larger than the part inside the level or, in the last row or column, exactly that part;
        None where nothing was scanned. The pixels may lie in `scratch` (tile height, tile width, 3) when it is given.

        Raises
        ------
        TileError
            The tile is damaged.
        """

    @property
    def reduces(self) -> bool:
        """Whether `read_tile_reduced` works for the tiles of all levels."""
        return False

    def read_tile_reduced(self, level: int, column: int, row: int, factor: int) -> NDArray[np.uint8] | None:
        """Decode one tile to 1 / `factor` of its size (2, 4 or 8) by libjpeg's scaled decoding.

        Much cheaper than all pixels, and 44 to 50 dB from their mean. Only where `reduces` says so.

        Returns
        -------
        (ceil(h / factor), ceil(w / factor), 3) uint8; None where nothing was scanned.

        Raises
        ------
        TileError
            The tile is damaged.
        """
        raise UnsupportedError(f"{self.name} slides can't be decoded at a reduced size ({level}, {column}, {row}, {factor}).")

    @abstractmethod
    def associated_names(self) -> tuple[str, ...]:
        """Names of the associated images: "thumbnail", "macro", "label" ..."""

    @abstractmethod
    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """Decode one associated image to (h, w, 3) uint8; KeyError for a name that is not there."""

    @abstractmethod
    def identity(self) -> Iterable[bytes]:
        """A few bytes that tell this slide from others, the same wherever the file lies."""

    @abstractmethod
    def close(self) -> None:
        """Release the file; may be called twice."""


def make_levels(sizes: Iterable[tuple[int, int]], tile_sizes: Iterable[tuple[int, int]]) -> tuple[Level, ...]:
    """Levels from their (width, height) and tile sizes, finest first."""
    pairs = list(zip(sizes, tile_sizes, strict=True))
    width0 = pairs[0][0][0]
    return tuple(Level(i, w, h, width0 / w, tile) for i, ((w, h), tile) in enumerate(pairs))
