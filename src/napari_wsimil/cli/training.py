"""The commands `train` and `evaluate`."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import INTERRUPTED, complain
from napari_wsimil.cli.encoders import ENCODER_HELP, trust_code_option

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from napari_wsimil.training.events import Event
    from napari_wsimil.training.runs.study_run import TrainingRun

SHOWN = ("roc_auc", "balanced_accuracy", "accuracy", "f1_macro")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for other programs.")
file_path = click.Path(path_type=Path)
folder_path = click.Path(path_type=Path, file_okay=False)
share = click.FloatRange(0, 1, max_open=True)
features_option = click.option(
    "--features",
    type=folder_path,
    multiple=True,
    help="Folder of feature files named like the slides (give it again for more).",
)
store_option = click.option("--store", type=folder_path, help="Folder that keeps features of slides.  [default: OUT/features]")
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")


@click.command()
@click.argument("manifest", type=file_path)
@click.option("--method", help="One of `napari-wsimil methods`.")
@click.option("--out", type=folder_path, required=True, help="Folder of the run; made if missing.")
@click.option("--resume", is_flag=True, help="Go on with the run in OUT where it was stopped.")
@click.option("--encoder", default="bundled", show_default=True, help=f"What makes, or made, the features: {ENCODER_HELP}")
@trust_code_option
@click.option("--mpp", "mpps", type=click.FloatRange(0, min_open=True), multiple=True, help="µm per pixel of the patches.")
@click.option("--patch-size", type=click.IntRange(32, 4096), help="Side of the patches in pixels.")
@store_option
@features_option
@click.option(
    "--set", "given", multiple=True, metavar="NAME=VALUE", help="A hyper-parameter or a setting (see `methods NAME`)."
)
@click.option("--epochs", type=click.IntRange(1), help="The same as --set epochs=...")
@click.option("--seed", type=click.IntRange(0), help="The same as --set seed=...")
@click.option("--classes", help="Their order, with commas between.  [default: sorted]")
@click.option("--positive", help="The class that sensitivity, F1 and heatmaps are about.  [default: the second of two]")
@click.option("--validation", type=share, default=0.15, show_default=True, help="Share of slides that choose the epoch.")
@click.option(
    "--test",
    type=share,
    help="Share of slides that are tested on, once.  [default: 0.15; with --from those that the manifest says]",
)
@click.option("--folds", type=click.IntRange(2), help="Cross-validation with so many folds.")
@click.option("--fold", type=click.IntRange(1), help="Train only this fold of them.")
@device_option
@click.option("--title", default="", help="Name of the model for people.")
@click.option("--from", "package", help="Train this model package further instead of a new model.")
@click.option(
    "--tune", type=click.Choice(["all", "head", "adapter"]), default="all", show_default=True, help="With --from: what changes."
)
@click.option(
    "--learn-from",
    type=click.Choice(["labels", "polygons", "both"]),
    default="labels",
    show_default=True,
    help="With --from: labels of slides, polygons drawn on them (column annotation), or both.",
)
@click.option(
    "--rehearsal", type=file_path, help="With --from: manifest of old slides, shown again so that they are not forgotten."
)
@click.option(
    "--means",
    multiple=True,
    metavar="NAME=CLASS",
    help="With --from: polygons of this name are of that class of the model, or ignore, or exclusion.",
)
@click.option("--tensorboard", is_flag=True, help="Also write OUT/tensorboard for TensorBoard.")
@as_json
def train(out: Path, *, tensorboard: bool, as_json: bool, **options: Any) -> None:
    """Train a model on the slides of MANIFEST: a CSV with the columns slide and label.

    The slides may be slide files, feature files (TRIDENT's, CLAM's, ours), or named so that --features finds theirs; or folders
    of patch images, on which the encoder learns along. What comes of it is a folder with the model package, figures, curves and
    a report. Ctrl-C stops it; --resume goes on.
    """
    if options["trust_code"]:
        from napari_wsimil.encoders import trust_program

        trust_program(options["encoder"])
    steps = _tuning(out, options) if options["package"] else _training(out, options)
    run: TrainingRun = _watched(steps, out, tensorboard=tensorboard)
    if as_json:
        document = {"folder": str(run.folder), "folds": [str(fold.folder) for fold in run.folds], "metrics": run.metrics}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(_told(run))


@click.command()
@click.argument("manifest", type=file_path)
@click.option("--model", "model_name", default="bundled", show_default=True, help='"bundled", a folder or "hf:owner/name".')
@click.option("--out", type=folder_path, required=True, help="Folder for the results; made if missing.")
@store_option
@features_option
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Only these slides.  [default: test, where the manifest says; else all]",
)
@device_option
@trust_code_option
@as_json
def evaluate(
    manifest: Path,
    model_name: str,
    out: Path,
    store: Path | None,
    features: tuple[Path, ...],
    split: str | None,
    device: str,
    *,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Measure a model on the labelled slides of MANIFEST: figures with intervals, calibration, curves and a report."""
    from napari_wsimil.cli.training_bar import EventBar
    from napari_wsimil.packages import load_model
    from napari_wsimil.training.runs.run import evaluate as measure

    if trust_code:
        load_model(model_name, trust_code=True)
    with EventBar() as bar:
        metrics = measure(manifest, model_name, out, store=store, features=features, split=split, device=device, on_event=bar)
    click.echo(json.dumps(metrics, indent=2, ensure_ascii=False) if as_json else f"{_figures(metrics)}\n  wrote {out}")


def pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """Values of NAME=VALUE by their names."""
    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"{option} takes NAME=VALUE, not {text!r}.")
        values[name.strip()] = value.strip()
    return values


def parsed(given: tuple[str, ...]) -> dict[str, Any]:
    """Settings by their names: JSON where a value is some, several with commas between, else text."""
    return {name.replace("-", "_"): _value(value) for name, value in pairs(given, "--set").items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    return [_value(part.strip()) for part in text.split(",") if part.strip()] if "," in text else text


def _chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    shortcuts = {name: options[name] for name in ("epochs", "seed") if options[name] is not None}
    return {**parsed(options["given"]), **shortcuts}


def _training(out: Path, options: Mapping[str, Any]) -> Generator[Event, None, Any]:
    from napari_wsimil.training.runs.plan import TrainingPlan, sorted_out
    from napari_wsimil.training.runs.run import train_steps

    if not options["method"]:
        raise click.UsageError("Say which method to train with --method (see `napari-wsimil methods`), or --from a package.")
    parameters, settings = sorted_out(options["method"], _chosen(options))
    classes = options["classes"]
    plan = TrainingPlan(
        manifest=options["manifest"],
        method=options["method"],
        out=out,
        encoder=options["encoder"],
        mpps=tuple(sorted(options["mpps"], reverse=True)),
        patch_size=options["patch_size"],
        store=options["store"],
        features=options["features"],
        parameters=parameters,
        settings=settings,
        classes=tuple(name.strip() for name in classes.split(",")) if classes else None,
        positive_class=options["positive"],
        validation=options["validation"],
        test=0.15 if options["test"] is None else options["test"],
        folds=options["folds"],
        fold=options["fold"],
        device=options["device"],
        title=options["title"],
        command=command_line(),
    )
    return train_steps(plan, resume=options["resume"])


def _tuning(out: Path, options: Mapping[str, Any]) -> Generator[Event, None, Any]:
    from napari_wsimil.packages import load_model
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
    from napari_wsimil.training.fine_tuning.run import fine_tune_steps

    for name in ("method", "classes", "positive", "folds", "fold", "mpps", "patch_size"):
        if options[name]:
            raise click.UsageError(
                f"--{name.replace('_', '-').rstrip('s')} can't be chosen with --from: the model has its own."
            )
    plan = FineTuningPlan(
        model=load_model(options["package"], trust_code=options["trust_code"]),
        manifest=options["manifest"],
        out=out,
        settings={"tune": options["tune"], "learn_from": options["learn_from"], **_chosen(options)},
        features=options["features"],
        store=options["store"],
        rehearsal=options["rehearsal"],
        names=pairs(options["means"], "--means"),
        validation=options["validation"],
        test=options["test"] or 0.0,
        device=options["device"],
        title=options["title"],
        command=command_line(),
    )
    return fine_tune_steps(plan, resume=options["resume"])


def command_line() -> str:
    """Return the command as it would be typed again."""
    return shlex.join(["napari-wsimil", *sys.argv[1:]])


def _watched(steps: Generator[Event, None, Any], out: Path, *, tensorboard: bool) -> Any:
    """Run to the end under progress bars; Ctrl-C leaves what can be gone on with, and says so."""
    from napari_wsimil.cli.training_bar import EventBar

    with ExitStack() as stack:
        sinks: list[Callable[[Event], object]] = [stack.enter_context(EventBar())]
        if tensorboard:
            from napari_wsimil.training.runs.run_folder import TENSORBOARD
            from napari_wsimil.training.tensorboard import TensorBoardSink

            sinks.append(stack.enter_context(closing(TensorBoardSink(out / TENSORBOARD))))
        stack.enter_context(closing(steps))
        try:
            while True:
                event = next(steps)
                for sink in sinks:
                    sink(event)
        except StopIteration as end:
            return end.value
        except KeyboardInterrupt:
            stack.close()
            complain(f"stopped; nothing is lost: the same command with --resume goes on in {out}.")
            sys.exit(INTERRUPTED)


def _told(run: TrainingRun) -> str:
    if run.folds and "folds" in run.metrics:
        from napari_wsimil.training.runs.cross_validation import summary_text

        told = ", ".join(
            f"{name.replace('_', ' ')} {summary_text(run.metrics, name)}" for name in SHOWN if name in run.metrics["figures"]
        )
        return f"{run.metrics['folds']} folds: {told}\n  wrote {run.folder}"
    return f"{_figures(run.metrics)}\n  wrote {run.folder}"


def _figures(metrics: Mapping[str, Any]) -> str:
    told = []
    for name in SHOWN:
        figure = metrics["figures"].get(name)
        if figure is None or figure["value"] is None:
            continue
        interval = "" if figure["low"] is None else f" ({figure['low']:.3f} to {figure['high']:.3f})"
        told.append(f"{name.replace('_', ' ')} {figure['value']:.3f}{interval}")
    return f"{metrics['cases']} slides: {', '.join(told)}"
