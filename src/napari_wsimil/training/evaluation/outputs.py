"""What an evaluation leaves in a folder: figures, answers and plots, all of them or none."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_together
from napari_wsimil.training.evaluation import plots
from napari_wsimil.training.evaluation.calibration import calibrated, calibration_figures
from napari_wsimil.training.evaluation.learning_curves import learning_curves
from napari_wsimil.training.runs.run_folder import METRICS, PLOTS, PREDICTIONS, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_wsimil.packages import Calibration
    from napari_wsimil.training.evaluation.scoring import Scores
    from napari_wsimil.training.events import Event

SCHEMA_VERSION = 1


def write_evaluation(
    folder: Path,
    scores: Scores,
    metrics: Mapping[str, Any],
    calibration: Calibration | None = None,
    *,
    patients: Sequence[str] | None = None,
    split: str = "test",
    events: Iterable[Event] = (),
    more: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write `metrics.json`, `predictions.csv` and `plots/` to `folder`; an older evaluation in it is replaced.

    Nothing changes in the folder until all of it is made; `metrics.json` comes last, so where it is, the rest is too.

    Parameters
    ----------
    folder
        Made if missing.
    scores
        Answers as the model gives them, not calibrated.
    metrics
        What `measure` found for `calibrated(scores, calibration)`.
    calibration
        Of the model; None: there is none, the probabilities stay.
    patients
        (n,) whose slides they are.
    split
        What the slides are: "test", "validation", or a word of one's own.
    events
        Of the training run, for its learning curves.
    more
        Further entries of `metrics.json`, JSON-able: `instances` from `instance_metrics`, `validation`, `seconds`.

    Returns
    -------
    The files.

    Raises
    ------
    TrainingError
        The folder can't be written, or matplotlib is missing.
    """
    final = calibrated(scores, calibration)
    scales = calibration is not None and calibration.scales
    about = _about_calibration(scores, final if scales else None, calibration, metrics["positive_class"])
    document = {"schema_version": SCHEMA_VERSION, "split": split, **metrics, "calibration": about, **(more or {})}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_together(folder, METRICS) as part:
            (part / PREDICTIONS).write_text(predictions_text(final, scores if scales else None, patients), encoding="utf-8")
            (part / PLOTS).mkdir()
            _draw(part / PLOTS, final, document, events)
            (part / METRICS).write_text(to_json(document), encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"{folder} can't be written ({error.strerror or error}); choose another folder.") from error
    return [folder / METRICS, folder / PREDICTIONS, *sorted((folder / PLOTS).iterdir())]


def _about_calibration(
    scores: Scores, final: Scores | None, calibration: Calibration | None, positive: str | None
) -> dict[str, Any]:
    """The fit, and how well calibrated answers are before it and, where it changes them, after."""
    told = {} if final is None else {"calibrated": calibration_figures(final, positive)}
    told["as the model gives them"] = calibration_figures(scores, positive)
    return {"fit": None if calibration is None else calibration.model_dump(), "figures": told}


def predictions_text(scores: Scores, plain: Scores | None = None, patients: Sequence[str] | None = None) -> str:
    """CSV: slide, patient, label, predicted, correct (1 or 0), prob_<class> for every class.

    Parameters
    ----------
    plain
        The answers before calibration, for the columns uncalibrated_<class>; None: no such columns.
    """
    predicted = scores.probabilities.argmax(axis=1)
    heads = [f"{kind}_{name}" for kind in ("prob", *(["uncalibrated"] if plain else [])) for name in scores.classes]
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["slide", *([] if patients is None else ["patient"]), "label", "predicted", "correct", *heads])
    for row, (name, target, chosen) in enumerate(zip(scores.names, scores.targets, predicted, strict=True)):
        numbers = [*scores.probabilities[row], *([] if plain is None else plain.probabilities[row])]
        who = [] if patients is None else [patients[row]]
        labels = [scores.classes[target], scores.classes[chosen], int(target == chosen)]
        writer.writerow([name, *who, *labels, *(f"{number:.6g}" for number in numbers)])
    return out.getvalue()


def _draw(folder: Path, scores: Scores, document: Mapping[str, Any], events: Iterable[Event]) -> None:
    figures = {
        "roc": plots.roc(scores, document),
        "precision_recall": plots.precision_recall(scores, document),
        "confusion_matrix": plots.confusion_matrix(document),
        "reliability": plots.reliability_diagram(document["calibration"]["figures"]),
        "training": learning_curves(events),
    }
    for name, figure in figures.items():
        if figure is not None:
            plots.save(figure, folder, name)
