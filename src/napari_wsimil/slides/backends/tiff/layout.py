"""What the pages of a TIFF mean: the images of its pyramid, its metadata and its associated images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides._cache import SlideTiles
    from napari_wsimil.slides.backends.base import Metadata
    from napari_wsimil.slides.backends.byte_reader import ByteReader


class StoredImage(Protocol):
    """One level of a TIFF slide, wherever its tiles lie."""

    @property
    def width(self) -> int:
        """Pixels of this level."""

    @property
    def height(self) -> int:
        """Pixels of this level."""

    @property
    def tile_size(self) -> tuple[int, int]:
        """(width, height) of what is decoded as one."""

    def cut(self, size: int) -> tuple[int, int]:
        """Count as not scanned what lies beyond `size` bytes, the length of the file; (pieces lost, pieces stated)."""

    def read_tile(
        self, reader: ByteReader, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""

    def looks_sound(self, reader: ByteReader) -> bool:
        """Whether at least one of a few tiles has a head that makes sense; decodes nothing."""


@dataclass
class Layout:
    """What a vendor's file holds.

    Parameters
    ----------
    images
        Finest first.
    associated
        name -> function that reads that image, (rows, columns, 3) uint8, from the file opened anew with tifffile.
    native_tiles
        Decoded tiles that the images keep beside those of the slide, to be dropped with it; None where they keep none.
    """

    images: Sequence[StoredImage]
    metadata: Metadata
    associated: Mapping[str, Callable[[Any], NDArray[np.uint8]]] = field(default_factory=dict)
    native_tiles: SlideTiles | None = None
