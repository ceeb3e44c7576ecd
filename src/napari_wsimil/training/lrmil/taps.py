"""Encoders whose layers can be looked at, whatever kind of network they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from napari_wsimil.encoders import CompactCNN
from napari_wsimil.errors import TrainingError
from napari_wsimil.mil.cross_resolution import CNNTaps, Taps, ViTTaps

if TYPE_CHECKING:
    from torch import Tensor

LEAST_TOKENS = 16
"""Tokens in each direction at least, as a vision transformer has for 256-px patches of 16-px tokens."""


def taps_of(network: nn.Module, k: int) -> nn.Module:
    """Return a module from pixels to `Taps` that shares the weights of `network`.

    Parameters
    ----------
    network
        `CompactCNN`, all four stages of which are tapped, or a vision transformer of `transformers`, of which the first, second
        and last but one blocks are, as published.
    k
        Children in each direction of a coarse patch.

    Raises
    ------
    TrainingError
        The layers of such a network are not known here.
    """
    side = k * -(-LEAST_TOKENS // k)
    if isinstance(network, CompactCNN):
        first, *rest = network.stages
        return CNNTaps([nn.Sequential(network.stem, network.relu, first), *rest], side)
    depth = getattr(getattr(network, "config", None), "num_hidden_layers", None)
    if isinstance(depth, int):
        return ViTTaps(network, sorted({0, min(1, depth - 1), max(0, depth - 2)}))
    raise TrainingError(
        f"The layers of a {type(network).__name__} are not known, so it can't be taught to see coarse patches; choose the form "
        '"adapter", which leaves the encoder as it is.'
    )


@torch.inference_mode()
def vectors_of(taps: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Return what a frozen encoder says of whole patches.

    Returns
    -------
    Features (n, D), the vectors of all tapped layers beside each other (n, sum of D_l), and the widths D_l.
    """
    found = cast("Taps", taps(pixels))
    return found.final, torch.cat(found.vectors, dim=1), tuple(vector.shape[1] for vector in found.vectors)
