"""What every MIL model gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

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

    Attributes
    ----------
    logits
        (C,) one for each class.
    attention
        mpp -> (N,), softmaxed: sums to 1 at each magnification.
    anchors
        Anchor instances.
    zoom
        mpp -> what was looked at more closely, at the magnification where it was chosen.
    instance_logits
        mpp -> (N, C) evidence of each instance.
    """

    logits: Tensor
    attention: Mapping[float, Tensor]
    anchors: Selection | None = None
    zoom: Mapping[float, Selection] | None = None
    instance_logits: Mapping[float, Tensor] | None = None


class MILModel(nn.Module):
    """A network from bags to `MILOutput`; it takes (in_features, classes, **hyper-parameters) when made."""

    def __call__(self, bag: Bag) -> MILOutput:
        """Answer for one slide, hooks included."""
        output: MILOutput = super().__call__(bag)
        return output
