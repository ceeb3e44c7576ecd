"""Where a model is least sure, patch by patch: what a person should label next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchScores, SlidePrediction

TAUGHT = frozenset({"weno"})
"""Methods in which one head teaches another to see single patches, so that the two can disagree."""


def patch_uncertainty(prediction: SlidePrediction, mpp: float) -> PatchScores:
    """(N,) entropy of the class probabilities of each patch, from 0 (sure) to 1 (all classes equally probable).

    Parameters
    ----------
    mpp
        A magnification of `prediction.instances`.
    """
    table = prediction.instances[mpp]
    shares = np.asarray(table.values, np.float64)
    if shares.ndim == 1:  # the probability of the positive class against all others
        shares = np.stack([1 - shares, shares], axis=1)
    shares = np.clip(shares, 0, 1)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy = -(shares * logs).sum(axis=1) / np.log(max(shares.shape[1], 2))
    return replace(table, values=np.clip(entropy, 0, 1).astype(np.float32))


def patch_disagreement(prediction: SlidePrediction, mpp: float) -> PatchScores:
    """(N,) how far what the teacher says of each patch is from what the student says, from 0 to 1.

    The teacher's word is its pseudo label (WENO, Qu et al. 2022, equations 6 and 7): its attention logits stretched over the
    range from 0 to 1, here over this slide, and 0 everywhere on a slide that is predicted not to be positive. The student's is
    its probability of the positive class.

    Parameters
    ----------
    mpp
        A magnification that `can_disagree` names.
    """
    attention, table = prediction.attention[mpp], prediction.instances[mpp]
    student = np.asarray(table.values, np.float64)
    if student.ndim == 2:
        student = student[:, prediction.classes.index(prediction.positive_class or prediction.classes[-1])]
    return replace(table, values=np.abs(_pseudo_labels(prediction, attention) - student).astype(np.float32))


def can_disagree(prediction: SlidePrediction) -> list[float]:
    """Magnifications at which a teacher and a student both say something of the same patches, fine to coarse."""
    if prediction.provenance.get("model", {}).get("method") not in TAUGHT:
        return []
    both = set(prediction.attention) & set(prediction.instances)
    return sorted(mpp for mpp in both if len(prediction.attention[mpp]) == len(prediction.instances[mpp]))


def slide_disagreement(prediction: SlidePrediction) -> float | None:
    """Mean over the patches of how far teacher and student are apart; None where the model has no such two."""
    for mpp in can_disagree(prediction):
        values = patch_disagreement(prediction, mpp).values
        known = values[np.isfinite(values)]
        if len(known):
            return float(known.mean())
    return None


def _pseudo_labels(prediction: SlidePrediction, attention: PatchScores) -> NDArray[np.float64]:
    paid = np.asarray(attention.values, np.float64)
    # the softmax of the logits differs from them by a constant once its logarithm is taken
    logits = np.log(np.maximum(paid, np.finfo(np.float32).tiny))
    if prediction.predicted_class != prediction.positive_class:
        return np.where(np.isnan(paid), np.nan, 0.0)
    if not np.isfinite(paid).any():
        return np.full(len(paid), np.nan)
    low, high = np.nanmin(logits), np.nanmax(logits)
    return np.where(np.isnan(paid), np.nan, 0.5) if not high > low else (logits - low) / (high - low)
