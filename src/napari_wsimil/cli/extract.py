"""The command `extract`: features of slides, for training."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import BAD_INPUT, complain
from napari_wsimil.cli.encoders import ENCODER_HELP, trust_code_option
from napari_wsimil.errors import SlideWarning, WsimilError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.encoders import Encoder
    from napari_wsimil.inference import Extraction, Progress

Found = list[tuple[Path, float | None]]


@click.command()
@click.argument("slides", metavar="SLIDE...|MANIFEST.csv", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--encoder", "encoder_name", default="bundled", show_default=True, help=ENCODER_HELP)
@trust_code_option
@click.option(
    "--mpp",
    "mpps",
    type=click.FloatRange(0.01, 100),
    multiple=True,
    help="µm per pixel of the patches; give it again for more magnifications.  [default: the encoder's]",
)
@click.option("--patch-size", type=click.IntRange(1), help="Side of a patch in pixels.  [default: the encoder's]")
@click.option("--stride", type=click.IntRange(1), help="Distance of patches in pixels.  [default: the patch size]")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the features; made if missing."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--slide-mpp", type=click.FloatRange(0, min_open=True), help="µm per pixel, where the files do not say or are wrong."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for other programs.")
def extract(
    slides: tuple[Path, ...],
    encoder_name: str,
    mpps: tuple[float, ...],
    patch_size: int | None,
    stride: int | None,
    out: Path,
    device: str,
    slide_mpp: float | None,
    *,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Compute the features of each SLIDE, or of the slides that a manifest names, and store them for training.

    One HDF5 file for each slide and magnification, in TRIDENT's layout. What is stored already is skipped. A slide that can't
    be read is reported and the others go on; the exit code is 2 then.
    """
    from napari_wsimil.bags import FeatureStore
    from napari_wsimil.cli.commands import to_json
    from napari_wsimil.encoders import load_encoder
    from napari_wsimil.inference import choose_device
    from napari_wsimil.inference.extraction import patch_specs

    found = named_slides(slides)
    choose_device(device)
    encoder = load_encoder(encoder_name, trust_code=trust_code)
    patch_specs(encoder, mpps or None, patch_size, stride)
    FeatureStore(out)
    results = []
    for path, own_mpp in found:
        started = time.perf_counter()
        try:
            extraction = extract_one(
                path, encoder, out, mpps, patch_size, stride, device=device, slide_mpp=own_mpp or slide_mpp
            )
        except WsimilError as error:
            complain(str(error))
            results.append({"slide": str(path), "error": str(error)})
            continue
        result = describe(path, extraction, time.perf_counter() - started)
        results.append(result)
        if not as_json:
            click.echo(text(path, result))
    if as_json:
        click.echo(to_json(results))
    if any("error" in result for result in results):
        sys.exit(BAD_INPUT)


def named_slides(arguments: Sequence[Path]) -> Found:
    """Slides with the µm per pixel that a manifest gives them, manifests replaced by what they name."""
    from napari_wsimil.training.data.manifest import read_manifest

    found: Found = []
    for path in arguments:
        if path.suffix.lower() in {".csv", ".tsv"}:
            found += [(case.path, case.mpp) for case in read_manifest(path, labelled=False).cases]
        else:
            found.append((path, None))
    return list(dict.fromkeys(found))


def extract_one(
    path: Path,
    encoder: Encoder,
    out: Path,
    mpps: tuple[float, ...],
    patch_size: int | None,
    stride: int | None,
    *,
    device: str,
    slide_mpp: float | None,
) -> Extraction:
    """Extract one slide under a progress bar on standard error."""
    from tqdm import tqdm

    from napari_wsimil.inference import extract as extract_slide

    with tqdm(desc=path.name, unit="patch", file=sys.stderr, leave=False, delay=0.5) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total or None
            bar.set_postfix_str(progress.stage, refresh=False)
            bar.update(progress.done - bar.n)

        extraction = extract_slide(
            path,
            out,
            encoder=encoder,
            mpp=mpps or None,
            patch_size=patch_size,
            stride=stride,
            device=device,
            on_progress=show,
            slide_mpp=slide_mpp,
        )
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


def text(path: Path, result: dict[str, Any]) -> str:
    """Put an extraction in lines for people."""
    counts = ", ".join(f"{count} patches at {mpp} µm per pixel" for mpp, count in result["patches"].items())
    how = f"{result['seconds']:.1f} s" if result["encoded"] else "stored already"
    return "\n".join([f"{path.name}: {counts}  ({how})", *(f"  {file}" for file in result["files"])])
