"""Labelled patches of generated slides: what the bundled encoder learns tissue from.

The label of a patch is the share of each tissue type in it, read from the layout that the slide is painted from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from napari_wsimil.samples._layout import CELL, Layout, make_layout
from napari_wsimil.samples._paint import Painter

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TYPES = ("glass", "stroma", "mucosa", "muscle", "lymphoid", "tumour", "necrosis", "fat")
SIZE = 256
WINDOW = 2 * SIZE  # painted at once, cut into four patches


def type_map(layout: Layout) -> NDArray[np.uint8]:
    """(n, n) uint8, the number of the tissue type in `TYPES` of each 16-px cell; later types hide earlier ones."""
    fields = layout.fields
    kinds = np.ones_like(fields["tissue"])
    for number, name in ((2, "mucosa"), (3, "muscle"), (4, "lymph"), (5, "tumour"), (6, "necrosis"), (7, "fat")):
        kinds[fields[name] > 128] = number
    kinds[fields["tissue"] <= 128] = 0
    return kinds


def sample_patches(
    seeds: range, windows: int, size: int, on_progress: Callable[[int, int], None] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Patches of one generated slide of `size` px per seed, three of four with tumour.

    Returns
    -------
    patches
        (N, 256, 256, 3) uint8, through JPEG of a random quality as on a real slide; N = 4 x windows x slides.
    shares
        (N, len(TYPES)) float32, the share of each tissue type; rows sum to 1.
    """
    count = len(seeds) * windows * 4
    patches = np.empty((count, SIZE, SIZE, 3), np.uint8)
    shares = np.empty((count, len(TYPES)), np.float32)
    at = 0
    for done, seed in enumerate(seeds, start=1):
        rng = np.random.default_rng([seed, 77])
        layout = make_layout("normal" if seed % 4 == 3 else "tumour", seed, size)
        painter, kinds = Painter(layout), type_map(layout)
        for x, y in _windows(rng, kinds, windows, size):
            image = painter.paint(x, y, WINDOW, WINDOW)
            for dy in (0, SIZE):
                for dx in (0, SIZE):
                    cell = kinds[(y + dy) // CELL : (y + dy + SIZE) // CELL, (x + dx) // CELL : (x + dx + SIZE) // CELL]
                    shares[at] = np.bincount(cell.reshape(-1), minlength=len(TYPES)) / cell.size
                    patches[at] = _compressed(image[dy : dy + SIZE, dx : dx + SIZE], int(rng.integers(55, 95)))
                    at += 1
        if on_progress is not None:
            on_progress(done, len(seeds))
    return patches, shares


def _windows(rng: np.random.Generator, kinds: NDArray[np.uint8], count: int, size: int) -> list[tuple[int, int]]:
    """Corners of windows (multiples of 16 px): about every type is as frequent as the others where the slide has it."""
    present = [number for number in range(1, len(TYPES)) if (kinds == number).any()]
    chosen = []
    for turn in range(count):
        rows, columns = np.nonzero(kinds == present[turn % len(present)])
        pick = int(rng.integers(len(rows)))
        x, y = (int(v[pick]) * CELL - int(rng.integers(0, WINDOW // CELL)) * CELL for v in (columns, rows))
        chosen.append((min(max(x, 0), size - WINDOW), min(max(y, 0), size - WINDOW)))
    return chosen


def _compressed(patch: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    stream = simplejpeg.encode_jpeg(np.ascontiguousarray(patch), quality, "RGB", "420")
    return np.asarray(simplejpeg.decode_jpeg(stream))
