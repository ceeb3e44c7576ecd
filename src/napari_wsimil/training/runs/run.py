"""Training and evaluation as one call each, from a manifest to a folder; the same generators serve command line and window."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.inference.devices import choose_device
from napari_wsimil.packages import load_model
from napari_wsimil.training.data.manifest import Manifest, read_manifest
from napari_wsimil.training.data.splits import split_cases
from napari_wsimil.training.evaluation.calibration import calibrated
from napari_wsimil.training.evaluation.metrics import measure
from napari_wsimil.training.evaluation.outputs import write_evaluation
from napari_wsimil.training.evaluation.report import write_report
from napari_wsimil.training.evaluation.results import scored
from napari_wsimil.training.runs.cross_validation import cross_validate
from napari_wsimil.training.runs.plan import TrainingPlan
from napari_wsimil.training.runs.sources import prepare, source_of
from napari_wsimil.training.runs.study import make_study
from napari_wsimil.training.runs.study_run import TrainingRun, run_study

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from napari_wsimil.packages import Model
    from napari_wsimil.training.data.manifest import Case
    from napari_wsimil.training.events import Event
    from napari_wsimil.training.watching import Watch


def train(
    manifest: str | Path,
    method: str,
    out: str | Path,
    *,
    encoder: str = "bundled",
    mpps: float | Sequence[float] = (),
    patch_size: int | None = None,
    store: str | Path | None = None,
    features: str | Path | Sequence[str | Path] = (),
    parameters: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    positive_class: str | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    folds: int | None = None,
    fold: int | None = None,
    device: str = "auto",
    title: str = "",
    resume: bool = False,
    on_event: Callable[[Event], object] | None = None,
) -> TrainingRun:
    """Train a method on the slides of a manifest; what comes of it is a folder with a model package, figures and a report.

    Parameters
    ----------
    manifest, method, out
        See `TrainingPlan`, as for all parameters but the next.
    resume
        Go on with the run in `out`.
    on_event
        Called with every `Event`.

    Raises
    ------
    WsimilError
        The manifest, the features, a setting or the folder can't be used; one sentence says why.
    """
    plan = TrainingPlan(
        manifest=Path(manifest).expanduser(),
        method=method,
        out=Path(out).expanduser(),
        encoder=encoder,
        mpps=(float(mpps),) if isinstance(mpps, int | float) else tuple(sorted(map(float, mpps), reverse=True)),
        patch_size=patch_size,
        store=None if store is None else Path(store).expanduser(),
        features=_paths(features),
        parameters=dict(parameters or {}),
        settings=dict(settings or {}),
        classes=None if classes is None else tuple(classes),
        positive_class=positive_class,
        validation=validation,
        test=test,
        folds=folds,
        fold=fold,
        device=device,
        title=title,
    )
    return finished(train_steps(plan, resume=resume), on_event)


def train_steps(plan: TrainingPlan, *, resume: bool = False, watch: Watch | None = None) -> Generator[Event, None, TrainingRun]:
    """Like `train`, as a generator of events that returns the run; closing it stops, and `resume` goes on from there.

    Parameters
    ----------
    watch
        Looks at the network after each epoch.
    """
    manifest = _manifest(plan)
    if plan.folds is not None:
        return (yield from cross_validate(plan, manifest, resume=resume, watch=watch))
    settings = plan.chosen_settings()
    split = split_cases(manifest, validation=plan.validation, test=plan.test, seed=settings.seed)
    study = replace(make_study(plan, manifest, split, plan.out), watch=watch)
    return (yield from run_study(study, resume=resume))


def evaluate(
    manifest: str | Path,
    model: Model | str | Path,
    out: str | Path,
    *,
    store: str | Path | None = None,
    features: str | Path | Sequence[str | Path] = (),
    split: str | None = None,
    device: str = "auto",
    on_event: Callable[[Event], object] | None = None,
) -> Mapping[str, Any]:
    """Measure a model on the slides of a manifest; writes `metrics.json`, `predictions.csv`, `plots` and a report to `out`.

    Parameters
    ----------
    model
        From `load_model`, or its name.
    store
        Where features of slides are kept; None: the folder `features` of `out`.
    features
        Folders of feature files named like the slides.
    split
        "train", "validation" or "test": only these slides. None: the test slides where the manifest says which they are, else
        all.

    Returns
    -------
    What `metrics.json` says.

    Raises
    ------
    WsimilError
        The manifest, the model or the folder can't be used; one sentence says why.
    """
    steps = evaluate_steps(manifest, model, out, store=store, features=features, split=split, device=device)
    return finished(steps, on_event)


def evaluate_steps(
    manifest: str | Path,
    model: Model | str | Path,
    out: str | Path,
    *,
    store: str | Path | None = None,
    features: str | Path | Sequence[str | Path] = (),
    split: str | None = None,
    device: str = "auto",
) -> Generator[Event, None, Mapping[str, Any]]:
    """Like `evaluate`, as a generator of events that returns what `metrics.json` says."""
    folder, chosen = Path(out).expanduser(), choose_device(device)
    loaded = load_model(model) if isinstance(model, str | Path) else model
    read = read_manifest(manifest, classes=loaded.classes, features=_paths(features) or None)
    cases, side = _chosen(read, split)
    source = source_of(loaded, read, store=Path(store or folder / "features").expanduser(), device=device)
    bags = source.bags(read, cases)
    yield from prepare(bags)
    scores = yield from scored(loaded, bags, chosen, side)
    calibration, patients = loaded.spec.calibration, [case.patient for case in cases]
    figures = measure(calibrated(scores, calibration), positive=loaded.positive_class, patients=patients)
    model_about = {"id": loaded.id, "digest": loaded.digest, "source": loaded.source}
    write_evaluation(
        folder,
        scores,
        figures,
        calibration,
        patients=patients,
        split=side,
        more={"model": model_about, "manifest": str(read.path)},
    )
    write_report(folder)
    return figures


def finished(steps: Generator[Event, None, Any], on_event: Callable[[Event], object] | None) -> Any:
    """Run a generator of events to its end and return what it returns."""
    with closing(steps):
        while True:
            try:
                event = next(steps)
            except StopIteration as end:
                return end.value
            if on_event is not None:
                on_event(event)


def _paths(given: str | Path | Iterable[str | Path]) -> tuple[Path, ...]:
    several = [given] if isinstance(given, str | Path) else given
    return tuple(Path(path).expanduser() for path in several)


def _manifest(plan: TrainingPlan) -> Manifest:
    return read_manifest(plan.manifest, classes=plan.classes, features=plan.features or None)


def _chosen(manifest: Manifest, split: str | None) -> tuple[Sequence[Case], str]:
    named = {case.split for case in manifest.cases} - {None}
    side = split or ("test" if "test" in named else None)
    if side is None:
        return manifest.cases, "all"
    cases = [case for case in manifest.cases if case.split == side]
    if not cases:
        raise TrainingError(
            f"{manifest.path} has no {side} slides; it has {', '.join(sorted(map(str, named))) or 'no splits'}."
        )
    return cases, side
