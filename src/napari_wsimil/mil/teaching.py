"""How an attention teacher teaches an instance student and back (WENO, Qu et al., NeurIPS 2022, sections 3.2 to 3.4).

The teacher's attention logits, stretched to 0 to 1 over all training slides, are soft labels of single patches for the student;
the student tells the teacher which positive patches it finds easy, so that it looks at the hard ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from torch import Tensor

_EPS = 1e-5
"""Keeps labels and logarithms away from 0 and 1, as in the official code."""


@dataclass
class LogitRange:
    """Smallest and largest attention logit seen: of all slides of an epoch (published), or of one.

    Attributes
    ----------
    low, high
        Infinite before the first logits.
    """

    low: float = float("inf")
    high: float = float("-inf")

    def add(self, logits: Tensor) -> None:
        """Take note of the logits (n,) of a bag; not a number is left out."""
        finite = logits.detach()[logits.detach().isfinite()]
        if len(finite):
            self.low = min(self.low, float(finite.min()))
            self.high = max(self.high, float(finite.max()))


def pseudo_labels(logits: Tensor, seen: LogitRange, positive: bool) -> Tensor:
    """Soft labels (n,) of the patches of one slide (equations 6, 7 and 13).

    Parameters
    ----------
    logits
        (n,) raw attention logits of the teacher: not softmaxed, so that slides can be compared.
    seen
        The range to stretch them over; 0.5 everywhere where it is empty or a single number.
    positive
        The slide's label; all patches of a negative slide are exactly 0.
    """
    logits = precise(logits.detach())
    if not positive:
        return torch.zeros_like(logits)
    if not seen.high > seen.low:
        return torch.full_like(logits, 0.5)
    return ((logits - seen.low) / (seen.high - seen.low)).clamp(_EPS, 1 - _EPS)


def student_loss(logits: Tensor, labels: Tensor, negative_weight: float) -> Tensor:
    """Mean over patches of -[w (1 - t) log(1 - q) + (1 - w) t log q], q the softmax of `logits` (n, 2), t `labels` (n,).

    The weight of the negatives stands in the official code only: of a hundred patches of a positive slide few are positive.
    """
    q = torch.softmax(precise(logits), dim=1)[:, 1]
    negative = negative_weight * (1 - labels) * torch.log(1 - q + _EPS)
    positive = (1 - negative_weight) * labels * torch.log(q + _EPS)
    return -(negative + positive).mean()


def teacher_loss(logits: Tensor, target: Tensor) -> Tensor:
    """-[Y log(p + eps) + (1 - Y) log(1 - p + eps)] of a slide's `logits` (2,)."""
    p = torch.softmax(precise(logits), dim=0)[1]
    return -torch.log(torch.where(target > 0, p, 1 - p) + _EPS)


def hard_rows(probabilities: Tensor, *, threshold: float, most: int = 0) -> Tensor:
    """Rows (k,) of the patches of a positive slide that the teacher is to see, in their order; at least one.

    Parameters
    ----------
    probabilities
        (n,) the student's, of being positive.
    threshold
        Patches above it are easy and left out; where all are, the one with the highest stays.
    most
        Instead of the threshold: that many least positive patches; 0: use the threshold.
    """
    probabilities = probabilities.detach()
    if most:
        return probabilities.topk(min(most, len(probabilities)), largest=False).indices.sort().values
    rows = (probabilities <= threshold).nonzero()[:, 0]
    return rows if len(rows) else probabilities.argmax()[None]
