"""The commands: the same verbs as the library.

Heavy imports wait for the command that needs them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import click

from napari_wsimil import __version__
from napari_wsimil.cli.agreement import agreement
from napari_wsimil.cli.compare import compare
from napari_wsimil.cli.console import as_json_option, file_path, folder_path, make_folder, to_json
from napari_wsimil.cli.correct import correct
from napari_wsimil.cli.encoders import encoders
from napari_wsimil.cli.export import export
from napari_wsimil.cli.extract import extract
from napari_wsimil.cli.inspect import inspect
from napari_wsimil.cli.manifest import manifest
from napari_wsimil.cli.models import models
from napari_wsimil.cli.predict import predict
from napari_wsimil.cli.regions import regions
from napari_wsimil.cli.reports import describe_method, describe_slide, method_text, slide_text
from napari_wsimil.cli.runs import runs
from napari_wsimil.cli.slides import slides
from napari_wsimil.cli.training import evaluate, train
from napari_wsimil.errors import ModelError, SlideWarning, WsimilError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.samples._confounders import ConfounderKind
    from napari_wsimil.samples._layout import Kind


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="napari-wsimil")
def commands() -> None:
    """Predict whole-slide images with multiple-instance-learning models, and see on the slide what they saw."""


commands.add_command(compare)
commands.add_command(agreement)
commands.add_command(correct)
commands.add_command(encoders)
commands.add_command(export)
commands.add_command(extract)
commands.add_command(inspect)
commands.add_command(models)
commands.add_command(manifest)
commands.add_command(predict)
commands.add_command(regions)
commands.add_command(runs)
commands.add_command(slides)
commands.add_command(train)
commands.add_command(evaluate)


@commands.command()
@click.argument("slide", type=file_path)
@click.option("--mpp", type=click.FloatRange(0, min_open=True), help="µm per pixel, where the file does not say or is wrong.")
@click.option(
    "--backend", help="Read it with this one of tiff, openslide, dicom, ome-zarr, czi; by default what its content asks for."
)
@as_json_option
def info(slide: Path, mpp: float | None, backend: str | None, *, as_json: bool) -> None:
    """Tell what SLIDE is: size, pixel size, levels, scanner."""
    from napari_wsimil.slides import open_slide

    with open_slide(slide, mpp=mpp, backend=backend) as opened:
        about = describe_slide(opened)
    click.echo(to_json(about) if as_json else slide_text(about))
    for notice in about["notices"]:
        warnings.warn(notice, SlideWarning, stacklevel=1)


@commands.command()
@click.argument("name", required=False)
@as_json_option
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
@click.option(
    "--confounder", type=click.Choice(["pen", "blur"]), help="Plant ink, or an area out of focus, away from the tumour."
)
def sample(out: Path, kind: Kind, seed: int, size: int, confounder: ConfounderKind | None) -> None:
    """Make a generated slide with known tumour foci."""
    from tqdm import tqdm

    from napari_wsimil.samples import make_sample_slide

    make_folder(out.parent)
    with tqdm(desc=out.name, unit="block", file=sys.stderr, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            path = make_sample_slide(out, kind=kind, seed=seed, size=size, confounder=confounder, progress=show)
        except ValueError as error:
            raise WsimilError(f"{out.name} can't be made: {error}.") from error
    click.echo(f"wrote {path}")
