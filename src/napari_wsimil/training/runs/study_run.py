"""The steps of one run, each gone on with where a run before it was stopped.

Features, training, the package, calibration on the validation slides, the test slides once, figures and report. What a step
leaves behind tells that it is done: features in the store, the journal of the trainer, `model/model.json`, `predictions.csv`,
`metrics.json`, `report.html`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_wsimil.errors import TrainingError
from napari_wsimil.mil import build_mil
from napari_wsimil.packages import load_model, save_model
from napari_wsimil.training.bag_sets import KeptBags
from napari_wsimil.training.data.pixels import SlidePixels
from napari_wsimil.training.evaluation.report import write_report
from napari_wsimil.training.evaluation.results import judge
from napari_wsimil.training.events import Event, EventLog
from napari_wsimil.training.runs.image_folders import joined, separated
from napari_wsimil.training.runs.provenance import provenance_of
from napari_wsimil.training.runs.run_folder import EVENTS, JOURNAL, METRICS, MODEL, REPORT, RunFolder, sha256, to_json
from napari_wsimil.training.runs.sources import prepare, source_of
from napari_wsimil.training.runs.staged import StagedResult, StagedTask
from napari_wsimil.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_wsimil.packages import Model
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.runs.sources import Source
    from napari_wsimil.training.runs.study import Study

Learn = Callable[["Study", "BagSet", "BagSet", EventLog], Generator[Event, None, StagedResult]]
"""From a study, its training and its validation slides to a trained model; goes on where the folder says it was."""

Afterwards = Callable[[EventLog], Generator[Event, None, None]]


@dataclass(frozen=True)
class TrainingRun:
    """A finished run.

    Attributes
    ----------
    folder
        With `model` (the package), `metrics.json`, `predictions.csv`, `plots`, `report.html`, `settings.json`, `manifest.csv`.
    metrics
        What `metrics.json` says.
    folds
        The runs of a cross-validation, of which `metrics` is the summary.
    """

    folder: Path
    metrics: Mapping[str, Any]
    folds: tuple[TrainingRun, ...] = ()

    @property
    def model(self) -> Model:
        """The trained model; of a cross-validation that of the first fold."""
        return self.folds[0].model if self.folds else load_model(self.folder / MODEL)


def finished_run(folder: Path, fold: int | None = None) -> TrainingRun:
    """The run that a folder holds, with its folds where it is a cross-validation.

    Parameters
    ----------
    fold
        The only one that was asked for: until all are there it stands for the cross-validation.

    Raises
    ------
    TrainingError
        It is not finished.
    """
    metrics = RunFolder(folder).read(METRICS)
    if metrics is None and fold is not None:
        only = finished_run(folder / f"fold-{fold}")
        return TrainingRun(folder, only.metrics, (only,))
    if metrics is None:
        raise TrainingError(f"{folder} holds no finished training.")
    folds = [folder / f"fold-{number}" for number in range(1, metrics.get("folds", 0) + 1)]
    return TrainingRun(folder, metrics, tuple(map(finished_run, folds)))


def run_study(
    study: Study, *, resume: bool = False, learn: Learn | None = None, afterwards: Afterwards | None = None
) -> Generator[Event, None, TrainingRun]:
    """Train, judge and report; closing the generator stops at once, and nothing but a step is lost.

    Parameters
    ----------
    resume
        Go on with the run in the folder; without it such a folder is refused.
    learn
        How to get a model; None: by the study's recipe, from random weights.
    afterwards
        What else is to be done with the finished model before the report; None: nothing.

    Raises
    ------
    TrainingError
        The folder or the data can't be used; one sentence says why.
    """
    folder = study.folder
    settings = {"settings": study.settings.model_dump(mode="json"), "parameters": dict(study.spec.parameters)}
    folder.begin(study.identity(), {**settings, **study.about}, study.manifest_text, resume=resume)
    with folder.held():
        return (yield from _steps(study, learn or learn_by_recipe, afterwards, EventLog(folder.path / EVENTS)))


def _steps(study: Study, learn: Learn, afterwards: Afterwards | None, log: EventLog) -> Generator[Event, None, TrainingRun]:
    """What is not done yet."""
    folder = study.folder
    if folder.read(METRICS) is None:
        if not (folder.path / MODEL / "model.json").is_file():
            yield from _learn(study, learn, log)
        yield _told(log, Event("stage", "evaluation"))
        model = load_model(folder.path / MODEL)
        opened = {
            side: study.bags(side, _source_for(study, model))
            for side, cases in (("validation", study.split.validation), ("test", study.split.test))
            if cases
        }
        yield from prepare(*opened.values())
        yield from judge(study, model, opened)
    if afterwards is not None:
        yield from afterwards(log)
    yield _told(log, Event("stage", "report"))
    if not (folder.path / REPORT).is_file():
        write_report(folder.path)
    return TrainingRun(folder.path, folder.read(METRICS))


def learn_by_recipe(study: Study, train: BagSet, validation: BagSet, log: EventLog) -> Generator[Event, None, StagedResult]:
    """Train by the study's recipe, from random weights."""
    identity = sha256(to_json(study.identity()))
    if study.recipe.stages is not None:
        return (yield from study.recipe.stages(_task(study, train, validation, identity)))
    torch.manual_seed(study.settings.seed)
    mil = build_mil(study.spec.method, study.spec.encoder.dimension, len(study.spec.classes), study.spec.parameters)
    model = joined(study, mil) if study.source.learns else mil
    recipe = study.recipe.make(model.to(study.device), train, study.settings)
    trainer = Trainer(recipe, validation, study.folder.path / JOURNAL, identity=identity, log=log, watch=study.told_watch)
    outcome = yield from trainer.run()
    best = outcome.best if math.isfinite(outcome.best) else None
    notes = {"epochs": outcome.epochs, "best_epoch": outcome.best_epoch + 1, "stopped": outcome.stopped, "best": best}
    return separated(study, model, notes) if study.source.learns else StagedResult(mil, study.spec, notes=notes)


