"""A cross-validation: one run for each fold, and what they say together."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.splits import k_folds
from napari_wsimil.training.events import Event
from napari_wsimil.training.runs.run_folder import METRICS, SETTINGS, RunFolder
from napari_wsimil.training.runs.study import make_study
from napari_wsimil.training.runs.study_run import TrainingRun, run_study

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from napari_wsimil.training.data.manifest import Manifest
    from napari_wsimil.training.runs.plan import TrainingPlan
    from napari_wsimil.training.runs.study import Study
    from napari_wsimil.training.watching import Watch


def cross_validate(
    plan: TrainingPlan, manifest: Manifest, *, resume: bool = False, watch: Watch | None = None
) -> Generator[Event, None, TrainingRun]:
    """Train each fold, or the one that the plan names, in a folder of its own; the summary has mean and standard deviation.

    Folds that are done are left as they are when the whole is gone on with.
    """
    settings = plan.chosen_settings()
    splits = k_folds(manifest, plan.folds or 0, validation=plan.validation, seed=settings.seed)
    folders = [plan.out / f"fold-{number}" for number in range(1, len(splits) + 1)]
    # features of a slide serve all folds
    shared = replace(plan, store=plan.store or plan.out / "features")
    studies = [make_study(shared, manifest, split, folder) for split, folder in zip(splits, folders, strict=True)]
    _check_folder(plan.out, folders, plan.fold, resume=resume)
    runs = []
    for number, study in enumerate(studies, 1):
        if plan.fold in (None, number):
            begun = (folders[number - 1] / SETTINGS).is_file()
            yield Event("stage", f"fold {number}", data={"fold": number, "folds": len(splits)})
            watched = replace(study, watch=_of_fold(watch, number))
            runs.append((yield from _in_fold(watched, number, resume=resume and begun)))
    done = [run for run in map(_finished, folders) if run is not None]
    if len(done) < len(folders):
        return TrainingRun(plan.out, runs[0].metrics, tuple(runs))
    metrics = summary([run.metrics for run in done])
    RunFolder(plan.out).write(METRICS, metrics)
    return TrainingRun(plan.out, metrics, tuple(done))


def summary(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the figures of folds say together: mean, standard deviation (of a sample) and values of each; JSON-able."""
    told: dict[str, Any] = {}
    for name in folds[0]["figures"]:
        values = [fold["figures"][name]["value"] for fold in folds]
        known = [value for value in values if value is not None]
        told[name] = {
            "mean": fmean(known) if known else None,
            "sd": stdev(known) if len(known) > 1 else None,
            "values": values,
        }
    first = folds[0]
    return {
        "folds": len(folds),
        "classes": first["classes"],
        "positive_class": first["positive_class"],
        "cases": sum(fold["cases"] for fold in folds),
        "figures": told,
    }


def summary_text(metrics: Mapping[str, Any], name: str) -> str:
    """One figure of a summary for people: mean +- standard deviation."""
    figure = metrics["figures"][name]
    if figure["mean"] is None:
        return "unknown"
    spread = math.nan if figure["sd"] is None else figure["sd"]
    return f"{figure['mean']:.3f} +- {spread:.3f}"


def _check_folder(out: Path, folders: Sequence[Path], fold: int | None, *, resume: bool) -> None:
    wanted = folders if fold is None else [folders[fold - 1]]
    if not resume and any((folder / SETTINGS).is_file() for folder in wanted):
        raise TrainingError(
            f"{out} holds a training already; go on with it (--resume, in Python resume=True) or choose another folder."
        )
    if (out / SETTINGS).is_file():
        raise TrainingError(f"{out} holds a training without folds; choose another folder.")


def _in_fold(study: Study, number: int, *, resume: bool) -> Generator[Event, None, TrainingRun]:
    """Run a fold, its number before the stages of its events."""
    steps = run_study(study, resume=resume)
    try:
        while True:
            event = next(steps)
            yield replace(event, stage=f"fold {number}, {event.stage}")
    except StopIteration as end:
        run: TrainingRun = end.value
        return run
    finally:
        steps.close()


def _of_fold(watch: Watch | None, number: int) -> Watch | None:
    """`watch`, told the number of the fold before the stage."""
    if watch is None:
        return None
    return lambda glance: watch(replace(glance, stage=f"fold {number}, {glance.stage}"))


def _finished(folder: Path) -> TrainingRun | None:
    metrics = RunFolder(folder).read(METRICS)
    return None if metrics is None else TrainingRun(folder, metrics)
