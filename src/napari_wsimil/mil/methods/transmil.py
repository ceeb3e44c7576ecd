"""TransMIL (Shao et al., NeurIPS 2021): a transformer over all patches, through landmarks."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_wsimil.errors import ModelError
from napari_wsimil.mil.chunks import in_chunks
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.nystrom import NystromAttention
from napari_wsimil.mil.output import MILModel, MILOutput, finest_features
from napari_wsimil.mil.parameters import Parameters, parameter

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "TransMIL, official code (szc19990412/TransMIL 9d6aee5)"


class TransMILParameters(Parameters):
    """Hyper-parameters of `TransMIL`."""

    hidden: int = parameter(512, "Width of the tokens, a multiple of the heads.", CODE, ge=1, le=8192)
    heads: int = parameter(8, "Attentions side by side.", CODE, ge=1, le=64)
    landmarks: int = parameter(256, "Averaged tokens that stand for all when patches are compared.", CODE, ge=1, le=4096)
    iterations: int = parameter(6, "Steps towards the inverse of the landmarks' attention.", CODE, ge=1, le=50)
    dropout: float = parameter(0.1, "Share of activations dropped after each attention in training.", CODE, ge=0, lt=1)


class TransMIL(MILModel):
    """Two layers of Nystrom self-attention with convolutions over a square of tokens between them; a class token answers.

    Tokens fill a square in the order of the bag (the first ones come again at its end), whatever their places on the slide: the
    answer depends on that order, as published.

    Attention is that of the class token in the last layer, mean over the heads. The factors of the Nystrom form may make a
    little of it negative: this is set to 0 and the rest sums to 1 (where all of it is negative, each patch has the same).
    Repeated tokens count for their patch. It is for looking only: no gradient flows through it. Evidence is the classifier's
    answer for the patch's token after the last layer.

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector, number of classes C.
    hidden, heads, landmarks, iterations, dropout
        See `TransMILParameters`.

    Raises
    ------
    ModelError
        The width is not a multiple of the heads.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        hidden: int = 512,
        heads: int = 8,
        landmarks: int = 256,
        iterations: int = 6,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ModelError(f"TransMIL's width of {hidden} can't be shared by {heads} heads; use a multiple of {heads}.")
        self.embed = nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU())
        self.class_token = nn.Parameter(torch.randn(1, hidden))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))
        layer = partial(NystromAttention, hidden, heads=heads, landmarks=landmarks, iterations=iterations, dropout=dropout)
        self.first, self.last = layer(), layer()
        self.positions = nn.ModuleList(nn.Conv2d(hidden, hidden, size, padding=size // 2, groups=hidden) for size in (7, 5, 3))
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        mpp, features = finest_features(bag, self.classifier.weight)
        patches = in_chunks(self.embed, features)
        side = math.ceil(math.sqrt(len(patches)))
        tokens = torch.cat([self.class_token.to(patches.dtype), patches, patches[: side**2 - len(patches)]])
        tokens = tokens + self.first(self.norms[0](tokens))
        tokens = self._placed(tokens, side)
        factors = self.last.factors(self.norms[1](tokens))
        logits = self.classifier(self.norms[2](tokens + self.last.attend(factors, len(tokens))))
        return MILOutput(
            logits=logits[0],
            attention={mpp: _of_patches(self.last.seen_by(factors, 0, len(tokens))[1:], len(patches))},
            instance_logits={mpp: logits[1 : len(patches) + 1]},
        )

    def _placed(self, tokens: Tensor, side: int) -> Tensor:
        """PPEG: tokens (1 + side^2, hidden) plus three depth-wise convolutions of their square; the class token passes by."""
        square = tokens[1:].T.unflatten(1, (side, side))[None]
        placed = square + sum(convolve(square) for convolve in self.positions)
        return torch.cat([tokens[:1], placed[0].flatten(1).T])


def _of_patches(attention: Tensor, count: int) -> Tensor:
    """(N,) shares of the patches, from one weight for each token of the square."""
    positive = attention.clamp_min(0)
    folded = positive[:count].clone()
    folded[: len(positive) - count] += positive[count:]
    total = folded.sum()
    return torch.where(total > 0, folded / total.clamp_min(torch.finfo(total.dtype).tiny), 1 / count)


METHOD = Method(
    name="transmil",
    title="Transformer (TransMIL)",
    source="https://arxiv.org/abs/2106.00908",
    summary="Each patch is seen in the light of all others: for labels that depend on how tissue goes together.",
    network=TransMIL,
    parameters=TransMILParameters,
    shows=frozenset({"instance_logits"}),
)
