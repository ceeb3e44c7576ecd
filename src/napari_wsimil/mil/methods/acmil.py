"""ACMIL (Zhang et al., ECCV 2024): several attentions that must differ, and must do without their favourites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.mil.attention import GatedAttention
from napari_wsimil.mil.chunks import attention_pool
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import Losses, MILModel, MILOutput, finest_features, label_loss
from napari_wsimil.mil.parameters import Parameters, parameter

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "ACMIL, official code (dazhangyu123/ACMIL e53d19c)"


class ACMILParameters(Parameters):
    """Hyper-parameters of `ACMIL`."""

    hidden: int = parameter(
        0, "Width of the embedding of a patch; 0: half of the features' length (a third of 384).", CODE, ge=0, le=8192
    )
    attention: int = parameter(128, "Width of the attention.", CODE, ge=1, le=8192)
    branches: int = parameter(5, "Attentions, each with a classifier of its own.", CODE + ": n_token", ge=1, le=64)
    masked: int = parameter(10, "Favourite patches of each attention that may be hidden in training.", CODE, ge=0, le=10000)
    mask_share: float = parameter(0.6, "Share of these favourites that are hidden, anew at each step.", CODE, ge=0, le=1)


class ACMIL(MILModel):
    """Multiple-branch gated attention with stochastic top-K instance masking (STKIM).

    The slide's embedding is weighted by the mean of all attentions, which is the attention given. The slide's classifier is
    linear, so its answer for the embedding of a patch is that patch's evidence: the slide's logits are their weighted mean.

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector, number of classes C.
    hidden, attention, branches, masked, mask_share
        See `ACMILParameters`.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        hidden: int = 0,
        attention: int = 128,
        branches: int = 5,
        masked: int = 10,
        mask_share: float = 0.6,
    ) -> None:
        super().__init__()
        self.masked, self.mask_share = masked, mask_share
        hidden = hidden or max(1, in_features // (3 if in_features == 384 else 2))
        self.embed = nn.Sequential(nn.Linear(in_features, hidden, bias=False), nn.ReLU())
        self.attention = GatedAttention(hidden, attention, branches=branches)
        self.branch_classifiers = nn.ModuleList(nn.Linear(hidden, classes) for _ in range(branches))
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        return self._answer(bag)[0]

    def losses(self, bag: Bag, target: Tensor, class_weights: Tensor | None = None) -> Losses:
        """Cross-entropy of the slide and of each branch, and how much the branches' attentions are alike."""
        output, branch_logits, weights = self._answer(bag)
        of_bag = label_loss(output.logits, target, class_weights)
        of_branches = label_loss(branch_logits, target, class_weights)
        alike = _mean_cosine(weights)
        parts = {"bag": of_bag, "branches": of_branches, "likeness": alike}
        return Losses(of_bag + of_branches + alike, parts, output)

    def _answer(self, bag: Bag) -> tuple[MILOutput, Tensor, Tensor]:
        """The output, the branches' logits (M, C) and attentions (N, M)."""
        mpp, features = finest_features(bag, self.classifier.weight)
        pooled = attention_pool(self._instances, features)
        branch_logits = torch.stack(
            [classify(row) for classify, row in zip(self.branch_classifiers, pooled.values, strict=True)]
        )
        output = MILOutput(
            # the mean of the branches' embeddings is the embedding by the mean of their attentions
            self.classifier(pooled.values.mean(dim=0)),
            {mpp: pooled.weights.mean(dim=1)},
            instance_logits={mpp: pooled.others[0]},
        )
        return output, branch_logits, pooled.weights

    def _instances(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Attention logits (n, M), embeddings (n, hidden) and evidence (n, C)."""
        embedded = self.embed(features)
        scores = self.attention(embedded)
        if self.training:
            scores = self._hide_favourites(scores)
        return scores, embedded, self.classifier(embedded)

    def _hide_favourites(self, scores: Tensor) -> Tensor:
        """STKIM: of the top patches of each branch a random share gets no attention in this step."""
        favourites = min(self.masked, len(scores))
        count = int(favourites * self.mask_share)
        if count == 0:
            return scores
        top = scores.topk(favourites, dim=0).indices
        drawn = torch.rand(top.shape, device=top.device).argsort(dim=0)[:count]
        # finite, as published: where all patches of a branch are hidden its attention becomes even instead of undefined
        return scores.scatter(0, top.gather(0, drawn), -1e9)


def _mean_cosine(weights: Tensor) -> Tensor:
    """Mean cosine similarity of all pairs of columns of (N, M); 0 for one column."""
    branches = weights.shape[1]
    if branches == 1:
        return weights.new_zeros(())
    unit = functional.normalize(weights, dim=0)
    pairs = torch.triu(unit.T @ unit, diagonal=1)
    return pairs.sum() * 2 / (branches * (branches - 1))


METHOD = Method(
    name="acmil",
    title="Several attentions that differ (ACMIL)",
    source="https://arxiv.org/abs/2311.07125",
    summary="Spreads attention over more of the lesion than one attention does: for maps that should not miss parts.",
    network=ACMIL,
    parameters=ACMILParameters,
    shows=frozenset({"instance_logits"}),
    head=("branch_classifiers", "classifier"),
)
