"""RGB stored as three grey images (planar configuration 2)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.slides.backends.base import UnsupportedError
from napari_wsimil.slides.backends.tiff.planes import cut_raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.byte_reader import ByteReader
    from napari_wsimil.slides.backends.tiff.planes import Plane


class SeparatePlanes:
    """Red, green and blue of one level, each with tiles of its own; a `StoredImage`.

    Parameters
    ----------
    plane
        The whole page: its tiles are those of red, then green, then blue.
    raw
        They are uncompressed strips.
    """

    def __init__(self, plane: Plane, *, raw: bool) -> None:
        self.width, self.height = plane.width, plane.height
        count = len(plane.offsets) // 3
        self._channels = [_channel(plane, first, count) for first in (0, count, 2 * count)]
        if raw:
            for channel in self._channels:
                cut_raw(channel, 1)
        # each channel alone may lie in one piece or not
        if len({channel.tile_size for channel in self._channels}) > 1:
            raise UnsupportedError("Its red, green and blue are stored in pieces of different sizes.")
        self.tile_size = self._channels[0].tile_size

    def read_tile(
        self, reader: ByteReader, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        parts = [channel.read_tile(reader, column, row) for channel in self._channels]
        shape = next((part.shape for part in parts if part is not None), None)
        if shape is None:
            return None
        # a channel without bytes counts as white, as the whole tile would
        return np.concatenate([np.full(shape, 255, np.uint8) if part is None else part for part in parts], axis=2)

    def cut(self, size: int) -> tuple[int, int]:
        """See `StoredImage.cut`. A tile without one of its colours counts as not scanned."""
        stored = sum(1 for counts in zip(*(channel.counts for channel in self._channels), strict=True) if any(counts))
        lost = set().union(*(channel.beyond(size) for channel in self._channels))
        for channel in self._channels:
            for index in lost:
                channel.counts[index] = 0
        return len(lost), stored

    def looks_sound(self, reader: ByteReader) -> bool:
        """See `StoredImage.looks_sound`."""
        return all(channel.looks_sound(reader) for channel in self._channels)


def _channel(plane: Plane, first: int, count: int) -> Plane:
    """One channel, which is decoded as the tiles from `first` on of the page."""
    return replace(
        plane,
        offsets=plane.offsets[first : first + count],
        counts=plane.counts[first : first + count],
        decode=partial(_decode_behind, plane.decode, first),
        samples=1,
    )


def _decode_behind(decode: Callable[..., Any], first: int, data: bytes, index: int, **options: Any) -> Any:
    return decode(data, first + index, **options)
