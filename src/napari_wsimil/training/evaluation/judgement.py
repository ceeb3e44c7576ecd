"""How a model that is still being trained judges the validation slides: counts and ROC curves, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class RocCurve:
    """Of one class against the others.

    Attributes
    ----------
    name
        Of the class.
    false, true
        (k,) shares of the other slides, and of those of the class, that are found at each threshold.
    auc
        Area below.
    """

    name: str
    false: NDArray[np.float64]
    true: NDArray[np.float64]
    auc: float


@dataclass(frozen=True)
class Judgement:
    """What was said of the validation slides after one epoch.

    Attributes
    ----------
    stage, epoch
        Of the run; epochs from 0.
    classes
        Names, in the model's order.
    counts
        (C, C) slides by their class (row) and by the most probable one (column).
    curves
        One for the second of two classes, else one for each class; classes without slides, or with all of them, have none.
    """

    stage: str
    epoch: int
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    curves: tuple[RocCurve, ...]

    @property
    def correct(self) -> int:
        """Slides whose most probable class is theirs."""
        return int(np.trace(self.counts))

    @property
    def slides(self) -> int:
        """Slides with a label."""
        return int(self.counts.sum())


def judgement(stage: str, epoch: int, classes: Sequence[str], targets: Any, probabilities: Any) -> Judgement:
    """Count and draw.

    Parameters
    ----------
    targets
        (n,) true classes; negative where a slide has no label.
    probabilities
        (n, C).
    """
    told = np.asarray(targets, np.int64)
    table = np.asarray(probabilities, np.float64).reshape(len(told), len(classes))
    told, table = told[told >= 0], table[told >= 0]
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (told, table.argmax(axis=1) if len(told) else told), 1)
    shown = (1,) if len(classes) == 2 else range(len(classes))
    curves = (_curve(classes[number], told == number, table[:, number]) for number in shown)
    return Judgement(stage, epoch, tuple(classes), counts, tuple(curve for curve in curves if curve is not None))


def _curve(name: str, of_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> RocCurve | None:
    from sklearn.metrics import auc, roc_curve

    if of_class.all() or not of_class.any():
        return None
    false, true, _ = roc_curve(of_class, scores)
    return RocCurve(name, false, true, float(auc(false, true)))
