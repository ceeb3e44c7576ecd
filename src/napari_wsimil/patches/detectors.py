"""Telling tissue from glass, pen and dust on an overview of a slide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_wsimil.errors import SlideError
from napari_wsimil.patches._artefacts import find_pen

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Detector = Callable[[NDArray[np.uint8], float | None], Mask]

_SATURATION = 0.06, 0.1
"""Glass stays below, stained tissue above: Otsu's threshold is kept in here, so that a field full of tissue is not halved."""
_DARKNESS = 0.06, 0.2
_STROKE_UM = 30.0
_HOLE_UM2 = 40_000.0
_PIECE_UM2 = 20_000.0


def tissue_from_image(rgb: NDArray[np.uint8], mpp: float | None = None) -> Mask:
    """Find tissue by saturation, pen marks and grey or black artefacts left out.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 overview.
    mpp
        µm per pixel of the overview. Small holes and pieces are judged in µm², or as parts of the image where it is None.

    Returns
    -------
    (H, W) bool.
    """
    saturation = _smooth(_saturation(rgb))
    tissue = saturation > _threshold(saturation, *_SATURATION)
    pen = find_pen(rgb, _stroke_radius(rgb.shape, mpp))
    return _clean(tissue & ~pen, mpp, barred=pen)


def tissue_by_otsu(rgb: NDArray[np.uint8], mpp: float | None = None) -> Mask:
    """Find whatever is darker than glass, by Otsu's threshold; pen counts as tissue. Arguments as `tissue_from_image`."""
    darkness = _smooth(1 - rgb.mean(-1, dtype=np.float32) / 255)
    return _clean(darkness > _threshold(darkness, *_DARKNESS), mpp)


TISSUE_METHODS: dict[str, Detector] = {"hsv-otsu": tissue_from_image, "otsu": tissue_by_otsu}


def detector(method: str) -> Detector:
    """Look up a tissue detector by name.

    Raises
    ------
    SlideError
        There is none of that name.
    """
    if method not in TISSUE_METHODS:
        raise SlideError(f"There is no tissue method {method!r}; choose one of {', '.join(TISSUE_METHODS)}.")
    return TISSUE_METHODS[method]


def _saturation(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """HSV saturation, 0 to 1; black counts as grey."""
    # plane by plane in memory: ten times as fast as over the last axis
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    brightest = planes.max(0).astype(np.float32)
    saturation: NDArray[np.float32] = (brightest - planes.min(0)) / np.maximum(brightest, 1)
    return saturation


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(values, 1.0, mode="nearest")
    return smooth


def _threshold(values: NDArray[np.float32], low: float, high: float) -> float:
    if float(values.min()) == float(values.max()):
        return high
    return float(np.clip(threshold_otsu(values), low, high))


def _stroke_radius(shape: tuple[int, ...], mpp: float | None) -> int:
    return max(1, round(max(shape) / 250 if mpp is None else _STROKE_UM / mpp))


def _clean(tissue: Mask, mpp: float | None, barred: Mask | None = None) -> Mask:
    """Fill small holes (vessels, fat) and drop small pieces (dust); nothing is filled where `barred`."""
    filled = tissue | _small(~tissue, _pixels(_HOLE_UM2, tissue, mpp))
    if barred is not None:
        filled &= ~barred
    return filled & ~_small(filled, _pixels(_PIECE_UM2, tissue, mpp))


def _pixels(area_um2: float, image: Mask, mpp: float | None) -> int:
    """An area in pixels; without mpp the image is taken to be 15 mm wide and high."""
    if mpp is None:
        mpp = 15_000 / math.sqrt(image.size)
    return math.ceil(area_um2 / mpp**2)


def _small(mask: Mask, pixels: int) -> Mask:
    """The connected parts of a mask with fewer pixels than that."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = pixels
    small: Mask = (sizes < pixels)[labels]
    return small
