"""What every MIL model gives back, and what it is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_wsimil.bags import Bag


@dataclass(frozen=True)
class Selection:
    """Patches that a model chose: `rows` (k,) int64 of the grid at `mpp`, best first, and their `scores` (k,)."""

    mpp: float
    rows: Tensor
    scores: Tensor


@dataclass(frozen=True)
class MILOutput:
    """The answer for one bag; what a method does not have is None.

    Tables of a magnification have one row for each patch of the bag's grid, or for each of `rows` where only some were looked
    at: n below.

    Attributes
    ----------
    logits
        (C,) one for each class; `MILModel.probabilities` turns them into probabilities.
    attention
        mpp -> (n,), softmaxed: sums to 1 at each magnification.
    class_attention
        mpp -> (n, C), attention of each class, each column summing to 1.
    anchors
        Anchor instances (AINet).
    regions
        mpp -> (n,) int64, the region of each instance (AINet), numbered from 0 in the order in which regions follow each other.
    zoom
        mpp -> what was looked at more closely, at the magnification where it was chosen (ZoomMIL).
    instance_logits
        mpp -> (n, C) evidence of each instance; softmax over the classes gives instance probabilities.
    rows
        mpp -> (n,) int64 rows of the grid, for magnifications of which only some patches were looked at.
    """

    logits: Tensor
    attention: Mapping[float, Tensor]
    class_attention: Mapping[float, Tensor] | None = None
    anchors: Selection | None = None
    regions: Mapping[float, Tensor] | None = None
    zoom: Mapping[float, Selection] | None = None
    instance_logits: Mapping[float, Tensor] | None = None
    rows: Mapping[float, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Losses:
    """What a training step minimises.

    Attributes
    ----------
    total
        Scalar; the weighted sum of the parts.
    parts
        Name -> scalar without its weight, for curves.
    output
        The answer that they judge.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    output: MILOutput


class MILModel(nn.Module):
    """A network from bags to `MILOutput`; it takes (in_features, classes, **hyper-parameters) when made."""

    def __call__(self, bag: Bag) -> MILOutput:
        """Answer for one slide, hooks included."""
        output: MILOutput = super().__call__(bag)
        return output

    def probabilities(self, logits: Tensor) -> Tensor:
        """(C,) probabilities that sum to 1, from the logits of this model: softmax, unless a method says otherwise."""
        return torch.softmax(logits.double(), dim=-1)

    def evidence(self, bag: Bag) -> Mapping[float, Tensor] | None:
        """`instance_logits` of all patches, mpp -> (N, C), in training too, for patches with labels; None: there are none."""
        return self(bag).instance_logits

    def provisional(self, bag: Bag, step: int) -> Tensor | None:
        """Attention over the patches that are encoded so far, to be shown while the others are.

        Parameters
        ----------
        bag
            Shows these patches only, n of them, at one magnification.
        step
            Which of the model's magnifications that is, 0 the coarsest.

        Returns
        -------
        (n,), sums to 1; None where the method can't tell before it has seen more.
        """
        return self(bag).attention.get(bag.mpps[0]) if step == 0 else None

    def losses(self, bag: Bag, target: Tensor, class_weights: Tensor | None = None) -> Losses:
        """What to minimise on one bag: cross-entropy of the bag, unless a method has more to say.

        Parameters
        ----------
        target
            () int64, the class of the slide, on the model's device.
        class_weights
            (C,) by which the bag's loss is multiplied, each class by its own, or None.
        """
        output = self(bag)
        loss = label_loss(output.logits, target, class_weights)
        return Losses(loss, {"bag": loss}, output)


def label_loss(logits: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of one slide's logits, (C,) or the mean of several (n, C), times the weight of its class.

    PyTorch's mean divides by the weights again, so that with one slide in a step they would do nothing.
    """
    table = precise(logits.reshape(-1, logits.shape[-1]))
    return functional.cross_entropy(table, target.expand(len(table)), class_weights, reduction="none").mean()


def finest_features(bag: Bag, like: Tensor) -> tuple[float, Tensor]:
    """The finest magnification of a bag and its (N, D) features, where methods with one magnification look.

    Parameters
    ----------
    like
        A parameter of the network: features come on its device. Their type is kept, autocast decides on precision.
    """
    mpp = bag.mpps[-1]
    return mpp, bag.features(mpp).to(like.device)
