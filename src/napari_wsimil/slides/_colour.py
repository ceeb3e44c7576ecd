"""From the colours of the scanner to sRGB, by the ICC profile that a slide carries."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_wsimil.errors import SlideError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = Literal["raw", "srgb"]
COLOURS: tuple[Colour, ...] = ("raw", "srgb")
_ROWS = 512
"""Rows converted at once; the conversion holds copies of them."""


class ToSRGB:
    """Converts pixels with the profile's own rendering intent. Each thread has a transform of its own.

    Parameters
    ----------
    name
        Of the slide, for messages.

    Raises
    ------
    SlideError
        The profile is damaged, or not one of RGB.
    """

    def __init__(self, profile: bytes, name: str) -> None:
        self._profile, self._name = profile, name
        self._local = threading.local()
        self._transform()

    def _transform(self) -> Any:
        from PIL import ImageCms

        found = getattr(self._local, "transform", None)
        if found is None:
            try:
                source = ImageCms.ImageCmsProfile(io.BytesIO(self._profile))
                intent = ImageCms.Intent(ImageCms.getDefaultIntent(source))
                found = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB", intent)
            except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
                raise SlideError(
                    f"{self._name} carries a colour profile that can't be used ({error}); read it with colour='raw'."
                ) from error
            self._local.transform = found
        return found

    def apply(self, pixels: NDArray[np.uint8]) -> None:
        """Convert (..., width, 3) uint8 RGB where it stands."""
        from PIL import Image, ImageCms

        transform = self._transform()
        for plane in pixels.reshape(-1, *pixels.shape[-3:]) if pixels.ndim > 3 else [pixels]:
            for top in range(0, plane.shape[0], _ROWS):
                rows = plane[top : top + _ROWS]
                if rows.size:
                    rows[...] = np.asarray(ImageCms.applyTransform(Image.fromarray(rows), transform))


def check_colour(colour: str) -> None:
    """Raise `SlideError` for what is no way to read colours."""
    if colour not in COLOURS:
        raise SlideError(f"Colours are read as {' or '.join(map(repr, COLOURS))}, not {colour!r}.")
