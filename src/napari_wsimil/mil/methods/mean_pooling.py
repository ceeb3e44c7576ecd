"""Mean pooling: every patch counts the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_wsimil.mil.chunks import in_chunks
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import MILModel, MILOutput, finest_features
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

MHIM = "MHIM-MIL (Tang et al. 2023), official code"


class PoolingParameters(Parameters):
    """Hyper-parameters of mean and max pooling."""

    hidden: int = parameter(512, "Width of the embedding of a patch.", MHIM, ge=1, le=8192)
    dropout: float = parameter(0.25, "Share of activations dropped in training.", MHIM, ge=0, lt=1)


class PatchClassifier(MILModel):
    """What mean and max pooling share: (n, D) features -> (n, C) logits of each patch by itself."""

    def __init__(self, in_features: int, classes: int, *, hidden: int = 512, dropout: float = 0.25) -> None:
        super().__init__()
        self.classifier = nn.Sequential(
            nn.Linear(in_features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
        )


class MeanPooling(PatchClassifier):
    """Classify each patch and take the mean of the logits, which is to classify the mean embedding.

    Attention is 1/N everywhere; the evidence of a patch is its own logits.

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector, number of classes C.
    hidden, dropout
        See `PoolingParameters`.
    """

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        mpp, features = finest_features(bag, next(self.parameters()))
        evidence: Tensor = in_chunks(self.classifier, features)
        # in float64: the mean of a million float32 numbers loses digits
        logits = evidence.double().mean(dim=0).to(precise(evidence).dtype)
        uniform = torch.full((len(features),), 1 / len(features), device=features.device)
        return MILOutput(logits, {mpp: uniform}, instance_logits={mpp: evidence})


METHOD = Method(
    name="mean",
    title="Mean of all patches",
    source="https://arxiv.org/abs/1609.07817",
    summary="Every patch counts the same: right where the class shows everywhere, blind to small tumours.",
    network=MeanPooling,
    parameters=PoolingParameters,
    shows=frozenset({"instance_logits"}),
    head=("classifier.3",),
)
