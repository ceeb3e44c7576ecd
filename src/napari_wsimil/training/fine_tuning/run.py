"""Fine-tune a model package on a manifest: a run folder with a new package, figures and report, as training has."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.packages import Model, load_model
from napari_wsimil.training.bag_sets import KeptBags
from napari_wsimil.training.bag_sets.annotated import AnnotatedBags
from napari_wsimil.training.fine_tuning.freezing import changed_count, tunable
from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
from napari_wsimil.training.fine_tuning.recipe import FineTuning
from napari_wsimil.training.fine_tuning.study import Lesson, make_lesson
from napari_wsimil.training.runs.run import finished
from napari_wsimil.training.runs.run_folder import JOURNAL, sha256, to_json
from napari_wsimil.training.runs.sources import prepare
from napari_wsimil.training.runs.staged import StagedResult
from napari_wsimil.training.runs.study_run import TrainingRun, run_study
from napari_wsimil.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from napari_wsimil.annotations import Annotations
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.events import Event, EventLog
    from napari_wsimil.training.fine_tuning.settings import LearnFrom, Tune
    from napari_wsimil.training.runs.study import Study
    from napari_wsimil.training.trainer import Outcome


def fine_tune(
    model: Model | str | Path,
    manifest: str | Path,
    out: str | Path,
    *,
    tune: Tune = "all",
    learn_from: LearnFrom = "labels",
    features: str | Path | Sequence[str | Path] = (),
    store: str | Path | None = None,
    rehearsal: str | Path | None = None,
    names: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    validation: float = 0.15,
    test: float = 0.0,
    device: str = "auto",
    title: str = "",
    resume: bool = False,
    on_event: Callable[[Event], object] | None = None,
) -> TrainingRun:
    """Train a finished model further; what comes of it is a run folder, as `train` gives, whose `model` is the new package.

    Parameters
    ----------
    model
        From `load_model`, or its name. It stays as it is.
    manifest, out
        See `FineTuningPlan`, as for all parameters but the next.
    resume
        Go on with the run in `out`.
    on_event
        Called with every `Event`.

    Raises
    ------
    WsimilError
        The model, the manifest, the features, an annotation, a setting or the folder can't be used; one sentence says why.
    """
    listed = [features] if isinstance(features, str | Path) else features
    plan = FineTuningPlan(
        model=model if isinstance(model, Model) else load_model(model),
        manifest=Path(manifest).expanduser(),
        out=Path(out).expanduser(),
        settings={**(settings or {}), "tune": tune, "learn_from": learn_from},
        features=tuple(Path(folder).expanduser() for folder in listed),
        store=None if store is None else Path(store).expanduser(),
        rehearsal=None if rehearsal is None else Path(rehearsal).expanduser(),
        names=dict(names or {}),
        validation=validation,
        test=test,
        device=device,
        title=title,
    )
    return finished(fine_tune_steps(plan, resume=resume), on_event)


def fine_tune_steps(plan: FineTuningPlan, *, resume: bool = False) -> Generator[Event, None, TrainingRun]:
    """Like `fine_tune`, as a generator of events that returns the run; closing it stops, and `resume` goes on from there."""
    study, lesson = make_lesson(plan)

    def learn(_: Study, train: BagSet, judged: BagSet, log: EventLog) -> Generator[Event, None, StagedResult]:
        return (yield from _learn(study, lesson, (train, judged), log))

    return (yield from run_study(study, resume=resume, learn=learn))


def _learn(study: Study, lesson: Lesson, bags: tuple[BagSet, BagSet], log: EventLog) -> Generator[Event, None, StagedResult]:
    """Tune a copy of the base."""
    base, settings = lesson.plan.model, lesson.settings
    old: BagSet | None = None
    if lesson.rehearsal is not None:
        shown = study.source.bags(lesson.rehearsal, lesson.rehearsal.cases)
        yield from prepare(shown)
        old = KeptBags(shown)
    train, judged = _annotated(lesson, bags[0], lesson.drawn.train), _annotated(lesson, bags[1], lesson.drawn.validation)
    network = tunable(deepcopy(base.mil), base.spec.method, base.spec.encoder.dimension, settings.tune).to(study.device)
    positive = base.classes.index(base.positive_class) if base.positive_class is not None else None
    recipe = FineTuning(network, train, settings, classes=len(base.classes), positive=positive, rehearsal=old)
    trainer = Trainer(recipe, judged, study.folder.path / JOURNAL, identity=sha256(to_json(study.identity())), log=log)
    outcome = yield from trainer.run()
    changed, whole = changed_count(network)
    notes = {
        **lesson.provenance(),
        "numbers_changed": changed,
        "numbers": whole,
        "labelled_slides": int(np.sum(train.targets >= 0)),
        "rehearsal_slides": 0 if old is None else len(old),
        **_how_it_went(outcome),
    }
    return StagedResult(network, study.spec, notes=notes)


def _annotated(lesson: Lesson, bags: BagSet, drawn: Sequence[Annotations | None]) -> AnnotatedBags:
    """Bags with what was drawn on them."""
    settings = lesson.settings
    return AnnotatedBags(
        bags,
        drawn,
        lesson.plan.model.classes,
        min_share=settings.min_share,
        rest=settings.rest or None,
        names=lesson.plan.names,
    )


def _how_it_went(outcome: Outcome) -> dict[str, Any]:
    return {
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch + 1,
        "stopped": outcome.stopped,
        "best": outcome.best if math.isfinite(outcome.best) else None,
    }
