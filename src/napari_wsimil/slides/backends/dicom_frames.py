"""Tiles of one image of a DICOM series, decoded from the frames that wsidicom finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import LARGEST_PIECE, UnsupportedError
from napari_wsimil.slides.backends.tiff.planes import decode_jpeg, decode_reduced, jpeg_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

_JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_RUN_LENGTHS = "1.2.840.10008.1.2.5"
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_MAX_TILES = 1 << 26
"""Of one level; 65 million tiles are a slide of a million pixels a side in the smallest tiles in use (128 px)."""


class StoredImage:
    """One level, or one associated image.

    Parameters
    ----------
    slide
        Name for messages.
    instance
        wsidicom's `WsiInstance`; its default focal plane and optical path are read.

    Raises
    ------
    UnsupportedError
        The pixels are not 8-bit RGB.
    SlideError
        Its sizes are absurd.
    """

    def __init__(self, slide: str, instance: Any) -> None:
        from wsidicom.errors import WsiDicomNotFoundError
        from wsidicom.geometry import Point

        self.data = instance.image_data
        self._point, self._not_there = Point, WsiDicomNotFoundError
        self.width, self.height = int(instance.size.width), int(instance.size.height)
        self.tile_size = int(instance.tile_size.width), int(instance.tile_size.height)
        if self.data.samples_per_pixel != 3 or self.data.bits != 8:
            raise UnsupportedError(
                f"{slide} holds {self.data.bits}-bit DICOM images of {self.data.samples_per_pixel} colours; "
                "only brightfield slides (8-bit RGB) can be opened."
            )
        self._check_sizes(slide)
        self._z, self._path = instance.default_z, instance.default_path
        self._syntax = str(self.data.transfer_syntax)
        self._colours = str(self.data.photometric_interpretation)
        self.missing_frames = self._count_missing(instance)

    @property
    def is_jpeg(self) -> bool:
        """Whether libjpeg decodes the frames."""
        return self._syntax == _JPEG_BASELINE

    def _check_sizes(self, slide: str) -> None:
        width, height = self.tile_size
        columns, rows = -(-self.width // width), -(-self.height // height)
        if width * height > LARGEST_PIECE or columns * rows > _MAX_TILES:
            raise SlideError(
                f"{slide} says that it is {self.width} x {self.height} pixels in frames of {width} x {height}, "
                "which is no slide; copy it again."
            )

    def _count_missing(self, instance: Any) -> int:
        """Frames that a fully tiled image should have and has not."""
        from wsidicom.instance import TileType

        if instance.dataset.tile_type != TileType.FULL:
            return 0
        wanted = instance.tiled_size.area * len(self.data.focal_planes) * len(self.data.optical_paths)
        return max(0, wanted - sum(dataset.frame_count for dataset in instance.datasets))

    def read_tile(self, column: int, row: int, scratch: NDArray[np.uint8] | None = None) -> NDArray[np.uint8] | None:
        """(h, w, 3) uint8, in `scratch` where that is given and the frame is JPEG; None where there is no frame."""
        frame = self._frame(column, row)
        if frame is None:
            return None
        width, height = self.tile_size
        if self.is_jpeg:
            # memory of the stated size: a frame that says to be larger is refused by the decoder
            buffer = np.empty((height, width, 3), np.uint8) if scratch is None else scratch
            pixels = decode_jpeg(jpeg_stream(frame, None, self._colours == "RGB"), buffer)
        else:
            pixels = np.asarray(self.data.decoder.decode(frame))
            if self._is_ycbcr(frame):
                pixels = _from_ycbcr(pixels)
        if pixels.shape != (height, width, 3):
            raise ValueError(f"a frame of {pixels.shape} where {(height, width, 3)} is stated")
        return pixels

    def read_tile_reduced(self, column: int, row: int, factor: int) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile_reduced`."""
        frame = self._frame(column, row)
        if frame is None:
            return None
        width, height = self.tile_size
        return decode_reduced(jpeg_stream(frame, None, self._colours == "RGB"), factor, (height, width))

    def _frame(self, column: int, row: int) -> bytes | None:
        tile = self._point(column, row)
        if self.data.is_sparse(tile, self._z, self._path):
            return None
        try:
            frame: bytes = self.data.get_encoded_tile(tile, self._z, self._path)
        except self._not_there:
            # in a file of the series that is missing, which was said when it was opened
            return None
        return frame

    def _is_ycbcr(self, frame: bytes) -> bool:
        """Whether the decoder gives Y, Cb and Cr as they are stored; JPEG decoders turn them into RGB, these two do not."""
        if self._colours != "YBR_FULL":
            return False
        if self._syntax == _RUN_LENGTHS:
            return True
        # byte 8 of the coding style says whether the stream itself is to be turned into RGB
        start = frame.find(b"\xff\x52")
        return self._syntax in _JPEG_2000 and start >= 0 and frame[start + 8 : start + 9] == b"\0"

    def read(self) -> NDArray[np.uint8]:
        """The whole image, (height, width, 3) uint8."""
        if self.width * self.height > LARGEST_PIECE:
            raise ValueError(f"an image of {self.width} x {self.height} pixels")
        pixels = np.full((self.height, self.width, 3), 255, np.uint8)
        width, height = self.tile_size
        for y in range(0, self.height, height):
            for x in range(0, self.width, width):
                tile = self.read_tile(x // width, y // height)
                if tile is not None:
                    part = pixels[y : y + height, x : x + width]
                    part[...] = tile[: part.shape[0], : part.shape[1]]
        return pixels


def _from_ycbcr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.frombytes("YCbCr", pixels.shape[1::-1], pixels.tobytes()).convert("RGB"))
