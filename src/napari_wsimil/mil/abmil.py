"""Attention-based MIL (Ilse, Tomczak and Welling, ICML 2018) in the form whole slides use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from napari_wsimil.mil.attention import GatedAttention
from napari_wsimil.mil.output import MILModel, MILOutput

if TYPE_CHECKING:
    from napari_wsimil.bags import Bag

CLAM = "CLAM (Lu et al. 2021), small"


class ABMILParameters(BaseModel):
    """Hyper-parameters of `ABMIL`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden: int = Field(
        default=512, ge=1, le=8192, description="Width of the embedding of an instance.", json_schema_extra={"source": CLAM}
    )
    attention: int = Field(
        default=256, ge=1, le=8192, description="Width of the attention.", json_schema_extra={"source": CLAM}
    )
    gated: bool = Field(
        default=True,
        description="Gate the attention with a sigmoid, which lets it be less than linear near zero.",
        json_schema_extra={"source": "Ilse et al. 2018, section 2.4"},
    )
    dropout: float = Field(
        default=0.25, ge=0, lt=1, description="Share of activations dropped in training.", json_schema_extra={"source": CLAM}
    )


class ABMIL(MILModel):
    """Embed each instance, weight it by attention, classify the weighted mean.

    The classifier is linear, so the bag's logits are exactly the attention-weighted mean of the instances' logits, which are
    given as the evidence of each instance.

    Parameters
    ----------
    in_features
        Length D of a feature vector.
    classes
        Number of classes C.
    hidden, attention, gated, dropout
        See `ABMILParameters`.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        hidden: int = 512,
        attention: int = 256,
        gated: bool = True,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.attention = GatedAttention(hidden, attention, gated=gated, dropout=dropout)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        mpp = bag.mpps[-1]
        instances = self.embed(bag.features(mpp).to(self.classifier.weight.device))
        weights = torch.softmax(self.attention(instances), dim=0)
        return MILOutput(
            logits=self.classifier(weights @ instances),
            attention={mpp: weights},
            instance_logits={mpp: self.classifier(instances)},
        )
