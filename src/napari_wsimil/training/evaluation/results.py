"""How good a trained model is: scored, calibrated, measured; its package with all of that, and the files of the evaluation."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from napari_wsimil.packages import Calibration, save_model
from napari_wsimil.training.evaluation.calibration import calibrated, fit_temperature
from napari_wsimil.training.evaluation.metrics import measure
from napari_wsimil.training.evaluation.outputs import SCHEMA_VERSION, write_evaluation
from napari_wsimil.training.evaluation.scoring import score
from napari_wsimil.training.events import Event, read_events
from napari_wsimil.training.runs.run_card import run_card
from napari_wsimil.training.runs.run_folder import EVENTS, METRICS, MODEL

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    import torch

    from napari_wsimil.packages import Model
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.evaluation.scoring import Scores
    from napari_wsimil.training.runs.study import Study


def judge(study: Study, model: Model, opened: Mapping[str, BagSet]) -> Generator[Event, None, None]:
    """Score validation and test slides, calibrate by the former, and write package and figures of the latter.

    Parameters
    ----------
    model
        The package of the run.
    opened
        Bags of "validation", and of "test" where there are such slides; otherwise the figures are those of validation.
    """
    if not opened:
        _leave_unjudged(study, model)
        return
    scores: dict[str, Scores] = {}
    for side, bags in opened.items():
        scores[side] = yield from scored(model, bags, study.device, side)
    positive = model.positive_class
    calibration = _calibration(study, scores.get("validation"), positive)
    patients = {case.name: case.patient for case in study.cases}
    figures = {
        side: measure(calibrated(found, calibration), positive=positive, patients=[patients[name] for name in found.names])
        for side, found in scores.items()
    }
    finish_package(study, model, calibration, figures)
    shown = "test" if "test" in scores else "validation"
    more: dict[str, Any] = {"validation": figures["validation"]} if shown == "test" else {}
    write_evaluation(
        study.folder.path,
        scores[shown],
        figures[shown],
        calibration,
        patients=[patients[name] for name in scores[shown].names],
        split=shown,
        events=read_events(study.folder.path / EVENTS),
        more={**more, "training": _training(model)},
    )


def _leave_unjudged(study: Study, model: Model) -> None:
    """The package and `metrics.json` of a model that no slide with a label judges: without figures."""
    finish_package(study, model, _calibration(study, None, model.positive_class), {})
    classes = list(model.classes)
    counts = dict.fromkeys(classes, 0)
    about = {"schema_version": SCHEMA_VERSION, "split": "no", "cases": 0, "patients": None, "classes": classes}
    figures: dict[str, Any] = {"figures": {}, "confusion_matrix": [], "per_class": [], "training": _training(model)}
    study.folder.write(METRICS, {**about, "positive_class": model.positive_class, "counts": counts, **figures})


def _calibration(study: Study, scores: Scores | None, positive: str | None) -> Calibration:
    """Fitted to validation slides; where these say nothing, what the model had before it was fine-tuned, if anything."""
    note = "No slide with a label judged the model."
    fitted = Calibration(method="none", cases=0, note=note) if scores is None else fit_temperature(scores, positive)
    if fitted.scales or study.calibration is None or not study.calibration.scales:
        return fitted
    return study.calibration.model_copy(update={"note": f"{fitted.note} The calibration is that from before fine-tuning."})


def _training(model: Model) -> dict[str, Any]:
    """How the training ended."""
    told = model.spec.training
    return {name: told[name] for name in ("epochs", "best_epoch", "stopped") if name in told}


def scored(model: Model, bags: BagSet, device: torch.device, side: str) -> Generator[Event, None, Scores]:
    """Answers of a model, not calibrated, for a set of bags."""
    yield Event("progress", "evaluation", data={"what": f"{side} slides", "done": 0, "total": len(bags)})
    found = score(deepcopy(model.mil).to(device), bags, model.classes)
    yield Event("progress", "evaluation", data={"what": f"{side} slides", "done": len(bags), "total": len(bags)})
    return found


def finish_package(study: Study, model: Model, calibration: Calibration, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the package again, with its calibration, its figures and a card that tells of them."""
    told = {
        side: {"cases": found["cases"], "counts": found["counts"], "figures": found["figures"]}
        for side, found in figures.items()
    }
    spec = model.spec.model_copy(update={"calibration": calibration, "metrics": told})
    card = run_card(spec, study.source.notices, [case.name for case in study.cases])
    save_model(study.folder.path / MODEL, model.mil, spec, card)
