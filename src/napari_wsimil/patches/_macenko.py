"""Stain normalisation after Macenko et al. 2009, "A method for normalizing histology slides for quantitative analysis".

With I the intensity of a channel, the optical density OD = -ln((I + 1) / 240) is linear in the amounts of the stains:
OD = V C, with the colours of two stains as the unit columns of V (3, 2) and their concentrations C (2, pixels). V is found in
three steps: the plane in which OD varies most (the first two eigenvectors of its covariance, as in the implementations that
share the reference); the angle of each pixel within it; and the 1st and 99th percentile of these angles, which are the stains.
Each concentration is scaled so that its 99th percentile m becomes that of the reference, and put together with the reference's
colours:

    OD' = V_ref diag(m_ref / m) V^+ OD,  I' = 240 exp(-OD') - 1

which is one 3 x 3 matrix for the whole slide. What is neither stain (the rest that the plane does not hold) is dropped. What is
brighter than 240 has no density, and keeps what it has above: white stays white.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.slides._resample import opencv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_GLASS = 240
FAINTEST = 0.15
"""Density up to which a pixel is taken for glass ("beta" in the paper)."""

_REFERENCE = np.array([[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]])
_REFERENCE_MOST = np.array([1.9705, 1.0308])
"""Haematoxylin and eosin of the reference image that nearly all implementations share, and the 99th percentiles of their
concentrations (M. Veta, "staining-normalization", 2013; torchstain)."""

_LEAST_PIXELS = 1000
_EXTREME = 1.0, 99.0
_MOST = 99.0
_LEAST_ANGLE = 4.0
"""Degrees between the stains; below there is only one of them, and what tells them apart is noise. Real slides had 11 to 39."""

_DENSITIES = np.maximum(-np.log((np.arange(256) + 1) / _GLASS), 0).astype(np.float32)
_ABOVE = np.maximum(np.arange(256) + 1 - _GLASS, 0).astype(np.uint8)


class Macenko:
    """Brings the two stains of a slide to the reference.

    Parameters
    ----------
    matrix
        (3, 3), from optical density to normalised optical density.
    """

    def __init__(self, matrix: Floats) -> None:
        self._matrix = -matrix.astype(np.float32)

    @classmethod
    def estimated(cls, pixels: NDArray[np.uint8]) -> Macenko | None:
        """From (n, 3) pixels of a slide's tissue; None where they hold fewer than two stains."""
        densities = _DENSITIES[pixels].astype(np.float64)
        stains = stain_colours(densities)
        if stains is None:
            return None
        apart = np.linalg.pinv(stains)
        most = np.percentile(densities @ apart.T, _MOST, axis=0)
        return cls(_REFERENCE @ np.diag(_REFERENCE_MOST / most) @ apart) if (most > FAINTEST).all() else None

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Normalise (h, w, 3) pixels."""
        cv2 = opencv()
        densities = cv2.LUT(pixels, _DENSITIES)
        cv2.exp(cv2.transform(densities, self._matrix, dst=densities), dst=densities)
        changed: NDArray[np.uint8] = cv2.convertScaleAbs(densities, alpha=_GLASS, beta=-1)
        return cv2.add(changed, cv2.LUT(pixels, _ABOVE), dst=changed)


def stain_colours(densities: Floats) -> Floats | None:
    """(3, 2) unit colours of the two stains in (n, 3) optical densities, the one that takes more red (haematoxylin) first.

    Pixels count that are dense in each channel, as for the reference. Where that leaves one stain (pale eosin takes no red),
    those that are dense in the mean. None where the densities hold fewer than two stains.
    """
    for strength in (densities.min(axis=1), densities.mean(axis=1)):
        found = _extremes(densities[strength > FAINTEST])
        if found is not None:
            return found
    return None


def _extremes(strong: Floats) -> Floats | None:
    """The two stains of (n, 3) densities."""
    if len(strong) < _LEAST_PIXELS:
        return None
    _, vectors = np.linalg.eigh(np.cov(strong.T))
    plane = vectors[:, :0:-1]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
    right, up = (strong @ plane).T
    first, second = (plane @ (math.cos(angle), math.sin(angle)) for angle in np.percentile(np.arctan2(up, right), _EXTREME))
    if math.degrees(math.acos(min(1.0, float(first @ second)))) < _LEAST_ANGLE:
        return None
    return np.stack([first, second] if first[0] > second[0] else [second, first], axis=1)
