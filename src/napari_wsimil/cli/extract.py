"""The command `extract`: features of slides, for training."""

from __future__ import annotations

import time
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
from napari_wsimil.cli.console import as_json_option, file_path, folder_path, to_json
from napari_wsimil.cli.encoders import ENCODER_HELP, trust_code_option
from napari_wsimil.cli.one_slide import patch_bar, refusing
from napari_wsimil.cli.options import extraction_options
from napari_wsimil.cli.reports import slide_name
from napari_wsimil.errors import SlideWarning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_wsimil.cohorts import CohortSlide
    from napari_wsimil.inference import Extraction


@click.command()
@click.argument("slides", metavar=SLIDES_HELP, type=file_path, nargs=-1, required=True)
@click.option("--encoder", "encoder_name", default="bundled", show_default=True, help=ENCODER_HELP)
@click.option(
    "--mpp",
    "patch_mpps",
    type=click.FloatRange(0.01, 100),
    multiple=True,
    help="µm per pixel of the patches; give it again for more magnifications.  [default: the encoder's]",
)
@click.option("--patch-size", type=click.IntRange(1), help="Side of a patch in pixels.  [default: the encoder's]")
@click.option("--stride", type=click.IntRange(1), help="Distance of patches in pixels.  [default: the patch size]")
@click.option(
    "--resampling",
    type=click.Choice(("area", "dct")),
    default="area",
    show_default=True,
    help="How pixels come from a finer level: exact means, or JPEG tiles decoded smaller, which is faster and differs by about "
    "one grey level.",
)
@click.option("--out", type=folder_path, required=True, help="Folder for the features; made if missing.")
@click.option(
    "--slide-mpp", type=click.FloatRange(0, min_open=True), help="µm per pixel, where the files do not say or are wrong."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@computing_options
@extraction_options
@cohort_options
@trust_code_option
@as_json_option
def extract(
    slides: tuple[Path, ...],
    patch_mpps: tuple[float, ...],
    out: Path,
    workers: int | None,
    scheduler: str | None,
    retries: int,
    *,
    skip_failed: bool,
    as_json: bool,
    **wish: Any,
) -> None:
    """Compute the features of slides and store them for training.

    Files are in TRIDENT's layout, one for each slide and magnification. A folder is searched for slides, with all folders in
    it; a list has a path in each line. What is stored already is skipped; stopped or killed, the same command goes on where it
    was. A slide that can't be read is reported and the others go on; the exit code is 2 then.
    """
    from napari_wsimil.cohorts import find_slides

    wish["mpp"] = patch_mpps or None
    found = find_slides(slides)
    if len(found) == 1 and workers is None and scheduler is None:
        extract_alone(found[0], out, as_json=as_json, **wish)
        return
    many: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "retries": retries, "skip_failed": skip_failed}
    extract_many(found, out, as_json=as_json, **many, **wish)


def extract_many(slides: Sequence[CohortSlide], out: Path, *, encoder_name: str, as_json: bool, **wish: Any) -> None:
    """Extract a cohort under a bar, a line for each slide."""
    from napari_wsimil.cohorts import extract_cohort

    def line(record: Any) -> str:
        # features lie outside the folder of the cohort, so their paths are whole
        return text(describe_record(record, out))

    with CohortBar(None if as_json else line) as bar:
        result = extract_cohort(slides, out, encoder=encoder_name, on_event=bar, **wish)
    if as_json:
        click.echo(to_json([describe_record(record, result.folder) for record in result.records]))
    finish(result, quiet=as_json)


def extract_alone(
    slide: CohortSlide,
    out: Path,
    *,
    encoder_name: str,
    trust_code: bool,
    device: str,
    mpp: tuple[float, ...] | None,
    patch_size: int | None,
    stride: int | None,
    slide_mpp: float | None,
    as_json: bool,
    **wish: Any,
) -> None:
    """Extract one slide in this process."""
    from napari_wsimil.bags import FeatureStore
    from napari_wsimil.encoders import load_encoder
    from napari_wsimil.inference import choose_device
    from napari_wsimil.inference.extraction import patch_specs

    choose_device(device)
    encoder = load_encoder(encoder_name, trust_code=trust_code)
    patch_specs(encoder, mpp, patch_size, stride)
    FeatureStore(out)
    wish |= {"encoder": encoder, "mpp": mpp, "patch_size": patch_size, "stride": stride, "device": device}
    started = time.perf_counter()
    with refusing(slide.path, as_json=as_json):
        extraction = extract_one(slide.path, out, slide_mpp=slide.mpp or slide_mpp, **wish)
    about = describe(slide.path, extraction, time.perf_counter() - started)
    click.echo(to_json([about]) if as_json else text(about))


def extract_one(path: Path, out: Path, **wish: Any) -> Extraction:
    """Extract one slide under a progress bar on standard error."""
    from napari_wsimil.inference import extract as extract_slide

    with patch_bar(path.name) as show:
        extraction = extract_slide(path, out, on_progress=show, **wish)
    for notice in extraction.notices:
        warnings.warn(notice, SlideWarning, stacklevel=1)
    return extraction


def describe(path: Path, extraction: Extraction, seconds: float) -> dict[str, Any]:
    """Return JSON-able facts of an extraction."""
    return {
        "slide": str(path),
        "patches": {f"{mpp:g}": count for mpp, count in extraction.patches.items()},
        "encoded": extraction.encoded,
        "seconds": round(seconds, 3),
        "files": [str(file) for file in extraction.files.values()],
    }


def text(about: Mapping[str, Any]) -> str:
    """Put an extraction in lines for people."""
    counts = ", ".join(f"{count} patches at {mpp} µm per pixel" for mpp, count in about["patches"].items())
    how = f"{about['seconds']:.1f} s" if about["encoded"] else "stored already"
    return "\n".join([f"{slide_name(about)}: {counts}  ({how})", *(f"  {file}" for file in about["files"])])
