"""The colours of differences: two that everybody tells apart, clear where there is no difference."""

from __future__ import annotations

import numpy as np
from napari.utils.colormaps import Colormap

MORE, LESS = "#ff8c1a", "#1466dc"
"""Of places where the first is higher, and where the second is: orange and blue, which no colour blindness confuses."""


def difference_colormap() -> Colormap:
    """From blue through clear to orange; both deepen at once, so that a small difference is seen as a faint one."""
    blue, orange = (np.array(list(bytes.fromhex(colour[1:]))) / 255 for colour in (LESS, MORE))
    position = np.linspace(-1, 1, 257)
    colours = np.where(position[:, None] < 0, blue, orange)
    alpha = np.minimum(1.0, 1.3 * np.abs(position))
    return Colormap(np.column_stack([colours, alpha]).astype(np.float32), name="difference", display_name="difference")
