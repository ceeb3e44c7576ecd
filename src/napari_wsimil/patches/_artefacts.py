"""Pen and black artefacts on an overview, by their colours: tissue stained with haematoxylin and eosin has none of these.

In hue (degrees) stained tissue lies between 260 and 345: green is its darkest channel. Green and blue pen have red as the
darkest, red pen has green and blue alike, black pen and folds of dust are dark without colour. Each kind is looked for as a
clear core first, on a blurred image so that single nuclei are no pen, and then grown to its paler rim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.color import rgb2hsv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_CROSS = ndimage.generate_binary_structure(2, 1)


def find_pen(rgb: NDArray[np.uint8], radius: int) -> NDArray[np.bool_]:
    """Where there is pen, or dirt as dark as pen.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.
    radius
        Pixels; strokes narrower than twice this are not looked for.

    Returns
    -------
    (H, W) bool.
    """
    # on an image stored plane by plane, the largest of three channels is found ten times as fast
    blurred = np.moveaxis(np.empty((3, *rgb.shape[:2]), np.float32), 0, -1)
    ndimage.uniform_filter(rgb.astype(np.float32), (2 * radius + 1, 2 * radius + 1, 1), output=blurred, mode="nearest")
    hsv = rgb2hsv(blurred / 255)
    hue, saturation = hsv[..., 0] * 360, hsv[..., 1]
    pen = _stroke((hue > 70) & (hue < 235) & (saturation > 0.15), (hue > 60) & (hue < 258) & (saturation > 0.05), radius, 12)
    pen |= _red(hue, saturation, radius)
    brightest, chroma = blurred.max(-1), blurred.max(-1) - blurred.min(-1)
    # crowded nuclei are as dark, but bluer
    neutral = (blurred[..., 0] > blurred[..., 2] + 6) | (brightest < 50)
    return pen | _stroke((brightest < 110) & (chroma < 50) & neutral, (brightest < 135) & (chroma < 60), radius, 6)


def _red(hue: NDArray[np.float64], saturation: NDArray[np.float64], radius: int) -> Mask:
    """Red pen. Its thin rim is as pink as eosin and told from it by being near a stroke; its halo is warmer than any eosin."""
    warm = (hue < 25) | (hue > 345)
    core = _wide((saturation > 0.6) & (warm | (hue > 338)), radius)
    return _grown(core, (saturation > 0.3) & (warm | (hue > 338)), 8 * radius) | _grown(
        core, (saturation > 0.08) & warm, 25 * radius
    )


def _stroke(core: Mask, rim: Mask, radius: int, reach: int) -> Mask:
    """Cores wide enough to be a stroke, grown through the rim that touches them for up to `reach` radii."""
    return _grown(_wide(core, radius), rim, reach * radius)


def _wide(core: Mask, radius: int) -> Mask:
    """Where a mask is at least as wide as a stroke."""
    if not core.any():
        return core
    wide: Mask = ndimage.binary_opening(core, _CROSS, iterations=radius)
    return wide


def _grown(core: Mask, rim: Mask, steps: int) -> Mask:
    """The core, grown through the rim and once around."""
    if not core.any():
        return core
    grown: Mask = ndimage.binary_dilation(core, _CROSS, iterations=steps, mask=rim | core)
    return ndimage.binary_dilation(grown, _CROSS)
