"""Figures as PNG and TIFF, compressed strip by strip: Pillow would want the whole picture in memory."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import tifffile

from napari_wsimil import __version__
from napari_wsimil.exports.figures.painting import strip_rows, strips
from napari_wsimil.inference.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.exports.figures.layout import Page
    from napari_wsimil.slides import Slide

Report = Callable[[Progress], None]
"""Hears how far it is; raises `CancelledError` where it is to stop."""

DRAWING = "Drawing the figure"
_LEVEL = 4
"""Of zlib: the higher ones take twice as long for a few percent."""
_INCH = 0.0254
_CLASSIC = 4_000_000_000
"""Bytes of pixels beyond which a TIFF of the classic kind could not point at all of them."""
_HORIZONTAL_DIFFERENCES = 2
"""TIFF's predictor: each pixel less the one left of it."""


def write_png(page: Page, slide: Slide, path: Path, report: Report) -> None:
    """Write a PNG, with its size in print and a sentence on what it shows; `report` hears of each strip."""
    per_metre = round(page.dpi / _INCH)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", page.width, page.height, 8, 2, 0, 0, 0))
        _chunk(file, b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1))
        _chunk(file, b"iTXt", b"Description\0\0\0\0\0" + page.about.encode())
        _chunk(file, b"iTXt", b"Software\0\0\0\0\0" + f"napari-wsimil {__version__}".encode())
        squeeze = zlib.compressobj(_LEVEL)
        for strip in _reported(page, slide, report):
            # Each row begins with how it was filtered: 1, as differences.
            rows = np.pad(_differences(strip).reshape(len(strip), -1), ((0, 0), (1, 0)), constant_values=1)
            if packed := squeeze.compress(rows.tobytes()):
                _chunk(file, b"IDAT", packed)
        _chunk(file, b"IDAT", squeeze.flush())
        _chunk(file, b"IEND", b"")


def write_tiff(page: Page, slide: Slide, path: Path, report: Report) -> None:
    """Write a TIFF of strips, with its size in print and a sentence on what it shows; a BigTIFF beyond 4 GB."""
    shape = page.height, page.width, 3
    packed = (zlib.compress(_differences(strip).tobytes(), _LEVEL) for strip in _reported(page, slide, report))
    with tifffile.TiffWriter(path, bigtiff=math.prod(shape) > _CLASSIC) as tiff:
        tiff.write(
            packed,
            shape=shape,
            dtype=np.uint8,
            photometric="rgb",
            rowsperstrip=strip_rows(page),
            compression="adobe_deflate",
            predictor=_HORIZONTAL_DIFFERENCES,
            resolution=(page.dpi, page.dpi),
            resolutionunit="INCH",
            description=page.about.encode(),
            software=f"napari-wsimil {__version__}",
            metadata=None,
        )


def _reported(page: Page, slide: Slide, report: Report) -> Iterator[NDArray[np.uint8]]:
    done = 0
    for strip in strips(page, slide):
        yield strip
        done += len(strip)
        report(Progress(DRAWING, done, page.height))


def _differences(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each pixel less the one left of it, modulo 256, which compresses to much less."""
    found = strip.copy()
    found[:, 1:] -= strip[:, :-1]
    return found


def _chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
