"""What an encoder that learns with a model says of a bag: all of it in chunks, or patches drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_wsimil.bags.images import ImageBag
from napari_wsimil.mil.chunks import in_chunks

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_wsimil.bags import Bag

PIXELS = 1 << 20
"""Pixels of images that are made floating point and encoded at once where no gradients are wanted: 16 images of 256 px."""


def encoded_patches(encoder: nn.Module, bag: Bag, like: Tensor, rows: Tensor | None = None) -> tuple[float, Tensor]:
    """The finest magnification of a bag and what `encoder` says of its patches, (n, width).

    Without gradients images are taken from the bag and encoded in chunks, so that a bag of any length needs little more memory
    than its bytes; with gradients the activations of all of them are kept.

    Parameters
    ----------
    like
        A parameter of the network: patches come on its device.
    rows
        (n,) patches to encode; None: all.
    """
    mpp = bag.mpps[-1]
    if torch.is_grad_enabled() or not isinstance(bag, ImageBag):
        return mpp, in_chunks(encoder, bag.features(mpp, rows).to(like.device))
    height, width = bag.pixels.shape[2:]
    chosen = torch.arange(len(bag)) if rows is None else rows
    parts = chosen.split(max(1, PIXELS // (height * width)))
    return mpp, torch.cat([encoder(bag.features(mpp, part).to(like.device)) for part in parts])


def drawn_rows(bag: Bag, most: int) -> Tensor | None:
    """(most,) int64 rows drawn by PyTorch's generator, in their order; None where the bag has no more, or `most` is 0."""
    if not most:
        return None
    count = len(bag) if isinstance(bag, ImageBag) else len(bag.features(bag.mpps[-1]))
    return torch.randperm(count)[:most].sort().values if most < count else None