def _learn(study: Study, learn: Learn, log: EventLog) -> Generator[Event, None, None]:
    """Make the features, train, and write the package, without calibration and figures yet."""
    yield _told(log, Event("stage", "features"))
    train, validation = study.bags("train"), study.bags("validation")
    if study.recipe.stages is None:
        # stages look at slides in their own way
        yield from prepare(train, validation)
    yield _told(log, Event("stage", "train"))
    kept = KeptBags(validation) if len(validation) else validation
    result = yield from learn(study, KeptBags(train), kept, log)
    spec = result.spec.model_copy(update={"training": provenance_of(study, result.notes)})
    bring = result.encoder or study.bring
    save_model(study.folder.path / MODEL, result.model.cpu(), spec, encoder=bring)
    for name, (mil, other) in result.models.items():
        save_model(study.folder.path / f"{MODEL}-{name}", mil.cpu(), other, encoder=_brought(other, study))


def _brought(spec: Any, study: Study) -> Path | str | None:
    return study.bring if spec.encoder == study.spec.encoder else None


def _task(study: Study, train: BagSet, validation: BagSet, identity: str) -> StagedTask:
    pixels = None
    if study.source.encoder is not None:
        both = (study.split.train, study.split.validation)
        made = [SlidePixels([case.path for case in cases], study.source.specs, [case.mpp for case in cases]) for cases in both]
        pixels = (made[0], made[1])
    return StagedTask(
        train=train,
        validation=validation,
        settings=study.settings,
        spec=study.spec,
        folder=study.folder.path,
        pixels=pixels,
        identity=identity,
        device=study.device,
        watch=study.told_watch,
    )


def _source_for(study: Study, model: Model) -> Source | None:
    """None for the study's own features; where the model ended up with another encoder or other magnifications, those."""
    same = model.spec.encoder.digest == study.spec.encoder.digest and model.spec.mpps == study.spec.mpps
    if same and not study.source.learns:
        return None
    store = study.source.store or study.folder.path / "features"
    return source_of(model, study.manifest, store=store, device=study.source.device)


def _told(log: EventLog, event: Event) -> Event:
    log.append(event)
    return event
