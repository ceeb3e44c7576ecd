"""What the vendors' layouts share: numbers and pictures out of XML, and sentences for what is wrong."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import simplejpeg

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import LARGEST_PIECE, LONGEST_SIDE, UnsupportedError
from napari_wsimil.slides.backends.tiff.metadata import parse_xml, tiff_properties

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from xml.etree import ElementTree as ET

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.tiff.layout import StoredImage

_LARGEST_WHOLE = 1 << 63
_LARGE_TILE = 4096
_LARGEST_CANVAS = 4e11
"""Pixels: two whole glasses at 0.1 µm per pixel."""


def damaged(name: str, why: str) -> SlideError:
    """The error for what no reader should touch: other readers reserve memory by such numbers before they look at them."""
    return SlideError(f"{name} is damaged: {why}; copy it again or export it anew.")


def read_xml(name: str, text: str) -> ET.Element:
    """The root of what a scanner wrote; `SlideError` where it is no XML, or XML that defines entities."""
    root = parse_xml(text)
    if root is None:
        raise damaged(name, "the scanner's description in it is no XML that can be read")
    return root


def number(name: str, attributes: Mapping[str, str], key: str) -> float:
    """A finite number among the attributes of an XML element.

    Raises
    ------
    SlideError
        It is missing or no number.
    """
    try:
        value = float(attributes[key])
    except (KeyError, ValueError) as error:
        raise damaged(name, f"the scanner's description in it has no number {key}") from error
    if not math.isfinite(value):
        raise damaged(name, f"the scanner's description in it has no number {key}")
    return value


def whole(name: str, attributes: Mapping[str, str], key: str) -> int:
    """A whole number among the attributes of an XML element; as `number`."""
    value = number(name, attributes, key)
    if value != int(value) or abs(value) > _LARGEST_WHOLE:
        raise damaged(name, f"{key} in it should be a whole number, not {value:g}")
    return int(value)


def check_canvas(name: str, width: float, height: float) -> None:
    """Refuse a canvas without pixels, and one larger than any slide."""
    if not (1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE and width * height <= _LARGEST_CANVAS):
        raise damaged(name, f"it states an image of {width:.6g} x {height:.6g} pixels")


def check_tiles(name: str, frame: Any) -> None:
    """Refuse tiles without pixels, and tiles much larger than the image, which would take memory for nothing."""
    sides = (frame.tilewidth, frame.imagewidth), (frame.tilelength, frame.imagelength)
    if not all(isinstance(number, int) for side in sides for number in side):
        raise damaged(name, "it states more than one size for its tiles")
    if not all(1 <= tile <= max(_LARGE_TILE, 2 * image) for tile, image in sides):
        raise damaged(name, f"it states tiles of {frame.tilewidth} x {frame.tilelength} pixels")


def page_properties(page: Any) -> dict[str, str]:
    """The TIFF tags of a page without its description, which holds a whole XML document."""
    return {key: value for key, value in tiff_properties(page) if key != "tiff.ImageDescription"}


def check_descending(name: str, images: Sequence[StoredImage]) -> None:
    """Refuse levels that do not get smaller, and none at all."""
    if not images:
        raise UnsupportedError(f"{name} holds no level of a pyramid.")
    widths = [image.width for image in images]
    if any(later > earlier for earlier, later in pairwise(widths)):
        raise UnsupportedError(f"{name} holds levels that are not sorted by size ({', '.join(map(str, widths))} pixels wide).")


def small_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG that lies beside the pages, (rows, columns, 3) uint8.

    Raises
    ------
    ValueError
        It is no JPEG, or too large for a picture of a label or a glass.
    """
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    if height * width > LARGEST_PIECE:
        raise ValueError(f"an image of {width} x {height} pixels is too large for a macro image")
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB")
    return pixels
