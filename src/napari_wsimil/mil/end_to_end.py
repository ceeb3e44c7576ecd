"""MIL models over images instead of stored features: the encoder is trained together with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_wsimil.bags import FeatureBag
from napari_wsimil.mil.chunks import in_chunks
from napari_wsimil.mil.encoding import drawn_rows, encoded_patches
from napari_wsimil.mil.methods.weno import WENO
from napari_wsimil.mil.output import Losses, MILModel, MILOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_wsimil.bags import Bag

CHUNK = 1000
"""Images encoded at once where no gradients are wanted: some hundred megabytes between the layers of a small network."""


class ImageEncoder(nn.Module):
    """A network over images as the encoder of a MIL model.

    Parameters
    ----------
    network
        (n, 3, h, w) -> (n, D).
    mean, std
        Of the red, green and blue that the network is used to; by default pixels stay between 0 and 1.
    mirror
        Show half of the images mirrored, left to right, in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] = (0, 0, 0),
        std: Sequence[float] = (1, 1, 1),
        *,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.mirror = mirror
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) in 0 to 1 -> (n, D)."""
        return in_chunks(self._encode, images, CHUNK)

    def _encode(self, images: Tensor) -> Tensor:
        normal = (images - self.mean) / self.std
        if self.mirror and self.training:
            mirrored = torch.rand(len(images), device=images.device) < 0.5
            normal = torch.where(mirrored[:, None, None, None], normal.flip(3), normal)
        # a single image may have no spread of its own to be normalised by
        alone = self.network.training and len(images) == 1
        if alone:
            self.network.eval()
        encoded: Tensor = self.network(normal.contiguous(memory_format=torch.channels_last))
        if alone:
            self.network.train()
        return encoded


class EndToEnd(MILModel):
    """Any MIL model behind an encoder that learns with it. It looks at the finest magnification.

    Parameters
    ----------
    encoder
        What the bag holds, such as images (n, 3, h, w), to features (n, D): see `ImageEncoder`.
    model
        Over these features.
    most
        Instances of a bag that it looks at in training, drawn at random each time; 0: all.
    """

    def __init__(self, encoder: nn.Module, model: MILModel, most: int = 0) -> None:
        super().__init__()
        self.encoder, self.model, self.most = encoder, model, most

    def forward(self, bag: Bag) -> MILOutput:
        """Answer of the model for the encoded bag."""
        return self.model(self._encoded(bag))

    def losses(self, bag: Bag, target: Tensor, class_weights: Tensor | None = None) -> Losses:
        """What the model minimises, gradients reaching the encoder."""
        return self.model.losses(self._encoded(bag), target, class_weights)

    def probabilities(self, logits: Tensor) -> Tensor:
        """As the model says."""
        return self.model.probabilities(logits)

    def _encoded(self, bag: Bag) -> FeatureBag:
        rows = drawn_rows(bag, self.most) if self.training else None
        mpp, encoded = encoded_patches(self.encoder, bag, next(self.encoder.parameters()), rows)
        return FeatureBag({mpp: encoded})


def end_to_end(encoder: nn.Module, model: MILModel, most: int = 0) -> MILModel:
    """Put an encoder that learns before a model.

    WENO has a place for one that teacher and student share: there it takes the place of the projection of stored features, and
    `most` (see `EndToEnd`) is its recipe's matter.
    """
    if not isinstance(model, WENO):
        return EndToEnd(encoder, model, most)
    model.encoder = encoder
    return model
