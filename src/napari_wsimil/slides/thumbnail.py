"""A slide as a small picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_wsimil.errors import SlideError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.slides.slide import Slide

MOST_PIXELS = 64_000_000
"""Of a level that is read whole for a thumbnail: a second of decoding on two cores."""


def thumbnail(slide: Slide, side: int) -> NDArray[np.uint8]:
    """The whole slide, at most `side` px wide and high: (rows, columns, 3) uint8.

    It is made of the coarsest stored level that is large enough; where that is too large to be read for a small picture, of the
    thumbnail that the file holds.

    Raises
    ------
    SlideError
        The file has neither, or can't be decoded.
    """
    shrink = max(slide.width, slide.height) / side
    fit = [level for level in slide.levels if level.downsample <= max(shrink, 1.0)]
    level = max(fit or slide.levels[:1], key=lambda level: level.downsample)
    if level.width * level.height > MOST_PIXELS:
        if "thumbnail" not in slide.associated_images:
            raise SlideError(f"{slide.path.name} holds no small picture of itself; open it to see it.")
        return _fitted(slide.associated_images["thumbnail"], side)
    ratio = (max(shrink, 1.0), max(shrink, 1.0))
    columns, rows = (max(1, round(length / ratio[0])) for length in (slide.width, slide.height))
    return slide.read_downsampled(0, 0, columns, rows, ratio, keep=False, resampling="dct")


def _fitted(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    return np.asarray(image)
