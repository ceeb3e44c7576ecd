"""The commands: the same verbs as the library.

Heavy imports wait for the command that needs them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil import __version__
from napari_wsimil.cli.console import BAD_INPUT, complain
from napari_wsimil.cli.encoders import encoders, trust_code_option
from napari_wsimil.cli.extract import extract
from napari_wsimil.cli.reports import (
    describe_method,
    describe_model,
    describe_result,
    describe_slide,
    method_text,
    model_text,
    result_text,
    slide_text,
)
from napari_wsimil.cli.training import evaluate, train
from napari_wsimil.errors import ModelError, SlideWarning, WsimilError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.inference import Progress, SlidePrediction
    from napari_wsimil.packages import Model

PREDICTION_SUFFIX = ".prediction.h5"

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for other programs.")
file_path = click.Path(path_type=Path)
folder_path = click.Path(path_type=Path, file_okay=False)


def to_json(document: Any) -> str:
    """Return the text of a JSON document."""
    return json.dumps(document, indent=2, ensure_ascii=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="napari-wsimil")
def commands() -> None:
    """Predict whole-slide images with multiple-instance-learning models, and see on the slide what they saw."""


commands.add_command(encoders)
commands.add_command(extract)
commands.add_command(train)
commands.add_command(evaluate)


@commands.command()
@click.argument("slide", type=file_path)
@click.option("--mpp", type=click.FloatRange(0, min_open=True), help="µm per pixel, where the file does not say or is wrong.")
@click.option(
    "--backend", help="Read it with this one of tiff, openslide, dicom, ome-zarr, czi; by default what its content asks for."
)
@as_json
def info(slide: Path, mpp: float | None, backend: str | None, *, as_json: bool) -> None:
    """Tell what SLIDE is: size, pixel size, levels, scanner."""
    from napari_wsimil.slides import open_slide

    with open_slide(slide, mpp=mpp, backend=backend) as opened:
        about = describe_slide(opened)
    click.echo(to_json(about) if as_json else slide_text(about))
    for notice in about["notices"]:
        warnings.warn(notice, SlideWarning, stacklevel=1)


@commands.command()
@click.argument("slides", metavar="SLIDE...", type=file_path, nargs=-1, required=True)
@click.option("--model", "model_name", default="bundled", show_default=True, help='"bundled", a folder or "hf:owner/name".')
@click.option("--out", type=folder_path, required=True, help="Folder for the results; made if missing.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--mpp", type=click.FloatRange(0, min_open=True), help="µm per pixel, where the files do not say or are wrong.")
@click.option("--store", type=folder_path, help="Folder that keeps features, so that predicting again takes seconds.")
@click.option("--format", "formats", multiple=True, help="Also export: geojson, csv (give it again for more).")
@trust_code_option
@as_json
def predict(
    slides: tuple[Path, ...],
    model_name: str,
    out: Path,
    device: str,
    mpp: float | None,
    store: Path | None,
    formats: tuple[str, ...],
    *,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Predict each SLIDE and write <name>.prediction.h5, and exports, to a folder.

    A slide that can't be predicted is reported and the others go on; the exit code is 2 then.
    """
    from napari_wsimil.inference import choose_device
    from napari_wsimil.packages import load_model

    check_formats(formats)
    choose_device(device)
    model = load_model(model_name, trust_code=trust_code)
    make_folder(out)
    results = []
    for path, stem in zip(slides, result_names(slides), strict=True):
        try:
            prediction = predict_one(path, model, device=device, mpp=mpp, store=store)
            files = write_results(prediction, out, stem, formats)
        except WsimilError as error:
            complain(str(error))
            results.append({"slide": str(path), "error": str(error)})
            continue
        results.append(describe_result(path, prediction, files))
        if not as_json:
            click.echo(result_text(path, prediction, files))
    if as_json:
        click.echo(to_json(results))
    if any("error" in result for result in results):
        sys.exit(BAD_INPUT)


def check_formats(formats: Sequence[str]) -> None:
    """Refuse a format that does not exist before any work is done."""
    from napari_wsimil.exports import FORMATS

    for name in formats:
        if name not in FORMATS:
            raise click.UsageError(f"There is no export format {name!r}; choose from {', '.join(FORMATS)}.")


