"""How good the answers of a model are, each figure with a 95 % bootstrap interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.evaluation.bootstrap import LEVEL, resample_counts, with_interval
from napari_wsimil.training.evaluation.figures import average_precision, by_class, figures, roc_auc, why_undefined
from napari_wsimil.training.evaluation.resampled import curve_areas, resampled_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.training.evaluation.scoring import Scores
    from napari_wsimil.training.settings import Selection

    Pair = tuple[NDArray[np.int64], NDArray[np.float64]]


def measure(
    scores: Scores, *, positive: str | None = None, patients: Sequence[str] | None = None, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Figures of merit with intervals, JSON-able; the same input gives the same numbers.

    Parameters
    ----------
    scores
        Answers of a model, calibrated or not.
    positive
        For two classes, the one that sensitivity, F1 and ROC AUC are about; None: the second.
    patients
        (n,) whose slides they are: the bootstrap then draws patients, since slides of one patient are alike.
    draws
        Resamples; 0: no intervals.
    seed
        Of the resamples.

    Returns
    -------
    ``cases``, ``patients``, ``classes``, ``positive_class``, ``counts`` {class: slides}, ``interval`` (how it was made),
    ``figures`` {name: {value, low, high, reason}}, ``confusion_matrix`` (rows: truth, columns: prediction) and ``per_class``.
    What the data can't tell is None, and ``reason`` says why; figures are those of `figures.TITLES`.

    Raises
    ------
    TrainingError
        There is no slide, an answer is not a probability, or a patient is missing.
    """
    from sklearn.metrics import confusion_matrix

    _check(scores, patients)
    chosen = positive_number(scores.classes, positive)
    targets, table = scores.targets, scores.probabilities
    samples = resampled_figures(targets, table, chosen, resample_counts(len(scores), patients, draws, seed))
    return {
        "cases": len(scores),
        "patients": None if patients is None else len(set(patients)),
        "classes": list(scores.classes),
        "positive_class": None if chosen is None else scores.classes[chosen],
        "counts": {name: int(np.sum(targets == number)) for number, name in enumerate(scores.classes)},
        "interval": {
            "level": LEVEL,
            "method": f"percentile bootstrap of {'slides' if patients is None else 'patients'}",
            "draws": draws,
            "seed": seed,
        },
        "figures": {
            name: with_interval(value, samples[name], why_undefined(name, targets, scores.classes, chosen))
            for name, value in figures(targets, table, chosen).items()
        },
        "confusion_matrix": confusion_matrix(targets, table.argmax(axis=1), labels=range(len(scores.classes))).tolist(),
        "per_class": _per_class(scores),
    }


def positive_number(classes: Sequence[str], positive: str | None = None) -> int | None:
    """Column of the positive class: the one named, the second of two, or None for more than two classes."""
    if positive is not None and positive not in classes:
        raise TrainingError(f"The positive class {positive!r} is none of the classes; choose from {', '.join(classes)}.")
    if len(classes) != 2:
        return None
    return 1 if positive is None else list(classes).index(positive)


def selection_value(scores: Scores, name: Selection, positive: str | None = None) -> float:
    """What the best epoch has most of, cheap.

    Parameters
    ----------
    name
        "loss" (log loss, with a minus so that more is better), "auc", "balanced_accuracy", "f1" (of the positive class; with
        more than two classes the mean of all) or "auc+f1" (their sum).

    Raises
    ------
    TrainingError
        There is no slide, or a class without one makes the figure undefined.
    """
    _check(scores, None)
    found = figures(scores.targets, scores.probabilities, positive_number(scores.classes, positive))
    if name == "loss":
        return -found["log_loss"]
    missing = [label for number, label in enumerate(scores.classes) if number not in scores.targets]
    if missing:
        raise TrainingError(
            f"The validation slides have none of class {', '.join(missing)}, so the best epoch can't be chosen by {name}; add "
            "such slides to validation or choose by loss."
        )
    f1 = found.get("f1", found["f1_macro"])
    return {
        "auc": found["roc_auc"],
        "balanced_accuracy": found["balanced_accuracy"],
        "f1": f1,
        "auc+f1": found["roc_auc"] + f1,
    }[name]


