"""Tokens to features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

TOKEN_POOLINGS = ("cls", "mean", "cls+mean")


def pooled(tokens: Tensor, pooling: str, prefix: int) -> Tensor:
    """(n, prefix + patches, D) -> (n, D), or (n, 2 D) for "cls+mean".

    Parameters
    ----------
    tokens
        The class token first, then registers where there are some, then one for each patch of the image.
    pooling
        "cls": the class token; "mean": the mean of those of the patches; "cls+mean": both, one after the other, as for Virchow.
    prefix
        How many stand before those of the patches.
    """
    if pooling == "cls":
        return tokens[:, 0]
    mean = tokens[:, prefix:].mean(dim=1)
    return mean if pooling == "mean" else torch.cat([tokens[:, 0], mean], dim=-1)
