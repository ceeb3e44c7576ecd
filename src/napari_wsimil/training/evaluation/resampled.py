"""The figures of `figures.figures` for thousands of resamples at once, each given by how often it holds every case.

The definitions are scikit-learn's, and the tests hold these sums to its results. A thousand calls of it, one for each resample,
take seconds, nearly all of them for checks of their input; sorting once and adding up takes milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.training.evaluation.figures import SMALLEST, TITLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LARGEST_TABLE = 4_000_000
"""Numbers in memory at a time."""


def resampled_figures(
    targets: NDArray[np.int64], table: Floats, positive: int | None, counts: NDArray[np.int64]
) -> dict[str, Floats]:
    """Name -> (draws,) values, NaN where a resample does not define them.

    Parameters
    ----------
    targets, table, positive
        As for `figures`.
    counts
        (draws, n) how often each case is in each resample.
    """
    classes = table.shape[1]
    truth = np.eye(classes)[targets]
    sizes = counts.sum(axis=1)
    chosen = range(classes) if positive is None else (positive,)
    areas = np.array([curve_areas(truth[:, number] > 0, table[:, number], counts) for number in chosen]).mean(axis=0)
    values = {
        "roc_auc": areas[0],
        "average_precision": areas[1],
        **_of_matrices(_matrices(targets, table.argmax(axis=1), counts, classes), positive),
        "log_loss": counts @ -np.log(table[truth > 0].clip(SMALLEST)) / sizes,
        "brier": counts @ np.square(table - truth).sum(axis=1) / (sizes if positive is None else 2 * sizes),
    }
    return {name: values[name] for name in TITLES if name in values}


def curve_areas(
    truth: NDArray[np.bool_], score: Floats, counts: NDArray[np.int64], owners: NDArray[np.int64] | None = None
) -> tuple[Floats, Floats]:
    """Areas under the ROC curves, (draws,), and average precisions, (draws,); NaN where a resample is all of one kind.

    Parameters
    ----------
    truth, score
        (n,) what is positive, and the evidence for it.
    counts
        (draws, n) how often each case is in each resample; with owners (draws, m).
    owners
        (n,) column of `counts` for each case, where cases are drawn in groups.
    """
    order = np.argsort(-score, kind="stable")
    level = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    step = max(1, LARGEST_TABLE // max(len(score), 1))
    columns = order if owners is None else owners[order]
    parts = [_areas(counts[at : at + step, columns], truth[order], level) for at in range(0, len(counts), step)]
    if not parts:
        return np.zeros(0), np.zeros(0)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _areas(counts: NDArray[np.int64], truth: NDArray[np.bool_], level: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Both areas for cases in falling order of their scores, `level` being where the next lower score begins."""
    hits = np.add.reduceat(counts * truth, level, axis=1).astype(np.float64)
    misses = np.add.reduceat(counts * ~truth, level, axis=1).astype(np.float64)
    found, false = hits.cumsum(axis=1), misses.cumsum(axis=1)
    positives, negatives = found[:, -1], false[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        # a negative case loses against all positive ones above it, and half against those with the same score
        area = (misses * (found - hits / 2)).sum(axis=1) / (positives * negatives)
        precision = np.where(hits > 0, found / (found + false), 0)
        average = (hits * precision).sum(axis=1) / positives
    return area, np.where(negatives > 0, average, np.nan)


def _matrices(targets: NDArray[np.int64], predicted: NDArray[np.int64], counts: NDArray[np.int64], classes: int) -> Floats:
    """(draws, C, C) confusion matrices, truth first."""
    cell = np.zeros((len(targets), classes * classes))
    cell[np.arange(len(targets)), targets * classes + predicted] = 1
    matrices: Floats = (counts @ cell).reshape(-1, classes, classes)
    return matrices


def _of_matrices(matrices: Floats, positive: int | None) -> dict[str, Floats]:
    """What follows from confusion matrices alone."""
    right = np.diagonal(matrices, axis1=1, axis2=2)
    are, said = matrices.sum(axis=2), matrices.sum(axis=1)
    sizes = are.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, f1 = right / are, 2 * right / (are + said)
        by_chance = (are * said).sum(axis=1) / sizes**2
        kappa = (right.sum(axis=1) / sizes - by_chance) / (1 - by_chance)
    values = {
        "accuracy": right.sum(axis=1) / sizes,
        "balanced_accuracy": recall.mean(axis=1),
        "f1_macro": np.where(are.all(axis=1), f1.mean(axis=1), np.nan),
        "f1_weighted": (np.nan_to_num(f1) * are).sum(axis=1) / sizes,
        "kappa": kappa,
    }
    if positive is not None:
        values |= {"f1": f1[:, positive], "sensitivity": recall[:, positive], "specificity": recall[:, 1 - positive]}
    return values
