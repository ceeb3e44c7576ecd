"""MRXS, VMS and whatever else OpenSlide opens.

OpenSlide draws a level with its own tiles in place. Where tiles overlap or their downsample is no whole number (most MRXS
levels), it interpolates: such pixels are OpenSlide's, not the scanner's.
"""

from __future__ import annotations

import glob
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import openslide
from PIL.ImageCms import PyCMSError

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import (
    LARGEST_PIECE,
    Backend,
    Metadata,
    TileError,
    UnsupportedError,
    make_levels,
    said,
)
from napari_wsimil.slides.backends.byte_reader import file_digest
from napari_wsimil.slides.backends.dicom_series import dicom_files
from napari_wsimil.slides.backends.tiff.directories import check_extents, is_tiff
from napari_wsimil.slides.backends.tiff.metadata import read_number

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

_TILE = 512
_CACHE_BYTES = 1 << 24
"""For native tiles that the edges of ours cut; whole tiles are kept by our own cache."""
_MANY_FILES = ("mirax", "hamamatsu")
"""Vendors whose pixels lie in files beside the one that is opened."""


class OpenSlideBackend(Backend):
    """A slide read through OpenSlide; transparent pixels (nothing scanned) become white."""

    name = "openslide"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._closed = False
        self._handle = self._open()
        given = _properties(self._handle)
        sizes = self._handle.level_dimensions
        if not sizes or min(map(min, sizes)) < 1:
            self.close()
            raise UnsupportedError(f"{path.name} holds levels without pixels.")
        self.levels = make_levels(sizes, [_tile_size(given, index) for index in range(len(sizes))])
        # OpenSlide wants level-0 coordinates; its own downsamples are the ones it divides them by again
        self._downsamples = self._handle.level_downsamples
        self.metadata = self._metadata(given)

    def _open(self) -> openslide.OpenSlide:
        if self.path.is_file() and is_tiff(self.path):
            # OpenSlide takes memory as the file tells it to, and ends the process where there is not so much
            check_extents(self.path)
        # of a DICOM series OpenSlide wants one file and finds the others itself
        files = dicom_files(self.path) if self.path.is_dir() else [self.path]
        try:
            handle = openslide.OpenSlide(files[0] if files else self.path)
            handle.set_cache(openslide.OpenSlideCache(_CACHE_BYTES))
            return handle
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise UnsupportedError(f"{self.path.name} is no slide in a format that OpenSlide reads.") from error
        except (openslide.OpenSlideError, OSError) as error:
            raise UnsupportedError(f"{self.path.name} can't be opened by OpenSlide ({said(error, self.path)}).") from error

    def _metadata(self, given: dict[str, str]) -> Metadata:
        vendor = given.get("openslide.vendor", "unknown")
        power = read_number(given.get("openslide.objective-power"))
        metadata = Metadata(vendor, given, objective_power=power, icc_profile=self._profile())
        x, y = (read_number(given.get(f"openslide.mpp-{axis}")) for axis in "xy")
        if x and y:
            source = {"dicom": "dicom", "generic-tiff": "tiff"}.get(vendor, "vendor")
            metadata.mpp, metadata.mpp_source = (x, y), source
        return metadata

    def _profile(self) -> bytes | None:
        try:
            profile = self._handle.color_profile
        except (openslide.OpenSlideError, OSError, PyCMSError):
            return None
        return None if profile is None else profile.tobytes()

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        about = self.levels[level]
        x, y = column * about.tile_size[0], row * about.tile_size[1]
        size = min(about.tile_size[0], about.width - x), min(about.tile_size[1], about.height - y)
        downsample = self._downsamples[level]
        handle = self._handle
        place = round(x * downsample), round(y * downsample)
        try:
            region = handle.read_region(place, level, size)
        except (openslide.OpenSlideError, OSError):
            self._revive(handle)
            region = self._read_alone(place, level, size)
        return _on_white(region)

    def _read_alone(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
        """Read with a handle that nobody else uses: the error of another thread is told to all that read at the same time."""
        try:
            with self._open() as handle:
                return handle.read_region(place, level, size)
        except (openslide.OpenSlideError, OSError, SlideError) as error:
            raise TileError(said(error, self.path)) from error

    def _revive(self, broken: openslide.OpenSlide) -> None:
        """Open again: after one error OpenSlide refuses every further read of the same handle."""
        with self._lock, suppress(SlideError, OSError):
            # a file that is gone can't be opened again
            if self._handle is broken and not self._closed:
                self._handle = self._open()

    def associated_names(self) -> tuple[str, ...]:
        """See `Backend.associated_names`."""
        return tuple(self._handle.associated_images)

    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """See `Backend.associated_image`."""
        given = self.metadata.properties
        width, height = (int(given.get(f"openslide.associated.{name}.{side}", 1)) for side in ("width", "height"))
        if width * height > LARGEST_PIECE:
            raise ValueError(f"{width} x {height} pixels")
        handle = self._handle
        try:
            pixels = _on_white(handle.associated_images[name])
        except (openslide.OpenSlideError, OSError, KeyError) as error:
            # KeyError for an image that was listed and has no size
            self._revive(handle)
            raise ValueError(said(error, self.path)) from error
        return np.full((1, 1, 3), 255, np.uint8) if pixels is None else pixels

    def identity(self) -> Iterable[bytes]:
        """See `Backend.identity`."""
        given = self.metadata.properties
        if self.metadata.vendor == "dicom":
            # the same whichever member of the series was opened, and the same as wsidicom tells
            yield given.get("dicom.SOPInstanceUID", "").encode()
            return
        yield file_digest(self.path)
        if self.metadata.vendor in _MANY_FILES:
            yield given.get("openslide.quickhash-1", "").encode()

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            self._closed = True
            self._handle.close()


def _properties(handle: openslide.OpenSlide) -> dict[str, str]:
    """What the file says of itself; what names the patient stays in it."""
    given = {}
    for key in handle.properties:
        # a name that is no UTF-8 in the file is found under no key
        with suppress(KeyError):
            given[key] = handle.properties[key]
    return {key: value for key, value in given.items() if not key.startswith("dicom.Patient")}


def _tile_size(given: dict[str, str], level: int) -> tuple[int, int]:
    """A multiple of the native tile of about 512 px: each call of OpenSlide has a price of its own."""
    native = [int(given.get(f"openslide.level[{level}].tile-{side}", _TILE)) for side in ("width", "height")]
    width, height = (side * max(1, round(_TILE / side)) if 1 <= side <= 2 * _TILE else _TILE for side in native)
    return width, height


def _on_white(image: Image.Image) -> NDArray[np.uint8] | None:
    """RGB of an RGBA image over white; None where all of it is transparent."""
    if image.mode != "RGBA":
        return np.asarray(image.convert("RGB"))
    lowest, highest = image.getchannel("A").getextrema()
    if not highest:
        return None
    if lowest == 255:
        return np.asarray(image.convert("RGB"))
    pixels = np.asarray(image).astype(np.uint16)
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    # OpenSlide gives colour * alpha; its Python binding divides by alpha and cuts the fraction off, which rounding up undoes
    over: NDArray[np.uint8] = ((colour * alpha + 254) // 255 + 255 - alpha).clip(max=255).astype(np.uint8)
    return over


def is_openslide(path: Path) -> bool:
    """Whether OpenSlide knows the format of a file, by its content."""
    try:
        return openslide.OpenSlide.detect_format(path) is not None
    except (openslide.OpenSlideError, OSError, ValueError):
        return False


def mirax_file(folder: Path) -> Path | None:
    """The .mrxs file that the folder of its data belongs to; None for any other path."""
    if not folder.is_dir() or not (folder / "Slidedat.ini").is_file():
        return None
    return next((file for file in folder.parent.glob(f"{glob.escape(folder.name)}.*") if file.suffix.lower() == ".mrxs"), None)
