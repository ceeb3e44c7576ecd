"""DSMIL (Li, Li and Eliceiri, CVPR 2021): the most telling patch, and all others by how much they resemble it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.mil.attention import of_predicted_class
from napari_wsimil.mil.chunks import attention_pool, in_chunks
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import Losses, MILModel, MILOutput, finest_features
from napari_wsimil.mil.parameters import Parameters, parameter
from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.bags import Bag

CODE = "DSMIL, official code (binli123/dsmil-wsi 80465ed)"


class DSMILParameters(Parameters):
    """Hyper-parameters of `DSMIL`."""

    query: int = parameter(128, "Width in which patches are compared.", CODE, ge=1, le=4096)
    nonlinear: bool = parameter(True, "Compare through two layers instead of one.", CODE)
    values: bool = parameter(False, "Pool learned values instead of the features themselves.", CODE)
    dropout: float = parameter(0.0, "Share of features dropped in training before values are made of them.", CODE, ge=0, lt=1)
    negative_class: bool = parameter(
        True,
        "The first class means that no other is there, as in tumour detection; switch off for subtypes.",
        CODE + ": one class for CAMELYON16, two for LUAD and LUSC",
    )


class DSMIL(MILModel):
    """Two streams: the largest logit of any patch, and attention by likeness to that patch.

    A class that stands for "nothing there" has no stream of its own: its patches are in every slide. Its logit is 0, so
    that with two classes the softmax of the logits is the published sigmoid. The evidence of a patch is its logit in the first
    stream.

    Parameters
    ----------
    in_features, classes
        Length D of a feature vector, number of classes C.
    query, nonlinear, values, dropout, negative_class
        See `DSMILParameters`.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        query: int = 128,
        nonlinear: bool = True,
        values: bool = False,
        dropout: float = 0.0,
        negative_class: bool = True,
    ) -> None:
        super().__init__()
        self.negative_class = negative_class
        streams = classes - negative_class
        self.patch_classifier = nn.Linear(in_features, streams)
        self.query: nn.Module = (
            nn.Sequential(nn.Linear(in_features, query), nn.ReLU(), nn.Linear(query, query), nn.Tanh())
            if nonlinear
            else nn.Linear(in_features, query)
        )
        self.values: nn.Module = (
            nn.Sequential(nn.Dropout(dropout), nn.Linear(in_features, in_features), nn.ReLU()) if values else nn.Identity()
        )
        self.scale = query**-0.5
        # the published Conv1d(C, C, kernel=D): every class sees the pooled values of all classes
        self.classifier = nn.Conv1d(streams, streams, kernel_size=in_features)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d)):
                nn.init.orthogonal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, bag: Bag) -> MILOutput:
        """Answer for the finest magnification of the bag."""
        return self._answer(bag)[0]

    def losses(self, bag: Bag, target: Tensor, class_weights: Tensor | None = None) -> Losses:
        """Binary cross-entropy of each class, half of it for the slide and half for the most telling patches."""
        output, slide, telling = self._answer(bag)
        truth = functional.one_hot(target, len(output.logits)).to(slide)[int(self.negative_class) :]
        weight = None if class_weights is None else class_weights[target]
        of_bag, of_patch = (
            functional.binary_cross_entropy_with_logits(precise(logits), truth, weight) for logits in (slide, telling)
        )
        return Losses(0.5 * of_bag + 0.5 * of_patch, {"bag": of_bag, "patch": of_patch}, output)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax where one class is the absence of the others; else the published sigmoids, made to sum to 1."""
        if self.negative_class:
            return super().probabilities(logits)
        each = torch.sigmoid(logits.double())
        return each / each.sum(dim=-1, keepdim=True)

    def _answer(self, bag: Bag) -> tuple[MILOutput, Tensor, Tensor]:
        """The output, the logits of the slide and of the most telling patches, (streams,) each."""
        mpp, features = finest_features(bag, self.patch_classifier.weight)
        patches = in_chunks(self.patch_classifier, features)
        telling, critical = patches.max(dim=0)
        wanted = self.query(features[critical])

        def alike(part: Tensor) -> tuple[Tensor, Tensor]:
            return self.query(part) @ wanted.T * self.scale, self.values(part)

        pooled = attention_pool(alike, features)
        slide = self.classifier(pooled.values[None])[0, :, 0]
        logits, by_class = self._with_negative(slide), pooled.weights
        if self.negative_class:
            # nothing to look for: the attention of all other classes together
            by_class = torch.cat([by_class.mean(dim=1, keepdim=True), by_class], dim=1)
        output = MILOutput(
            logits,
            {mpp: of_predicted_class(by_class, logits)},
            class_attention={mpp: by_class},
            instance_logits={mpp: self._with_negative(patches)},
        )
        return output, slide, telling

    def _with_negative(self, logits: Tensor) -> Tensor:
        """Put the 0 of the negative class before the logits (..., streams)."""
        return functional.pad(logits, (1, 0)) if self.negative_class else logits


METHOD = Method(
    name="dsmil",
    title="Likeness to the most telling patch (DSMIL)",
    source="https://arxiv.org/abs/2011.08939",
    summary="Finds the most telling patch and weights all others by likeness to it: for small tumours among many patches.",
    network=DSMIL,
    parameters=DSMILParameters,
    shows=frozenset({"class_attention", "instance_logits"}),
    head=("patch_classifier", "classifier"),
)
