"""Which pixel size to believe, and what to tell the user about it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_wsimil.errors import SlideError, SlideWarning

if TYPE_CHECKING:
    from napari_wsimil.slides.backends.base import Metadata

_PLAUSIBLE = {"tiff": (0.05, 5.0)}
_PLAUSIBLE_VENDOR = (0.02, 50.0)


@dataclass
class PixelSize:
    """The pixel size settled on.

    Parameters
    ----------
    mpp
        (x, y) µm per pixel of level 0, or None.
    source
        Who said so: "vendor", "ome", "dicom", "tiff", "user" or None.
    notices
        Sentences for the user.
    """

    mpp: tuple[float, float] | None
    source: str | None
    notices: list[str] = field(default_factory=list)


def settle(name: str, metadata: Metadata, user: float | tuple[float, float] | None) -> PixelSize:
    """The pixel size of a slide: the user's word, else the file's where it can be true.

    A plain TIFF resolution is often 72 dpi or wrong by a factor of 100, so it counts only between 0.05 and 5 µm per pixel;
    what a scanner or OME or DICOM says counts between 0.02 and 50.

    Warns
    -----
    SlideWarning
        The file states something that can't be true.
    """
    if user is not None:
        return PixelSize(_checked(user), "user")
    if metadata.mpp is None:
        return PixelSize(None, None, [f"{name} does not say how many micrometres a pixel measures; type it in (mpp)."])
    low, high = _PLAUSIBLE.get(metadata.mpp_source or "", _PLAUSIBLE_VENDOR)
    if all(low <= value <= high for value in metadata.mpp):
        return PixelSize(metadata.mpp, metadata.mpp_source)
    stated = f"{name} says that a pixel measures {metadata.mpp[0]:.4g} µm"
    text = f"{stated}, which can't be true of a slide; type the right value in (mpp)."
    warnings.warn(text, SlideWarning, stacklevel=3)
    return PixelSize(None, None, [text])


def _checked(user: float | tuple[float, float]) -> tuple[float, float]:
    x, y = user if isinstance(user, tuple) else (user, user)
    if not all(math.isfinite(value) and value > 0 for value in (x, y)):
        raise SlideError(f"mpp must be a positive number of micrometres per pixel, not {user}.")
    return float(x), float(y)
