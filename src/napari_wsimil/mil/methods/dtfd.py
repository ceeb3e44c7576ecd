"""DTFD-MIL (Zhang et al., CVPR 2022): pseudo-bags first, then a bag of what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from napari_wsimil.mil.attention import GatedAttention
from napari_wsimil.mil.chunks import in_chunks
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import Losses, MILModel, MILOutput, finest_features, label_loss
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "DTFD-MIL, official code (hrzhang1123/DTFD-MIL 10964f4)"


class DTFDParameters(Parameters):
    """Hyper-parameters of `DTFD`."""

    hidden: int = parameter(512, "Width of the embedding of a patch.", CODE, ge=1, le=8192)
    attention: int = parameter(128, "Width of the attention of both tiers.", CODE, ge=1, le=8192)
    groups: int = parameter(4, "Pseudo-bags that a slide is split into at random.", CODE, ge=1, le=64)
    distil: Literal["afs", "max", "maxmin"] = parameter(
        "afs",
        "What a pseudo-bag hands on: its embedding (afs), its most telling patch, or also the least telling one.",
        CODE,
    )
    detach: bool = parameter(True, "The second tier does not teach the first, as in the official code.", CODE)
    groupings: int = parameter(
        5,
        "Random splits averaged when predicting; always the same ones.",
        "ours: the official code draws one",
        ge=1,
        le=100,
    )


class DTFD(MILModel):
    """Two tiers: gated attention in each of some random pseudo-bags, and gated attention over what they hand on.

    In evaluation the splits are drawn from a fixed seed and their answers averaged. Attention is that of the second tier over
    pseudo-bags times that of the first within them (for "max" and "maxmin": that of the second tier at the patches handed on),
    so that it sums to 1. The evidence of a patch is its class activation: the first tier's classifier on its embedding.

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector, number of classes C.
    hidden, attention, groups, distil, detach, groupings
        See `DTFDParameters`.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        hidden: int = 512,
        attention: int = 128,
        groups: int = 4,
        distil: Literal["afs", "max", "maxmin"] = "afs",
        detach: bool = True,
        groupings: int = 5,
    ) -> None:
        super().__init__()
        self.groups, self.distil, self.detach, self.groupings = groups, distil, detach, groupings
        self.embed = nn.Sequential(nn.Linear(in_features, hidden, bias=False), nn.ReLU())
        self.attention = GatedAttention(hidden, attention)
        self.group_classifier = nn.Linear(hidden, classes)
        self.slide_attention = GatedAttention(hidden, attention)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        return self._answer(bag)[0]

    def losses(self, bag: Bag, target: Tensor, class_weights: Tensor | None = None) -> Losses:
        """Cross-entropy of the slide, and of each pseudo-bag with the slide's label."""
        output, group_logits = self._answer(bag)
        of_bag = label_loss(output.logits, target, class_weights)
        of_groups = label_loss(group_logits, target, class_weights)
        return Losses(of_bag + of_groups, {"bag": of_bag, "pseudo_bags": of_groups}, output)

    def _answer(self, bag: Bag) -> tuple[MILOutput, Tensor]:
        """The output, and the logits (G, C) of the pseudo-bags of all splits."""
        mpp, features = finest_features(bag, self.classifier.weight)
        embedded = in_chunks(self.embed, features)
        scores = precise(in_chunks(self.attention, embedded)[:, 0])
        evidence = in_chunks(self.group_classifier, embedded)
        answers = [self._second_tier(embedded, scores, groups) for groups in self._splits(len(features))]
        logits, attention, group_logits = (list(column) for column in zip(*answers, strict=True))
        output = MILOutput(
            torch.stack(logits).mean(dim=0),
            {mpp: torch.stack(attention).mean(dim=0)},
            instance_logits={mpp: evidence},
        )
        return output, torch.cat(group_logits)

    def _splits(self, count: int) -> list[list[Tensor]]:
        """Random splits into pseudo-bags, none of them empty: a new one in training, always the same ones in evaluation."""
        device = self.classifier.weight.device
        groups = min(self.groups, count)
        if self.training:
            return [list(torch.randperm(count, device=device).tensor_split(groups))]
        generator = torch.Generator().manual_seed(0)
        return [list(torch.randperm(count, generator=generator).to(device).tensor_split(groups)) for _ in range(self.groupings)]

    def _second_tier(self, embedded: Tensor, scores: Tensor, groups: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (C,) of the slide, attention (N,) and logits (G, C) of the pseudo-bags for one split."""
        weights = [torch.softmax(scores[rows], dim=0) for rows in groups]
        pooled = torch.stack([weight @ precise(embedded[rows]) for weight, rows in zip(weights, groups, strict=True)])
        group_logits = self.group_classifier(pooled)
        attention = torch.zeros_like(scores)
        if self.distil == "afs":
            handed, source = pooled, None
        else:
            source = torch.cat(
                [self._telling(embedded[rows], weight, rows) for rows, weight in zip(groups, weights, strict=True)]
            )
            handed = embedded[source]
        if self.detach:
            handed = handed.detach()
        of_handed = torch.softmax(precise(self.slide_attention(handed)[:, 0]), dim=0)
        if source is None:
            for rows, weight, share in zip(groups, weights, of_handed, strict=True):
                attention = attention.index_copy(0, rows, share * weight)
        else:
            attention = attention.index_add(0, source, of_handed)
        return self.classifier(of_handed @ precise(handed)), attention, group_logits

    def _telling(self, embedded: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        """Rows of the most (and least) telling patch of a pseudo-bag, by the class activation of the last class."""
        # the published activation weights the embedding by its attention before the classifier, and has no bias
        activation = (weights[:, None] * precise(embedded)) @ precise(self.group_classifier.weight.T)
        probability = torch.softmax(activation, dim=1)[:, -1]
        ends = [probability.argmax()] if self.distil == "max" else [probability.argmax(), probability.argmin()]
        return rows[torch.stack(ends)]


METHOD = Method(
    name="dtfd",
    title="Two tiers of pseudo-bags (DTFD)",
    source="https://arxiv.org/abs/2203.12081",
    summary="Splits a slide into several smaller bags, which makes more of few slides.",
    network=DTFD,
    parameters=DTFDParameters,
    shows=frozenset({"instance_logits"}),
    head=("group_classifier", "classifier"),
)
