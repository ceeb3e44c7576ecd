"""What a library made of a folder with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from napari_wsimil.encoders.foreign.encoder import Library
    from napari_wsimil.encoders.foreign.pixels import PixelSpec

ASKED_SIDE = 256
"""Side of the patches in pixels where neither a network nor anybody asks for another."""


@dataclass(frozen=True)
class Loaded:
    """A network that gives features.

    Attributes
    ----------
    network
        (n, 3, h, w) scaled pixels -> (n, D).
    library, architecture
        What it was loaded with, and what it is called there.
    pooling
        What of the network becomes the features.
    pixels
        How patches are prepared.
    """

    network: nn.Module
    library: Library
    architecture: str
    pooling: str
    pixels: PixelSpec
