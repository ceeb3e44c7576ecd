"""An encoder around somebody else's network."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from napari_wsimil.encoders._encoder import Encoder, EncoderSpec
from napari_wsimil.encoders.foreign.pixels import PixelSpec, fitted
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SMALLEST, LARGEST = 32, 4096
"""Sides of patches in pixels that a model package can ask for."""

Library = Literal["transformers", "timm", "program"]


class ForeignSpec(EncoderSpec):
    """What is known of an encoder that others made.

    Attributes
    ----------
    library
        What it is loaded with.
    source
        The name by which `load_encoder` finds exactly this one, commit included.
    revision
        Commit of its repository, or None for local files.
    pooling
        What of the network becomes the features.
    pixels
        How patches are prepared.
    licence
        As its makers name it; "" where not known here.
    also_called
        Names that it has in other programs' feature files.
    """

    library: Library
    source: str
    revision: str | None = None
    pooling: str
    pixels: PixelSpec
    licence: str = ""
    also_called: tuple[str, ...] = ()


class ForeignEncoder(Encoder):
    """An encoder that resizes: it takes square patches of any size from 32 to 4096 px.

    Parameters
    ----------
    spec
        Its `patch_size` is what patches have if nobody says otherwise.
    network
        (n, 3, h, w) scaled pixels -> (n, D).
    digest
        Of weights, preprocessing and pooling.
    """

    spec: ForeignSpec

    def __init__(self, spec: ForeignSpec, network: nn.Module, digest: str, device: str | torch.device = "cpu") -> None:
        super().__init__(spec, network, digest, device)

    def takes(self, side: int) -> bool:
        """Whether it takes patches of this side in pixels."""
        return SMALLEST <= side <= LARGEST

    def _moved(self, device: str | torch.device) -> Self:
        return type(self)(self.spec, self._on(device), self.digest, device)

    def _on(self, device: str | torch.device) -> nn.Module:
        """Return a network that can be moved to the device, or is there already."""
        return deepcopy(self._network)

    def _fitted(self, pixels: Tensor) -> Tensor:
        return fitted(pixels, self.spec.pixels)

    def _check(self, shape: tuple[int, ...], dtype: object) -> None:
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or dtype != np.uint8 or not self.takes(shape[1]):
            raise ModelError(
                f"Encoder {self.id} takes uint8 patches of shape (n, side, side, 3) with {SMALLEST} to {LARGEST} px, not "
                f"{dtype} {shape}."
            )
