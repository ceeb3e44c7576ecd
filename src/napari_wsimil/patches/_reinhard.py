"""Colour normalisation after Reinhard et al. 2001, "Color transfer between images".

RGB becomes the response of the eye's cones, its logarithm, and by a rotation the decorrelated axes l, alpha, beta of Ruderman
et al. 1998: x = B ln(A I). On each axis the tissue gets the mean and the standard deviation of the reference,

    x' = (x - mean) sd_ref / sd + mean_ref,  I' = A^-1 exp(B^-1 x')

The method knows no glass and would tint it: pixels as light as glass fade to what they were, so that white stays white.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.slides._resample import opencv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_CONES = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_AXES = np.diag([1 / 3**0.5, 1 / 6**0.5, 1 / 2**0.5]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])
"""Reinhard et al. 2001, equations 4 and 6."""

_REFERENCE_MEAN = np.array([8.74108109, -0.12440419, 0.0444982])
_REFERENCE_SPREAD = np.array([0.6135447, 0.10989545, 0.0286032])
"""Of a field of TCGA-A2-A3XS-DX1 (Amgad et al. 2019), the reference of HistomicsTK: natural logarithm, intensities to 255."""

_GLASS, _TISSUE = 240, 215
"""Grey above which a pixel stays as it is, and below which it is wholly normalised."""

_INTENSITIES = (np.arange(256) + 1).astype(np.float32)
_PARTS = np.clip((_GLASS - np.arange(256)) / (_GLASS - _TISSUE), 0, 1).astype(np.float32)
"""Grey -> how much of the pixel is normalised."""
_LEAST_SPREAD = 1e-3


class Reinhard:
    """Gives the tissue of a slide the mean and the spread of the reference's colours.

    Parameters
    ----------
    mean, spread
        (3,) of the slide's tissue on the axes l, alpha, beta.
    """

    def __init__(self, mean: Floats, spread: Floats) -> None:
        scale, back = _REFERENCE_SPREAD / spread, np.linalg.inv(_AXES)
        turned, moved = back @ np.diag(scale) @ _AXES, back @ (_REFERENCE_MEAN - mean * scale)
        self._cones = _CONES.astype(np.float32)
        self._turned = np.concatenate([turned, moved[:, None]], axis=1).astype(np.float32)
        self._colours = np.linalg.inv(_CONES).astype(np.float32)

    @classmethod
    def estimated(cls, pixels: NDArray[np.uint8]) -> Reinhard | None:
        """From (n, 3) pixels of a slide's tissue; None where they are all of one colour."""
        axes = np.log(_INTENSITIES[pixels].astype(np.float64) @ _CONES.T) @ _AXES.T
        spread = axes.std(axis=0)
        return cls(axes.mean(axis=0), spread) if (spread > _LEAST_SPREAD).all() else None

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Normalise (h, w, 3) pixels."""
        cv2 = opencv()
        floats = cv2.LUT(pixels, _INTENSITIES)
        cv2.log(cv2.transform(floats, self._cones, dst=floats), dst=floats)
        cv2.exp(cv2.transform(floats, self._turned, dst=floats), dst=floats)
        changed = cv2.subtract(cv2.transform(floats, self._colours, dst=floats), (1.0, 1.0, 1.0, 0.0), dtype=cv2.CV_8U)
        part = cv2.LUT(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), _PARTS)
        return cv2.blendLinear(changed, pixels, part, 1 - part)
