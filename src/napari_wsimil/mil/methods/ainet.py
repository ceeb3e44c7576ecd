"""AINet (Zheng et al. 2026): anchor instances correct the regions of a slide, alone or in front of another method."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import nn

from napari_wsimil.bags import FeatureBag
from napari_wsimil.mil.anchors import Anchors, DualLevelAnchorMining
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.narrow import narrow_network
from napari_wsimil.mil.output import Losses, MILModel, MILOutput, Selection, finest_features, label_loss
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.region_correction import AnchorGuidedRegionCorrection, Corrected
from napari_wsimil.mil.regions import Regioning, Regions, bag_regions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_wsimil.bags import Bag

PAPER = "AINet (Zheng et al. 2026)"
GROUPING = "the same first author's GMMamba groups patches so"


class AINetParameters(Parameters):
    """Hyper-parameters of `AINet`."""

    regions: int = parameter(10, "Regions that a slide is divided into.", GROUPING, guess=True, ge=1, le=1000)
    regioning: Regioning = parameter(
        "kmeans", "How patches are grouped: compact clusters, or runs of equal length along a curve.", GROUPING, guess=True
    )
    largest_region: int = parameter(
        4096,
        "Patches in a region on average at most: larger slides get more regions; 0: no limit.",
        "ours: the cost grows with the square of a region's size",
        guess=True,
        ge=0,
    )
    anchors: int = parameter(
        10,
        "Anchor patches, those most typical of their region and of the slide.",
        f"{PAPER}, figure 4",
        guess=True,
        ge=0,
        le=10000,
    )
    anchor_choice: Literal["global", "per_region"] = parameter(
        "global", "Rank anchors over the whole slide, or take the best of each region.", f"{PAPER}, section 3.3", guess=True
    )
    balance: float = parameter(
        0.7,
        "How much likeness to the region counts; likeness to the slide has the rest.",
        f"{PAPER}, section 3.3",
        guess=True,
        ge=0,
        le=1,
    )
    bottleneck: int = parameter(
        0,
        "Width of the hidden layer; 0: a quarter of the features' length.",
        "fits the paper's table 3",
        guess=True,
        ge=0,
        le=8192,
    )
    width: int = parameter(
        0,
        "Width of corrected patches; 0: a sixteenth of the features' length.",
        "fits the paper's table 3",
        guess=True,
        ge=0,
        le=8192,
    )
    mask_ratio: float = parameter(
        0.3,
        "Share of each region's patches, the least attended, that is left out.",
        "GMMamba's default",
        guess=True,
        ge=0,
        lt=1,
    )
    correction: bool = parameter(
        True, "Patches look at their region and at the anchors.", f"{PAPER}; off: its ablation, table 4"
    )
    neighbour: bool = parameter(True, "Each region also looks at the next one.", f"{PAPER}, equation 6")
    dedupe_anchors: bool = parameter(
        False,
        "Show each region the anchors once instead of twice.",
        f"{PAPER}, equation 6, read literally, has them twice",
        guess=True,
    )
    bag_weight: float = parameter(1.0, "Weight of the slide's loss.", f"{PAPER}, equation 13", guess=True, ge=0)
    region_weight: float = parameter(
        1.0, "Weight of the regions' loss; lower it where lesions are small.", f"{PAPER}, equation 13", guess=True, ge=0
    )
    consistency_weight: float = parameter(
        1.0, "Weight of the loss that keeps features close to the original ones.", f"{PAPER}, equation 13", guess=True, ge=0
    )
    aggregator: str = parameter(
        "attention",
        "What sums up the corrected patches: attention, or another method's name, such as transmil or ilra.",
        f"{PAPER}, section 4.4",
    )
    aggregator_width: int = parameter(
        12,
        "Width of another method's layers.",
        "ours: the widest multiple of 4 that saves as much as the paper's table 3",
        guess=True,
        ge=1,
        le=8192,
    )


class _Looked(NamedTuple):
    """How far all forms of the net go alike."""

    mpp: float
    regions: Regions
    mined: Anchors
    corrected: Corrected


class AINet(MILModel):
    """Dual-level anchor mining, anchor-guided region correction, and what sums up the tokens that they leave.

    Regions come from the places of the patches; a `FeatureBag` without a grid is cut in equal runs in its order. Inside a
    region each patch looks at each, so the cost would grow with N^2 / R: unlike the paper, slides of more than
    R * largest_region patches get more regions, in training and after it; 0 for the published rule.

    Attention is the attention to tokens, laid on the patches that they are: a masked patch has 0, and what the copies of an
    anchor get in every region is the anchor's. Evidence is the classifier's answer for the corrected patch; with attention as
    the aggregator and no anchors the logits are their attention-weighted mean. With another method as the aggregator both are
    what that method says of the tokens (mean over the copies of an anchor), and a masked patch has evidence 0.

    Parameters
    ----------
    in_features, classes
        Length d of a feature vector, number of classes C.
    regions, regioning, largest_region, anchors, anchor_choice, balance, bottleneck, width, mask_ratio, correction, neighbour, \
    dedupe_anchors
        See `AINetParameters`.
    bag_weight, region_weight, consistency_weight
        Weights of the losses, equation 13.
    aggregator, aggregator_width
        "attention", or the name of any other method that looks at one magnification; it is made narrow, and gets a bag of
        tokens without places.

    Raises
    ------
    ModelError
        There is no such aggregator, or it needs what tokens do not have.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        regions: int = 10,
        regioning: Regioning = "kmeans",
        largest_region: int = 4096,
        anchors: int = 10,
        anchor_choice: Literal["global", "per_region"] = "global",
        balance: float = 0.7,
        bottleneck: int = 0,
        width: int = 0,
        mask_ratio: float = 0.3,
        correction: bool = True,
        neighbour: bool = True,
        dedupe_anchors: bool = False,
        bag_weight: float = 1.0,
        region_weight: float = 1.0,
        consistency_weight: float = 1.0,
        aggregator: str = "attention",
        aggregator_width: int = 12,
    ) -> None:
        super().__init__()
        self.regions, self.regioning, self.largest_region = regions, regioning, largest_region
        self.weights = {"bag": bag_weight, "regions": region_weight, "consistency": consistency_weight}
        width = width or max(8, 8 * math.floor(in_features / 128 + 0.5))
        self.mining = DualLevelAnchorMining(
            in_features,
            bottleneck or max(1, in_features // 4),
            anchors=anchors,
            balance=balance,
            per_region=anchor_choice == "per_region",
        )
        self.correction = AnchorGuidedRegionCorrection(
            in_features,
            width,
            mask_ratio=mask_ratio,
            attend=correction,
            neighbour=neighbour,
            dedupe_anchors=dedupe_anchors,
        )
        self.region_classifier = nn.Linear(width, classes)
        self.head: nn.Linear | MILModel = (
            nn.Linear(width, classes)
            if aggregator == "attention"
            else narrow_network(aggregator, width, classes, aggregator_width)
        )

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        looked = self._look(bag)
        return self._output(looked, self._aggregate(looked))

    def probabilities(self, logits: Tensor) -> Tensor:
        """(C,) probabilities, as the aggregator makes them."""
        return self.head.probabilities(logits) if isinstance(self.head, MILModel) else super().probabilities(logits)

    def losses(self, bag: Bag, target: Tensor, class_weights: Tensor | None = None) -> Losses:
        """Equations 10 to 13: the bag's loss (the aggregator's own, where it is another method), regions', consistency."""
        looked = self._look(bag)
        if isinstance(self.head, MILModel):
            summed = self.head.losses(_token_bag(looked), target, class_weights)
            answer, of_bag = summed.output, summed.total
        else:
            answer = self._aggregate(looked)
            of_bag = label_loss(answer.logits, target, class_weights)
        region_logits = self.region_logits(looked.corrected)
        of_regions = label_loss(region_logits, target)
        parts = {"bag": of_bag, "regions": of_regions, "consistency": looked.mined.consistency}
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        return Losses(total, parts, self._output(looked, answer))

    def evidence(self, bag: Bag) -> Mapping[float, Tensor] | None:
        """See `MILModel`; of another method as the aggregator what that one gives for the tokens."""
        looked = self._look(bag)
        if not isinstance(self.head, MILModel):
            return {looked.mpp: self.head(looked.corrected.instances)}
        given = self.head.evidence(_token_bag(looked))
        return given and {looked.mpp: _row_means(given[looked.mpp], looked.corrected.rows, len(looked.regions.order))}

    def region_logits(self, corrected: Corrected) -> Tensor:
        """(R, C) answers for the regions, each from its own tokens by the attention that masked them (section 3.4)."""
        by_region = zip(corrected.tokens.split(corrected.sizes), corrected.logits.split(corrected.sizes), strict=True)
        pooled = torch.stack([_pooled(logits, tokens) for tokens, logits in by_region])
        return self.region_classifier(pooled)

    def _look(self, bag: Bag) -> _Looked:
        mpp, features = finest_features(bag, self.region_classifier.weight)
        regions = bag_regions(bag, mpp, self.regions, self.regioning, self.largest_region).to(features.device)
        mined = self.mining(features, regions, keep=self.correction.project)
        anchors = self.correction.project(mined.features)
        return _Looked(mpp, regions, mined, self.correction.correct(mined.kept, anchors, mined.rows, regions))

    def _aggregate(self, looked: _Looked) -> MILOutput:
        """Answer for the bag of tokens."""
        if isinstance(self.head, MILModel):
            return self.head(_token_bag(looked))
        logits = looked.corrected.logits
        return MILOutput(self.head(_pooled(logits, looked.corrected.tokens)), {looked.mpp: torch.softmax(logits, dim=0)})

    def _output(self, looked: _Looked, answer: MILOutput) -> MILOutput:
        """The answer for tokens, laid on the patches."""
        mpp, regions, mined, corrected = looked
        count = len(regions.order)
        attention = answer.attention[mpp]
        evidence = None
        if not isinstance(self.head, MILModel):
            evidence = self.head(corrected.instances)
        elif answer.instance_logits is not None:
            evidence = _row_means(answer.instance_logits[mpp], corrected.rows, count)
        return MILOutput(
            logits=answer.logits,
            attention={mpp: attention.new_zeros(count).index_add(0, corrected.rows, attention)},
            anchors=Selection(mpp, mined.rows, mined.scores),
            regions={mpp: regions.labels()},
            instance_logits=None if evidence is None else {mpp: evidence},
        )


def _pooled(logits: Tensor, tokens: Tensor) -> Tensor:
    """(width,) attention-weighted mean of (T, width) tokens, summed in float32: a product of matrices would follow autocast."""
    return (torch.softmax(logits, dim=0)[:, None] * tokens).sum(dim=0)


def _token_bag(looked: _Looked) -> FeatureBag:
    return FeatureBag({looked.mpp: looked.corrected.tokens})


def _row_means(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """(count, C) means of those of (T, C) values that belong to each row, 0 where none does."""
    sums = values.new_zeros(count, values.shape[1]).index_add(0, rows, values)
    counts = values.new_zeros(count).index_add(0, rows, torch.ones_like(values[:, 0]))
    return sums / counts.clamp_min(1)[:, None]


METHOD = Method(
    name="ainet",
    title="Anchor instances (AINet)",
    source="https://arxiv.org/abs/2602.20187",
    summary="Typical patches of each region put the others in context: for tissue that differs much across the slide.",
    network=AINet,
    parameters=AINetParameters,
    shows=frozenset({"anchors", "regions", "instance_logits"}),
    head=("region_classifier", "head"),
)
