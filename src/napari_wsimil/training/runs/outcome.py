"""What a finished run ended in, in words: for the window and whoever wants it short."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.packages.model import SPEC, read_model_spec
from napari_wsimil.training.evaluation.figures import TITLES
from napari_wsimil.training.runs.run_folder import METRICS, MODEL, REPORT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_wsimil.packages import ModelSpec

TOLD = ("roc_auc", "balanced_accuracy", "sensitivity", "specificity", "f1")
"""Figures of the short list, those that there are; of more than two classes also the mean F1."""
FEW = 20
"""Slides below which a figure says little."""
CHANCE = 0.5
_SPLITS = {"test": "test", "validation": "validation", "train": "training"}


@dataclass(frozen=True)
class Figure:
    """One figure in words.

    Attributes
    ----------
    title
        What it is.
    value
        The number, or a dash.
    interval
        "0.84 to 0.99", "+- 0.03" over folds, or "".
    note
        Why it is not defined, or "".
    """

    title: str
    value: str
    interval: str = ""
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Attributes
    ----------
    folder
        Of the run.
    package
        Folder of the model package; of a cross-validation that of the first fold.
    spec
        What the package says of itself.
    verdict
        One or two sentences: how good it is, and how far that can be relied on.
    figures
        With intervals.
    data
        Slides it learned from and was measured on, a sentence each.
    calibration
        One sentence.
    report
        The page, or None.
    """

    folder: Path
    package: Path
    spec: ModelSpec
    verdict: str
    figures: tuple[Figure, ...]
    data: tuple[str, ...]
    calibration: str
    report: Path | None


def read_outcome(folder: Path) -> Outcome | None:
    """Read what a run left; None where it is not finished.

    Raises
    ------
    WsimilError
        A file of it is damaged.
    """
    path = folder / METRICS
    if not path.is_file():
        return None
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        folds = metrics.get("folds")
        package = folder / "fold-1" / MODEL if folds else folder / MODEL
        if not (package / SPEC).is_file():
            return None
        spec = read_model_spec(package)
        return Outcome(
            folder=folder,
            package=package,
            spec=spec,
            verdict=_verdict_of_folds(metrics) if folds else _verdict(metrics),
            figures=_figures(metrics),
            data=(*_learned(spec), *_measured(metrics)),
            calibration=_calibration(spec),
            report=folder / REPORT if (folder / REPORT).is_file() else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} is damaged ({error}); measure the model again with `napari-wsimil evaluate`.") from error


def _verdict(metrics: Mapping[str, Any]) -> str:
    """How many it got right, ROC AUC, and what to think of that."""
    cases, split = metrics["cases"], _SPLITS.get(metrics["split"], metrics["split"])
    if not cases:
        return "There was no slide to measure it on: look at its predictions."
    matrix = metrics["confusion_matrix"]
    right = sum(matrix[row][row] for row in range(len(matrix)))
    told = f"Right on {right} of {cases} {split} slide{'' if cases == 1 else 's'}"
    auc = metrics["figures"].get("roc_auc", {})
    if auc.get("value") is not None:
        told += f", ROC AUC {auc['value']:.2f}" + _between(auc)
    return " ".join([f"{told}.", *_cautions(metrics, auc)])


def _cautions(metrics: Mapping[str, Any], auc: Mapping[str, Any]) -> list[str]:
    told = []
    low = auc.get("low")
    if auc.get("value") is not None and auc["value"] <= CHANCE:
        told.append("That is no better than guessing.")
    elif low is not None and low <= CHANCE:
        told.append("It may be no better than guessing.")
    if metrics["split"] != "test":
        told.append("These slides chose the epoch, so the figures flatter; others will tell more.")
    elif metrics["cases"] < FEW:
        told.append("So few slides say little.")
    return told


def _verdict_of_folds(metrics: Mapping[str, Any]) -> str:
    auc = metrics["figures"].get("roc_auc", {})
    mean, spread = auc.get("mean"), auc.get("sd")
    told = f"{metrics['folds']} folds, {metrics['cases']} slides tested"
    if mean is not None:
        told += f": ROC AUC {mean:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")
    return f"{told}. Each fold has a model of its own; below is that of the first."


def _figures(metrics: Mapping[str, Any]) -> tuple[Figure, ...]:
    there = metrics["figures"]
    names = TOLD if "f1" in there else (*TOLD, "accuracy", "f1_macro")
    return tuple(_figure(TITLES[name], there[name]) for name in names if name in there)


def _figure(title: str, found: Mapping[str, Any]) -> Figure:
    value = found.get("value", found.get("mean"))
    if value is None:
        return Figure(title, "–", note=found.get("reason") or "")
    if "mean" in found:
        return Figure(title, f"{value:.2f}", "" if found["sd"] is None else f"± {found['sd']:.2f}")
    return Figure(title, f"{value:.2f}", _between(found).strip(" ()"))


def _between(figure: Mapping[str, Any]) -> str:
    """The interval in brackets after a space, or nothing where there is none."""
    low, high = figure.get("low"), figure.get("high")
    return "" if low is None or high is None or low == high else f" ({low:.2f} to {high:.2f})"


def _learned(spec: ModelSpec) -> list[str]:
    counts: Mapping[str, Mapping[str, int]] = spec.training.get("slides", {})
    regions = sum(spec.training.get("regions", {}).values())
    told = []
    if any(counts.get("train", {}).values()):
        told.append(f"Learned from {_slides(counts['train'])}.")
    if regions:
        told.append(f"Learned from {regions} marked region{'' if regions == 1 else 's'}.")
    if spec.training.get("rehearsal_slides"):
        told.append(f"Old slides shown again: {spec.training['rehearsal_slides']}.")
    return told


def _measured(metrics: Mapping[str, Any]) -> list[str]:
    if metrics.get("folds") or not metrics["cases"]:
        return []
    split = _SPLITS.get(metrics["split"], metrics["split"])
    patients = metrics.get("patients")
    whose = f" of {patients} patients" if patients and patients != metrics["cases"] else ""
    told = [f"Measured on {_slides(metrics['counts'], f'{split} ')}{whose}."]
    validation = metrics.get("validation")
    if validation:
        told.append(f"The epoch was chosen on {_slides(validation['counts'], 'validation ')}.")
    return told


def _slides(counts: Mapping[str, int], kind: str = "") -> str:
    total = sum(counts.values())
    return f"{total} {kind}slide{'' if total == 1 else 's'} ({', '.join(f'{count} {name}' for name, count in counts.items())})"


def _calibration(spec: ModelSpec) -> str:
    fit = spec.calibration
    if fit is None or not fit.scales:
        return f"Not calibrated. {fit.note if fit is not None else ''}".strip()
    told = f"Calibrated on {fit.cases} validation slides"
    if fit.ece_before is not None and fit.ece_after is not None:
        told += f": error of the probabilities {fit.ece_before:.2f} before, {fit.ece_after:.2f} after"
    return f"{told}. {fit.note}".strip()
