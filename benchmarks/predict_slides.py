"""The slides that prediction is measured on; each is made once and kept in the user's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from big_slide import big_slide, kept, make_slide
from predict_networks import SIZE

from napari_wsimil.samples import make_sample_slide

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VERSION = 1


def sample_slide(*, quick: bool = False) -> Path:
    """The sample slide, at 0.5 µm per pixel."""
    return make_sample_slide(size=2048) if quick else make_sample_slide()


def slide_40x(side: int) -> Path:
    """A slide at 0.25 µm per pixel with the levels 1, 4 and 16, mostly tissue: pieces of the sample slide, as in `big_slide`.

    `side` in level-0 px: 2048, 8192, 16384, or 65536, which is `big_slide`'s own.
    """
    if side == 65536:
        return big_slide()
    piece = min(side, 8192)

    def make(path: Path) -> None:
        make_slide(path, make_sample_slide(size=2048) if side == 2048 else make_sample_slide(), piece, side // piece)

    return kept(f"40x-{side}-v{VERSION}.svs", make)


def every_patch(side: int) -> NDArray[np.int64]:
    """(N, 2) level-0 corners of all patches of 256 px at 0.5 µm per pixel, row by row, of a slide at 0.25."""
    at = np.arange(0, side, 2 * SIZE)
    x, y = np.meshgrid(at, at)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int64)