def make_folder(folder: Path) -> None:
    """Make a folder for results, or say why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WsimilError(f"{folder} can't be made ({error.strerror}); choose another folder.") from error


def result_names(slides: Sequence[Path]) -> list[str]:
    """File names for the results, numbered where two slides have the same name."""
    names: list[str] = []
    for path in slides:
        stem = path.stem if path.is_file() else path.name
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def predict_one(path: Path, model: Model, *, device: str, mpp: float | None, store: Path | None) -> SlidePrediction:
    """Predict one slide under a progress bar on standard error."""
    from tqdm import tqdm

    from napari_wsimil.inference import predict as predict_slide

    with tqdm(desc=path.name, unit="patch", file=sys.stderr, leave=False, delay=0.5) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total or None
            bar.set_postfix_str(progress.stage, refresh=False)
            bar.update(progress.done - bar.n)

        prediction = predict_slide(path, model, device=device, mpp=mpp, store=store, on_progress=show)
    for notice in prediction.provenance["notices"]:
        warnings.warn(notice, SlideWarning, stacklevel=1)
    return prediction


def write_results(prediction: SlidePrediction, out: Path, stem: str, formats: Sequence[str]) -> list[Path]:
    """Write the saved prediction and the exports asked for."""
    from napari_wsimil.exports import FORMATS, export

    files = [prediction.save(out / f"{stem}{PREDICTION_SUFFIX}")]
    return files + [export(prediction, out / f"{stem}{FORMATS[name].suffix}", format=name) for name in dict.fromkeys(formats)]


@commands.command()
@click.argument("prediction", type=file_path)
@click.option("--format", "format_name", help="geojson or csv; by default what the name of the file says.")
@click.option("--out", type=file_path, required=True, help="File to write.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="GeoJSON: only patches at or above this attention percentile (0.9: the most attended tenth).  "
    "[default: those above an even share of the attention]",
)
@click.option("--top", type=click.IntRange(0), default=10, show_default=True, help="GeoJSON: numbered boxes of top regions.")
def export(prediction: Path, format_name: str | None, out: Path, threshold: float | None, top: int) -> None:
    """Write a saved PREDICTION for another tool: QuPath GeoJSON or CSV."""
    from napari_wsimil.exports import export as write
    from napari_wsimil.inference import load_prediction

    if format_name is not None:
        check_formats([format_name])
    click.echo(f"wrote {write(load_prediction(prediction), out, format=format_name, threshold=threshold, top=top)}")


@commands.command()
@as_json
def models(*, as_json: bool) -> None:
    """List the model packages on this computer."""
    from napari_wsimil.packages import installed_models

    found = installed_models()
    click.echo(to_json([describe_model(model) for model in found]) if as_json else "\n".join(map(model_text, found)))


@commands.command()
@click.argument("name", required=False)
@as_json
def methods(name: str | None, *, as_json: bool) -> None:
    """List the MIL methods, or tell all about the one called NAME: hyper-parameters, defaults, where they come from."""
    from napari_wsimil.mil import METHODS

    if name is not None and name not in METHODS:
        raise ModelError(f"The MIL method {name!r} is not known; this version has {', '.join(METHODS)}.")
    found = [describe_method(method) for method in METHODS.values() if name in (None, method.name)]
    click.echo(to_json(found) if as_json else "\n".join(method_text(method, full=name is not None) for method in found))


@commands.command()
@click.option("--headless", is_flag=True, help="Open no window that stays: leave a screenshot of it.")
@click.option("--out", type=folder_path, help="Folder for the screenshot, the exports and the saved prediction.")
def demo(out: Path | None, *, headless: bool) -> None:
    """Make the sample slide, predict it and show the result in napari."""
    from napari_wsimil.widgets.demo import run

    sys.exit(run(out=out, headless=headless))


@commands.command()
@click.option("--out", type=file_path, required=True, help="Slide to write; its truth is written beside it.")
@click.option("--kind", type=click.Choice(["tumour", "normal"]), default="tumour", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Another number, another slide.")
@click.option("--size", type=click.IntRange(1024), default=16384, show_default=True, help="Side in pixels, a multiple of 1024.")
def sample(out: Path, kind: str, seed: int, size: int) -> None:
    """Make a generated slide with known tumour foci."""
    from tqdm import tqdm

    from napari_wsimil.samples import make_sample_slide

    make_folder(out.parent)
    with tqdm(desc=out.name, unit="block", file=sys.stderr, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            path = make_sample_slide(out, kind="normal" if kind == "normal" else "tumour", seed=seed, size=size, progress=show)
        except ValueError as error:
            raise WsimilError(f"{out.name} can't be made: {error}.") from error
    click.echo(f"wrote {path}")
