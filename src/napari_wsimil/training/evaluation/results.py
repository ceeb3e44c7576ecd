"""How good a trained model is: scored, calibrated, measured; its package with all of that, and the files of the evaluation."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from napari_wsimil.packages import save_model
from napari_wsimil.training.evaluation.calibration import calibrated, fit_temperature
from napari_wsimil.training.evaluation.metrics import measure
from napari_wsimil.training.evaluation.outputs import write_evaluation
from napari_wsimil.training.evaluation.scoring import score
from napari_wsimil.training.events import Event, read_events
from napari_wsimil.training.runs.run_card import run_card
from napari_wsimil.training.runs.run_folder import EVENTS, MODEL

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    import torch

    from napari_wsimil.packages import Calibration, Model
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
    scores: dict[str, Scores] = {}
    for side, bags in opened.items():
        scores[side] = yield from scored(model, bags, study.device, side)
    positive = model.positive_class
    calibration = fit_temperature(scores["validation"], positive)
    patients = {case.name: case.patient for case in study.cases}
    figures = {
        side: measure(calibrated(found, calibration), positive=positive, patients=[patients[name] for name in found.names])
        for side, found in scores.items()
    }
    finish_package(study, model, calibration, figures)
    shown = "test" if "test" in scores else "validation"
    more: dict[str, Any] = {"validation": figures["validation"]} if shown == "test" else {}
    training = {name: model.spec.training[name] for name in ("epochs", "best_epoch", "stopped") if name in model.spec.training}
    write_evaluation(
        study.folder.path,
        scores[shown],
        figures[shown],
        calibration,
        patients=[patients[name] for name in scores[shown].names],
        split=shown,
        events=read_events(study.folder.path / EVENTS),
        more={**more, "training": training},
    )


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
    save_model(study.folder.path / MODEL, model.mil, spec, run_card(spec, study.source.notices))
