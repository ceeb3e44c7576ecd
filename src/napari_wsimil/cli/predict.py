"""The command `predict`: one slide in this process, many as a cohort."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.cohort import (
    SLIDES_HELP,
    CohortBar,
    cohort_options,
    computing_options,
    describe_record,
    finish,
)
from napari_wsimil.cli.console import (
    as_json_option,
    check_formats,
    file_path,
    folder_path,
    make_folder,
    to_json,
)
from napari_wsimil.cli.encoders import trust_code_option
from napari_wsimil.cli.one_slide import patch_bar, refusing
from napari_wsimil.cli.options import patch_options
from napari_wsimil.cli.reports import describe_result, result_text
from napari_wsimil.errors import SlideWarning

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.cohorts import CohortSlide
    from napari_wsimil.inference import SlidePrediction

PREDICTION_SUFFIX = ".prediction.h5"


@click.command()
@click.argument("slides", metavar=SLIDES_HELP, type=file_path, nargs=-1, required=True)
@click.option("--model", "model_name", default="bundled", show_default=True, help='"bundled", a folder or "hf:owner/name".')
@click.option("--out", type=folder_path, required=True, help="Folder for the results; made if missing.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    help="Also export: geojson, asap, csv, ome-tiff, html, pdf, png, tiff or svg (give it again for more).",
)
@click.option("--mpp", type=click.FloatRange(0, min_open=True), help="µm per pixel, where the files do not say or are wrong.")
@click.option(
    "--store",
    type=folder_path,
    help="Folder that keeps features, so that predicting again takes seconds.  [default: of many slides, until each is done]",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Do this slide now, and leave the others as they are (give it again)."
)
@computing_options
@patch_options
@cohort_options
@trust_code_option
@as_json_option
def predict(
    slides: tuple[Path, ...],
    out: Path,
    workers: int | None,
    scheduler: str | None,
    retries: int,
    only: tuple[str, ...],
    *,
    skip_failed: bool,
    as_json: bool,
    **wish: Any,
) -> None:
    """Predict slides and write <name>.prediction.h5, and exports, to a folder.

    A folder is searched for slides, with all folders in it; a list has a path in each line. Many slides also get results.csv,
    results.parquet and report.html; stopped or killed, the same command goes on where it was, inside a slide even, and does no
    slide twice. A slide that can't be predicted is reported and the others go on; the exit code is 2 then.
    """
    from napari_wsimil.cohorts import find_slides

    check_formats(wish["formats"])
    found = find_slides(slides)
    if len(found) == 1 and workers is None and scheduler is None and not only:
        predict_alone(found[0], out, as_json=as_json, **wish)
        return
    many: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "retries": retries, "skip_failed": skip_failed}
    many["only"] = only or None
    predict_many(found, out, as_json=as_json, **many, **wish)


def predict_many(slides: Sequence[CohortSlide], out: Path, *, model_name: str, as_json: bool, **wish: Any) -> None:
    """Predict a cohort under a bar, a line for each slide."""
    from napari_wsimil.cohorts import predict_cohort

    def text(record: Any) -> str:
        return result_text(describe_record(record, out))

    with CohortBar(None if as_json else text) as bar:
        result = predict_cohort(slides, model_name, out, on_event=bar, **wish)
    if as_json:
        click.echo(to_json([describe_record(record, out) for record in result.records]))
    finish(result, quiet=as_json)


def predict_alone(
    slide: CohortSlide,
    out: Path,
    *,
    model_name: str,
    trust_code: bool,
    device: str,
    formats: Sequence[str],
    mpp: float | None,
    as_json: bool,
    **wish: Any,
) -> None:
    """Predict one slide in this process."""
    from napari_wsimil.inference import choose_device
    from napari_wsimil.packages import load_model

    choose_device(device)
    model = load_model(model_name, trust_code=trust_code)
    make_folder(out)
    with refusing(slide.path, as_json=as_json):
        prediction = predict_one(slide.path, model=model, device=device, mpp=slide.mpp or mpp, **wish)
        files = write_results(prediction, out, slide.name, formats)
    about = describe_result(slide.path, prediction, files)
    click.echo(to_json([about]) if as_json else result_text(about))


def predict_one(path: Path, **wish: Any) -> SlidePrediction:
    """Predict one slide under a progress bar on standard error."""
    from napari_wsimil.inference import predict as predict_slide

    with patch_bar(path.name) as show:
        prediction = predict_slide(path, on_progress=show, **wish)
    for notice in prediction.provenance["notices"]:
        warnings.warn(notice, SlideWarning, stacklevel=1)
    return prediction


def write_results(prediction: SlidePrediction, out: Path, stem: str, formats: Sequence[str]) -> list[Path]:
    """Write the saved prediction and the exports asked for."""
    from napari_wsimil.exports import FORMATS, export

    files = [prediction.save(out / f"{stem}{PREDICTION_SUFFIX}")]
    return files + [export(prediction, out / f"{stem}{FORMATS[name].suffix}", format=name) for name in dict.fromkeys(formats)]
