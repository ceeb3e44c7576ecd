"""Attention-based MIL (Ilse, Tomczak and Welling, ICML 2018) in the form whole slides use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from napari_wsimil.mil.attention import GatedAttention
from napari_wsimil.mil.chunks import attention_pool
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import MILModel, MILOutput, finest_features
from napari_wsimil.mil.parameters import Parameters, parameter

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CLAM = "CLAM (Lu et al. 2021), small"


class ABMILParameters(Parameters):
    """Hyper-parameters of `ABMIL`."""

    hidden: int = parameter(512, "Width of the embedding of an instance.", CLAM, ge=1, le=8192)
    attention: int = parameter(256, "Width of the attention.", CLAM, ge=1, le=8192)
    gated: bool = parameter(
        True, "Gate the attention with a sigmoid, which lets it be less than linear near zero.", "Ilse et al. 2018, section 2.4"
    )
    dropout: float = parameter(0.25, "Share of activations dropped in training.", CLAM, ge=0, lt=1)


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
        mpp, features = finest_features(bag, self.classifier.weight)
        pooled = attention_pool(self._instances, features)
        return MILOutput(
            logits=self.classifier(pooled.values)[0],
            attention={mpp: pooled.weights[:, 0]},
            instance_logits={mpp: pooled.others[0]},
        )

    def _instances(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Attention logits (n, 1), embeddings (n, hidden) and evidence (n, C)."""
        embedded = self.embed(features)
        return self.attention(embedded), embedded, self.classifier(embedded)


METHOD = Method(
    name="abmil",
    title="Gated attention (ABMIL)",
    source="https://arxiv.org/abs/1802.04712",
    summary="Attention-weighted mean of the patches: small, quick, and the yardstick for all others.",
    network=ABMIL,
    parameters=ABMILParameters,
    shows=frozenset({"instance_logits"}),
)
