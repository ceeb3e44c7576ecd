"""The stain of a slide brought to a reference, so that slides of other laboratories look like those a model was trained on.

What is estimated is estimated once for a slide, never for a patch: a patch of lymphocytes alone would otherwise become as pale
as a whole slide is on average. It is estimated on squares spread over the tissue at 0.5 µm per pixel, where nuclei are seen as
they are, and not on an overview: an overview mixes nuclei with what is around them, which at 8 µm per pixel took away a third
to a half of the haematoxylin of three real slides, so that all their patches would have become too dark. Every step is the same
each time, so that features computed today fit those of yesterday.

No library was found that keeps the estimate of a slide apart from the patch: torchstain 1.4 estimates each image that it is
given, StainTools needs SPAMS and had its last release in 2019, HistomicsTK and TIAToolbox bring hundreds of MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.patches._macenko import Macenko
from napari_wsimil.patches._reinhard import Reinhard
from napari_wsimil.patches.grid import patch_grid
from napari_wsimil.patches.spec import Normalisation, check_normalisation
from napari_wsimil.patches.tissue import EVERYWHERE, find_tissue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.patches.tissue import TissueMask
    from napari_wsimil.slides import Colour, Slide

_MPP = 0.5
_SIDE, _SQUARES = 128, 64
"""About a million pixels."""
_LEAST_TISSUE = 0.5
_STAINED = 200
"""A pixel that is darker in the mean of its channels is no glass."""
_LEAST_PIXELS = 4096
"""Stained ones; percentiles of fewer are chance."""
_STRIP = 8192
"""Pixels normalised at once: their floats stay in the processor's cache, and in memory that need not be asked for anew."""


class Change(Protocol):
    """A normalisation with its estimate."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Normalise (h, w, 3) pixels."""


class StainNormaliser:
    """Brings patches of one slide to the reference; for any number of threads.

    Parameters
    ----------
    method
        "macenko": each of two stains (haematoxylin and eosin) gets the reference's colour and strength.
        "reinhard": the colours of the tissue get the reference's mean and spread.
    change
        What is done to pixels.
    """

    def __init__(self, method: Normalisation, change: Change) -> None:
        self.method, self._change = method, change

    @classmethod
    def fit(cls, slide: Slide, tissue: TissueMask | None, method: Normalisation, *, colour: Colour = "raw") -> StainNormaliser:
        """Estimate the stain of a slide; takes about a second.

        Parameters
        ----------
        slide
            With known mpp.
        tissue
            Where its tissue is. Where it takes the whole slide for tissue, or is None, tissue is looked for.
        method
            "macenko" or "reinhard".
        colour
            How the patches are read that will be normalised.

        Raises
        ------
        SlideError
            There is too little stained tissue, or only one stain; one sentence says so.
        """
        check_normalisation(method)
        pixels = tissue_pixels(slide, find_tissue(slide) if tissue is None or tissue.method == EVERYWHERE else tissue, colour)
        stained = np.count_nonzero(pixels.mean(axis=1, dtype=np.float32) < _STAINED)
        if stained < _LEAST_PIXELS:
            raise SlideError(
                f"The stain of {slide.path.name} can't be normalised: there is too little stained tissue to know its colours "
                "by; predict it without stain normalisation."
            )
        change = _estimated(method, pixels)
        if change is None:
            raise SlideError(
                f"The stain of {slide.path.name} can't be normalised by {method.capitalize()}'s method: its tissue shows one "
                "colour only; check that it is stained with haematoxylin and eosin, or predict it without normalisation."
            )
        return cls(method, change)

    def apply(self, pixels: NDArray[np.uint8], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Normalise patches.

        Parameters
        ----------
        pixels
            (n, h, w, 3) uint8 RGB.
        out
            The same shape, to write to, perhaps `pixels` itself; made where None.

        Returns
        -------
        `out`. White stays white.
        """
        if out is None:
            out = np.empty(pixels.shape, np.uint8)
        rows = max(1, _STRIP // max(1, pixels.shape[2]))
        for before, after in zip(pixels, out, strict=True):
            for top in range(0, pixels.shape[1], rows):
                after[top : top + rows] = self._change(before[top : top + rows])
        return out


def tissue_pixels(slide: Slide, tissue: TissueMask, colour: Colour = "raw") -> NDArray[np.uint8]:
    """(n, 3) pixels of squares that lie evenly over the tissue, the same ones each time."""
    mpp = max(_MPP, *(slide.mpp or ()))
    grid = patch_grid(slide, mpp=mpp, size=_SIDE, tissue=tissue, min_tissue=_LEAST_TISSUE)
    rows = np.unique(np.linspace(0, len(grid) - 1, min(_SQUARES, len(grid))).round().astype(np.int64))
    return slide.read_patches(grid.xy[rows], _SIDE, mpp, colour=colour).reshape(-1, 3)


def _estimated(method: Normalisation, pixels: NDArray[np.uint8]) -> Change | None:
    if method == "macenko":
        return Macenko.estimated(pixels)
    if method == "reinhard":
        return Reinhard.estimated(pixels)
    raise SlideError(f"There is nothing to estimate for the normalisation {method!r}.")
