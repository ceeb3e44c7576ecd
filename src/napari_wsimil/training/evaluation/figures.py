"""Figures of merit of one table of answers, by scikit-learn; what a table can't tell is NaN here and a sentence for the reader.

Nothing is ever 0 for want of data: a figure that needs a class of which there is no slide is not defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TITLES = {
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "f1_macro": "F1, mean of the classes",
    "f1_weighted": "F1, weighted by class size",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "kappa": "Cohen's kappa",
    "log_loss": "Log loss",
    "brier": "Brier score",
}
"""Figure -> its name for people, in the order in which they are told."""
LOWER_IS_BETTER = frozenset({"log_loss", "brier"})
SMALLEST = float(np.finfo(np.float64).eps)
"""What log loss takes for a probability of 0."""


def figures(targets: NDArray[np.int64], table: NDArray[np.float64], positive: int | None) -> dict[str, float]:
    """All figures of one set of cases.

    Parameters
    ----------
    targets
        (n,) true classes, n >= 1.
    table
        (n, C) probabilities; the most probable class is the prediction, the first of equal ones.
    positive
        For two classes the one that F1, ROC AUC, average precision, sensitivity and specificity are about; None for more
        classes: F1 is then told as the mean of the classes, ROC AUC and average precision of each class against the rest.

    Returns
    -------
    Name -> value, NaN where it is not defined. The Brier score is the squared distance of the positive class's probability
    from the truth for two classes (0 to 1), summed over the classes for more (0 to 2).
    """
    predicted = table.argmax(axis=1)
    truth = np.eye(table.shape[1])[targets]
    found = by_class(targets, predicted, table.shape[1])
    counts, recall, f1 = found["cases"], found["recall"], found["f1"]
    every_class = bool(counts.all())
    values = {
        "roc_auc": roc_auc(truth, table, positive),
        "average_precision": average_precision(truth, table, positive),
        "accuracy": float(np.mean(predicted == targets)),
        "balanced_accuracy": float(recall.mean()),
        "f1_macro": float(f1.mean()) if every_class else np.nan,
        "f1_weighted": float(np.average(np.nan_to_num(f1), weights=counts)),
        "kappa": _kappa(targets, predicted),
        "log_loss": float(-np.log(table[truth > 0].clip(SMALLEST)).mean()),
        "brier": float(np.square(table - truth).sum(axis=1).mean() / (1 if positive is None else 2)),
    }
    if positive is not None:
        values |= {
            "f1": float(f1[positive]),
            "sensitivity": float(recall[positive]),
            "specificity": float(recall[1 - positive]),
        }
    return {name: values[name] for name in TITLES if name in values}


def by_class(targets: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> dict[str, NDArray[np.float64]]:
    """(C,) precision, recall, f1 and cases of each class; NaN where nothing was predicted so, or is so."""
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(targets, predicted, labels=range(classes), zero_division=np.nan)
    return dict(zip(("precision", "recall", "f1", "cases"), map(np.asarray, columns), strict=True))


def roc_auc(truth: NDArray[np.float64], table: NDArray[np.float64], positive: int | None) -> float:
    """Area under the ROC curve of the positive class, or the mean over the classes, each against the rest; (n, C) both."""
    from sklearn.metrics import roc_auc_score

    return _over_classes(roc_auc_score, truth, table, positive)


def average_precision(truth: NDArray[np.float64], table: NDArray[np.float64], positive: int | None) -> float:
    """Average precision of the positive class, or the mean over the classes, each against the rest; (n, C) both."""
    from sklearn.metrics import average_precision_score

    return _over_classes(average_precision_score, truth, table, positive)


def _over_classes(measure: object, truth: NDArray[np.float64], table: NDArray[np.float64], positive: int | None) -> float:
    chosen = slice(None) if positive is None else slice(positive, positive + 1)
    shares = truth[:, chosen].mean(axis=0)
    if not np.all((shares > 0) & (shares < 1)):
        return np.nan
    return float(measure(truth[:, chosen], table[:, chosen], average="macro"))  # type: ignore[operator]


def _kappa(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    from sklearn.metrics import cohen_kappa_score

    if len(np.union1d(targets, predicted)) == 1:
        return np.nan
    return float(cohen_kappa_score(targets, predicted))


def why_undefined(name: str, targets: NDArray[np.int64], classes: Sequence[str], positive: int | None) -> str:
    """Why a figure that came out as NaN is not defined, in a sentence."""
    missing = [label for number, label in enumerate(classes) if number not in targets]
    listed = ", ".join(missing)
    if name == "kappa":
        return "All slides are of one class, and no other was predicted: there is no agreement beyond chance to measure."
    if name == "f1" and positive is not None:
        return f"No slide is {classes[positive]}, and none was predicted so."
    return f"There is no slide of class {listed}." if len(missing) == 1 else f"There is no slide of these classes: {listed}."
