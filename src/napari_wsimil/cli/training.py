"""The commands `train` and `evaluate`."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import INTERRUPTED, complain
from napari_wsimil.cli.encoders import ENCODER_HELP, trust_code_option
from napari_wsimil.cli.runs import start, tell_started
from napari_wsimil.cli.training_plans import training_plan, tuning_plan
from napari_wsimil.cli.training_told import figures_text, tell_run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_wsimil.training.events import Event
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
    from napari_wsimil.training.runs.plan import TrainingPlan
    from napari_wsimil.training.runs.study_run import TrainingRun

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
@click.option("--detach", is_flag=True, help="Train in the background and return at once (see `runs`).")
@as_json
def train(out: Path, *, tensorboard: bool, detach: bool, as_json: bool, **options: Any) -> None:
    """Train a model on the slides of MANIFEST: a CSV with the columns slide and label.

    The slides may be slide files, feature files (TRIDENT's, CLAM's, ours), or named so that --features finds theirs; or folders
    of patch images, on which the encoder learns along. What comes of it is a folder with the model package, figures, curves and
    a report. Ctrl-C stops it; --resume goes on. With --detach it is trained in the background.
    """
    if options["trust_code"]:
        from napari_wsimil.encoders import trust_program

        trust_program(options["encoder"])
    if detach and tensorboard:
        raise click.UsageError("--tensorboard is written by the process that trains; leave out --detach, or --tensorboard.")
    plan = tuning_plan(out, options) if options["package"] else training_plan(out, options)
    if detach:
        tell_started(start(plan, resume=options["resume"], trust_code=options["trust_code"]), as_json=as_json)
        return
    tell_run(watched(_steps(plan, resume=options["resume"]), out, tensorboard=tensorboard), as_json=as_json)


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
    click.echo(json.dumps(metrics, indent=2, ensure_ascii=False) if as_json else f"{figures_text(metrics)}\n  wrote {out}")


def _steps(plan: TrainingPlan | FineTuningPlan, *, resume: bool) -> Generator[Event, None, TrainingRun]:
    from napari_wsimil.training.runs.plan import TrainingPlan

    if isinstance(plan, TrainingPlan):
        from napari_wsimil.training.runs.run import train_steps

        return train_steps(plan, resume=resume)
    from napari_wsimil.training.fine_tuning.run import fine_tune_steps

    return fine_tune_steps(plan, resume=resume)


def watched(steps: Generator[Event, None, Any], out: Path, *, tensorboard: bool) -> Any:
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
