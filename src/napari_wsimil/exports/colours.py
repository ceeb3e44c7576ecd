"""The colours of scores, boxes and classes, the same on the slide and in every export."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.annotations.classes import class_colour as class_colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TOP_COLOUR = "#1446ff"
ANCHOR_COLOUR = "#3ddc84"
ZOOM_COLOUR = "#202020"
ZOOM_COLOURS = (ZOOM_COLOUR, "#56b4e9", "#f0e442")
"""Outlines of the most attended patches, of anchors, and of what a model zoomed into, from coarse to fine."""

# matplotlib's maps at equal distances, less than 4 of 255 off between: matplotlib takes a third of a second to be imported.
# Of inferno the part from 0.35 to 0.85: its darkest colours hide tissue, its palest can't be told from an empty slide.
_INFERNO = (
    "#7f1e6c #8c2369 #982766 #a52c60 #b1325a #bd3853 #c83f4b #d34743 #dd513a #e55c30 #ec6726 #f2741c #f78212 #fa9008 #fc9f07 "
    "#fcae12 #fbbe23"
)
_VIRIDIS = (
    "#440154 #471365 #482475 #463480 #414487 #3b528b #355f8d #2f6c8e #2a788e #25848e #21918c #1e9c89 #22a884 #2fb47c #44bf70 "
    "#5ec962 #7ad151 #9bd93c #bddf26 #dfe318 #fde725"
)


@cache
def attention_colours() -> NDArray[np.float32]:
    """(256, 4) RGBA, 0 to 1, from low to high attention; low attention is clear, so that such tissue keeps its own colours."""
    table = _table(_INFERNO.split())
    table[:, 3] = np.minimum(1.0, np.linspace(0, 1, 256) * 1.4)
    table.setflags(write=False)
    return table


@cache
def probability_colours() -> NDArray[np.float32]:
    """(256, 4) RGBA, 0 to 1, from probability 0 to 1, everywhere opaque."""
    table = _table(_VIRIDIS.split())
    table.setflags(write=False)
    return table


def hex_colour(rgb: Sequence[int]) -> str:
    """A colour of 0 to 255 as ``"#rrggbb"``."""
    return "#" + bytes(rgb).hex()


def _table(colours: Sequence[str]) -> NDArray[np.float32]:
    """256 opaque colours on straight lines between the given ones, which lie at equal distances."""
    known = np.array([list(bytes.fromhex(colour[1:])) for colour in colours]) / 255
    at = np.linspace(0, len(known) - 1, 256)
    channels = [np.interp(at, np.arange(len(known)), channel) for channel in known.T]
    return np.stack([*channels, np.ones(256)], axis=1).astype(np.float32)