def instance_metrics(
    labels: Mapping[str, NDArray[np.int64]], scores: Mapping[str, NDArray[np.float64]], *, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """How well patches are told apart, over all patches together and slide by slide.

    Parameters
    ----------
    labels
        Slide -> (N,) 1 for patches of the positive class, 0 for others, -1 for patches that nobody labelled.
    scores
        Slide -> (N,) evidence for the positive class.
    draws, seed
        Of the bootstrap, which draws slides.

    Returns
    -------
    ``slides``, ``patches``, ``positive`` (patches), ``figures`` with ``roc_auc`` and ``average_precision`` of all patches
    together and ``slide_roc_auc``, the mean over the slides that have both kinds, and ``per_slide``.

    Raises
    ------
    TrainingError
        A slide has labels but no scores, other labels than 1, 0 and -1, or not as many as scores.
    """
    known = {name: _known(name, found, scores.get(name)) for name, found in labels.items()}
    known = {name: pair for name, pair in known.items() if len(pair[0])}
    per_slide = [
        {"slide": name, "patches": len(truth), "positive": int(truth.sum()), "roc_auc": _none(_areas(truth, score)[0])}
        for name, (truth, score) in known.items()
    ]
    pairs = list(known.values())
    samples = _resampled_instance_figures(pairs, resample_counts(len(pairs), None, draws, seed))
    reason = "The labelled patches are all of one kind." if pairs else "No patch is labelled."
    return {
        "slides": len(pairs),
        "patches": sum(len(truth) for truth, _ in pairs),
        "positive": int(sum(truth.sum() for truth, _ in pairs)),
        "figures": {name: with_interval(value, samples[name], reason) for name, value in _instance_figures(pairs).items()},
        "per_slide": per_slide,
    }


def _known(name: str, labels: NDArray[np.int64], scores: NDArray[np.float64] | None) -> Pair:
    if scores is None or np.shape(scores) != np.shape(labels):
        count = "no" if scores is None else str(len(scores))
        raise TrainingError(f"Slide {name} has {len(labels)} patch labels but {count} patch scores; give one for each patch.")
    if not np.isin(labels, (-1, 0, 1)).all():
        raise TrainingError(f"Slide {name} has patch labels other than 1, 0 and -1 (unknown); compare one class with the rest.")
    rows = np.asarray(labels) >= 0
    return np.asarray(labels)[rows], np.asarray(scores, np.float64)[rows]


def _instance_figures(pairs: Sequence[Pair]) -> dict[str, float]:
    if not pairs:
        return dict.fromkeys(("roc_auc", "average_precision", "slide_roc_auc"), np.nan)
    pooled = _areas(*(np.concatenate(column) for column in zip(*pairs, strict=True)))
    alone = [area for area in (_areas(*pair)[0] for pair in pairs) if not np.isnan(area)]
    return {"roc_auc": pooled[0], "average_precision": pooled[1], "slide_roc_auc": float(np.mean(alone)) if alone else np.nan}


def _resampled_instance_figures(pairs: Sequence[Pair], counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """The same for resamples of slides, (draws, slides) how often each is drawn."""
    if not pairs:
        return dict.fromkeys(("roc_auc", "average_precision", "slide_roc_auc"), np.zeros(0))
    truth, score = (np.concatenate(column) for column in zip(*pairs, strict=True))
    owners = np.repeat(np.arange(len(pairs)), [len(pair[0]) for pair in pairs])
    alone = np.array([_areas(*pair)[0] for pair in pairs])
    known = np.where(np.isnan(alone), 0, counts)
    with np.errstate(invalid="ignore"):
        mean = known @ np.nan_to_num(alone) / known.sum(axis=1)
    pooled = curve_areas(truth > 0, score, counts, owners)
    return {"roc_auc": pooled[0], "average_precision": pooled[1], "slide_roc_auc": mean}


def _areas(truth: NDArray[np.int64], score: NDArray[np.float64]) -> tuple[float, float]:
    columns = truth.reshape(-1, 1).astype(np.float64), score.reshape(-1, 1)
    return roc_auc(*columns, 0), average_precision(*columns, 0)


def _check(scores: Scores, patients: Sequence[str] | None) -> None:
    if not len(scores):
        raise TrainingError("There is no labelled slide to measure the model on; give slides with labels.")
    bad = ~(np.isfinite(scores.probabilities).all(axis=1) & np.isclose(scores.probabilities.sum(axis=1), 1, atol=1e-6))
    if bad.any():
        raise TrainingError(
            f"The model's answer for {scores.names[int(bad.argmax())]} is no probability: its training went astray; train "
            "again with a smaller learning rate."
        )
    if patients is not None and len(patients) != len(scores):
        raise TrainingError(f"{len(scores)} slides were measured but {len(patients)} patients given; give one for each slide.")


def _per_class(scores: Scores) -> list[dict[str, Any]]:
    targets, table = scores.targets, scores.probabilities
    predicted = table.argmax(axis=1)
    columns = by_class(targets, predicted, len(scores.classes))
    truth = np.eye(len(scores.classes))[targets]
    return [
        {
            "class": name,
            "cases": int(columns["cases"][number]),
            "predicted": int(np.sum(predicted == number)),
            **{key: _none(columns[key][number]) for key in ("precision", "recall", "f1")},
            "roc_auc": _none(roc_auc(truth, table, number)),
            "average_precision": _none(average_precision(truth, table, number)),
        }
        for number, name in enumerate(scores.classes)
    ]


def _none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
