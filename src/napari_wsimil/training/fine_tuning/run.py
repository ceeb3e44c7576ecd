"""Fine-tune a model package on a manifest: a run folder with a new package, figures and report, as training has."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.packages import Model, load_model
from napari_wsimil.training.bag_sets import KeptBags
from napari_wsimil.training.bag_sets.annotated import AnnotatedBags
from napari_wsimil.training.events import Event
from napari_wsimil.training.fine_tuning.before_after import BEFORE_AFTER
from napari_wsimil.training.fine_tuning.comparing import STAGE, compare_models
from napari_wsimil.training.fine_tuning.freezing import changed_count, tunable
from napari_wsimil.training.fine_tuning.generated import make_generated
from napari_wsimil.training.fine_tuning.marks import check_marks
from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
from napari_wsimil.training.fine_tuning.recipe import FineTuning
from napari_wsimil.training.fine_tuning.study import Lesson, make_lesson
from napari_wsimil.training.runs.run import finished
from napari_wsimil.training.runs.run_folder import JOURNAL, MODEL, sha256, to_json
from napari_wsimil.training.runs.sources import prepare
from napari_wsimil.training.runs.staged import StagedResult
from napari_wsimil.training.runs.study_run import TrainingRun, run_study
from napari_wsimil.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from napari_wsimil.annotations import Annotations
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.events import EventLog
    from napari_wsimil.training.fine_tuning.settings import LearnFrom, Tune
    from napari_wsimil.training.runs.study import Study
    from napari_wsimil.training.trainer import Outcome
    from napari_wsimil.training.watching import Watch


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
    judges: str | Path | None = None,
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
        judges=None if judges is None else Path(judges).expanduser(),
        names=dict(names or {}),
        validation=validation,
        test=test,
        device=device,
        title=title,
    )
    return finished(fine_tune_steps(plan, resume=resume), on_event)


def fine_tune_steps(
    plan: FineTuningPlan, *, resume: bool = False, watch: Watch | None = None
) -> Generator[Event, None, TrainingRun]:
    """Like `fine_tune`, as a generator of events that returns the run; closing it stops, and `resume` goes on from there.

    Parameters
    ----------
    watch
        Looks at the network before it learns (epoch -1) and after each epoch.
    """
    for manifest in {plan.rehearsal, plan.judges} - {None}:
        yield from make_generated(Path(str(manifest)), plan.model)
    study, lesson = make_lesson(plan)
    study = replace(study, watch=watch)
    tuning = _Tuning(study, lesson)
    return (yield from run_study(study, resume=resume, learn=tuning.learn, afterwards=tuning.compare))


class _Tuning:
    """What one fine-tuning does between features and report."""

    def __init__(self, study: Study, lesson: Lesson) -> None:
        self.study, self.lesson = study, lesson
        self._bags: dict[str, BagSet] = {}

    def learn(self, _: Study, train: BagSet, judged: BagSet, log: EventLog) -> Generator[Event, None, StagedResult]:
        """Tune a copy of the base."""
        study, lesson, base = self.study, self.lesson, self.lesson.plan.model
        settings = lesson.settings
        new = self._annotated(train, lesson.drawn.train)
        judges = self._annotated(judged, lesson.drawn.validation) if len(judged) else judged
        self._bags = {"train": new, "validation": judges}
        if settings.choose == "correction":
            check_marks(new)
        old = yield from self._old()
        network = tunable(deepcopy(base.mil), base.spec.method, base.spec.encoder.dimension, settings.tune).to(study.device)
        positive = base.classes.index(base.positive_class) if base.positive_class is not None else None
        recipe = FineTuning(network, new, settings, classes=len(base.classes), positive=positive, rehearsal=old)
        recipe.remember(judges)
        trainer = Trainer(
            recipe,
            judges,
            study.folder.path / JOURNAL,
            identity=sha256(to_json(study.identity())),
            log=log,
            watch=study.told_watch,
            watch_first=True,
        )
        outcome = yield from trainer.run()
        changed, whole = changed_count(network)
        notes = {
            **lesson.provenance(),
            "numbers_changed": changed,
            "numbers": whole,
            "labelled_slides": int(np.sum(new.targets >= 0)),
            "rehearsal_slides": sum(map(len, old)),
            **_how_it_went(outcome),
        }
        return StagedResult(network, study.spec, notes=notes)

    def compare(self, log: EventLog) -> Generator[Event, None, None]:
        """Write what changed, unless that was done."""
        study, lesson = self.study, self.lesson
        if (study.folder.path / BEFORE_AFTER).is_file():
            return
        event = Event("stage", STAGE)
        log.append(event)
        yield event
        if not self._bags:
            opened = {side: study.bags(side) for side in ("train", "validation")}
            yield from prepare(*opened.values())
            self._bags = {
                "train": self._annotated(opened["train"], lesson.drawn.train), "validation": opened["validation"]
            }  # fmt: skip
        own = set(study.split.validation) & set(study.split.train)
        judges = self._bags["validation"] if study.split.validation and not own else None
        after = load_model(study.folder.path / MODEL)
        train = self._bags["train"]
        assert isinstance(train, AnnotatedBags)  # noqa: S101 - for the type checker
        found = yield from compare_models(lesson.plan.model, after, train, judges, study.device)
        found.save(study.folder.path)

    def _old(self) -> Generator[Event, None, list[BagSet]]:
        """Old slides, their features ready."""
        lesson = self.lesson
        shown = [lesson.source_of(part).bags(part.manifest, part.cases) for part in lesson.gathered.rehearsal]
        yield from prepare(*shown)
        drawn = lesson.drawn.old or tuple((None,) * len(bags) for bags in shown)
        return [self._annotated(KeptBags(bags), of_bags) for bags, of_bags in zip(shown, drawn, strict=True)]

    def _annotated(self, bags: BagSet, drawn: Sequence[Annotations | None]) -> AnnotatedBags:
        """Bags with what was drawn on them."""
        settings, plan = self.lesson.settings, self.lesson.plan
        rest, share = settings.rest or None, settings.min_share
        return AnnotatedBags(bags, drawn, plan.model.classes, min_share=share, rest=rest, names=plan.names)


def _how_it_went(outcome: Outcome) -> dict[str, Any]:
    return {
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch + 1,
        "stopped": outcome.stopped,
        "best": outcome.best if math.isfinite(outcome.best) else None,
    }
