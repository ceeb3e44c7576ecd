"""CLAM (Lu et al., Nature Biomedical Engineering 2021): attention that is taught which patches are evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.mil.attention import GatedAttention, of_predicted_class
from napari_wsimil.mil.chunks import attention_pool
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import Losses, MILModel, MILOutput, finest_features, label_loss
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "CLAM, official code (mahmoodlab/CLAM 53e2409)"
PAPER = "Lu et al. 2021, methods"


class CLAMParameters(Parameters):
    """Hyper-parameters of `CLAM`."""

    branches: Literal["single", "multi"] = parameter(
        "single", "One attention for all classes (CLAM-SB), or one for each class (CLAM-MB).", PAPER
    )
    hidden: int = parameter(512, "Width of the embedding of a patch.", CODE, ge=1, le=8192)
    attention: int = parameter(256, "Width of the attention: 256 is CLAM's small, 384 its big form.", CODE, ge=1, le=8192)
    dropout: float = parameter(0.25, "Share of activations dropped in training.", CODE, ge=0, lt=1)
    sampled: int = parameter(8, "Patches taken as sure examples from either end of the attention.", CODE, ge=1, le=512)
    instance_weight: float = parameter(0.3, "Weight of what the patches teach, against the slide's label.", CODE, ge=0, le=1)
    exclusive: bool = parameter(
        False, "A slide has exactly one of the classes, as with subtypes: then patches also teach what they are not.", CODE
    )


class CLAM(MILModel):
    """Gated attention, and for each class a small classifier of patches that learns from both ends of the attention.

    The evidence of a patch for a class is what that classifier says: logit of "is evidence" minus logit of "is not".

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector, number of classes C.
    branches, hidden, attention, dropout, sampled, instance_weight, exclusive
        See `CLAMParameters`.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        branches: Literal["single", "multi"] = "single",
        hidden: int = 512,
        attention: int = 256,
        dropout: float = 0.25,
        sampled: int = 8,
        instance_weight: float = 0.3,
        exclusive: bool = False,
    ) -> None:
        super().__init__()
        self.multi = branches == "multi"
        self.sampled, self.instance_weight, self.exclusive = sampled, instance_weight, exclusive
        self.embed = nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.attention = GatedAttention(hidden, attention, dropout=dropout, branches=classes if self.multi else 1)
        # with several branches row c of the weights is the classifier of embedding c
        self.classifier = nn.Linear(hidden, classes)
        self.patch_classifiers = nn.ModuleList(nn.Linear(hidden, 2) for _ in range(classes))

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        return self._answer(bag)[0]

    def losses(self, bag: Bag, target: Tensor, class_weights: Tensor | None = None) -> Losses:
        """Cross-entropy of the slide and of the patches at either end of the attention."""
        output, patches = self._answer(bag)
        of_bag = label_loss(output.logits, target, class_weights)
        of_patches = self._patch_loss(output, patches, int(target), next(iter(output.attention)))
        total = (1 - self.instance_weight) * of_bag + self.instance_weight * of_patches
        return Losses(total, {"bag": of_bag, "patches": of_patches}, output)

    def _answer(self, bag: Bag) -> tuple[MILOutput, Tensor]:
        """The output, and the logits (N, C, 2) of all patch classifiers."""
        mpp, features = finest_features(bag, self.classifier.weight)
        pooled = attention_pool(self._instances, features)
        if self.multi:
            logits = (self.classifier.weight * pooled.values).sum(dim=1) + self.classifier.bias
            attention = of_predicted_class(pooled.weights, logits)
        else:
            logits, attention = self.classifier(pooled.values)[0], pooled.weights[:, 0]
        patches = pooled.others[0]
        output = MILOutput(
            logits,
            {mpp: attention},
            class_attention={mpp: pooled.weights} if self.multi else None,
            instance_logits={mpp: patches[..., 1] - patches[..., 0]},
        )
        return output, patches

    def _instances(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Attention logits (n, 1 or C), embeddings (n, hidden) and the patch classifiers' logits (n, C, 2)."""
        embedded = self.embed(features)
        patches = torch.stack([classify(embedded) for classify in self.patch_classifiers], dim=1)
        return self.attention(embedded), embedded, patches

    def _patch_loss(self, output: MILOutput, patches: Tensor, target: int, mpp: float) -> Tensor:
        """Top of the attention: evidence of the slide's class; bottom: none. Mean over examples, and classes where exclusive.

        Small bags: as many as leave the two ends apart; a single patch teaches nothing.
        """
        count = min(self.sampled, len(patches) // 2)
        if count == 0:
            return patches.sum() * 0.0
        loss = patches.new_zeros((), dtype=torch.float32)
        for label in range(patches.shape[1]) if self.exclusive else [target]:
            weights = output.class_attention[mpp][:, label] if output.class_attention else output.attention[mpp]
            top = weights.topk(count).indices
            if label == target:
                rows = torch.cat([top, weights.topk(count, largest=False).indices])
                truth = torch.cat([torch.ones_like(top), torch.zeros_like(top)])
            else:
                rows, truth = top, torch.zeros_like(top)
            loss = loss + functional.cross_entropy(precise(patches[rows, label]), truth)
        return loss / patches.shape[1] if self.exclusive else loss


METHOD = Method(
    name="clam",
    title="Attention with sure examples (CLAM)",
    source="https://arxiv.org/abs/2004.09666",
    summary="Attention that also learns from the patches it is surest about: a strong standard for a few hundred slides.",
    network=CLAM,
    parameters=CLAMParameters,
    shows=frozenset({"class_attention", "instance_logits"}),
    head=("classifier", "patch_classifiers"),
)
