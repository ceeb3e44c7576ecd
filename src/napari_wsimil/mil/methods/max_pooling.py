"""Max pooling: the one patch that speaks loudest for a class decides on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_wsimil.mil.attention import of_predicted_class
from napari_wsimil.mil.chunks import in_chunks
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.methods.mean_pooling import PatchClassifier, PoolingParameters
from napari_wsimil.mil.output import MILOutput, finest_features

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag


class MaxPooling(PatchClassifier):
    """Classify each patch and take the largest logit of each class.

    The attention of a class is 1 at its loudest patch (the first of equals) and 0 elsewhere; the evidence of a patch is its own
    logits.

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
        logits, loudest = evidence.max(dim=0)
        by_class = torch.zeros_like(evidence, dtype=torch.float32).scatter_(0, loudest[None], 1.0)
        return MILOutput(
            logits,
            {mpp: of_predicted_class(by_class, logits)},
            class_attention={mpp: by_class},
            instance_logits={mpp: evidence},
        )


METHOD = Method(
    name="max",
    title="Loudest patch of each class",
    source="https://doi.org/10.1038/s41591-019-0508-1",
    summary="One patch decides: finds small tumours, is easily misled, and needs many slides.",
    network=MaxPooling,
    parameters=PoolingParameters,
    shows=frozenset({"class_attention", "instance_logits"}),
    head=("classifier.3",),
)
