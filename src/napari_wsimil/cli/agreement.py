"""The command `agreement`: how well a prediction agrees with what was drawn on its slide."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import as_json_option, file_path, to_json
from napari_wsimil.cli.values import CsvFile
from napari_wsimil.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.inference.agreement import Agreement


@click.command()
@click.argument("prediction", type=file_path)
@click.argument("annotations", type=file_path)
@click.option("--class", "class_name", help="A class of the model.  [default: its positive class]")
@click.option(
    "--by", type=click.Choice(["instances", "attention"]), help="What to judge.  [default: instances, if there are any]"
)
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Probability or percentile.")
@click.option("--mpp", type=click.FloatRange(0, min_open=True), help="Of the patches, µm per pixel.  [default: the finest]")
@click.option(
    "--rest/--no-rest",
    default=None,
    help="Whether patches that no region touches are known not to be of the class.  "
    "[default: where nothing but the class was drawn]",
)
@click.option("--means", multiple=True, metavar="NAME=CLASS", help="What a name in the file stands for; may be repeated.")
@click.option("--out", type=CsvFile(), help="CSV to write, one row per region.")
@as_json_option
def agreement(
    prediction: Path, annotations: Path, means: tuple[str, ...], out: Path | None, *, as_json: bool, **options: Any
) -> None:
    """Compare a saved PREDICTION with the regions in ANNOTATIONS, GeoJSON from QuPath or XML from ASAP."""
    from napari_wsimil.annotations import read_annotations
    from napari_wsimil.inference import load_prediction
    from napari_wsimil.inference.agreement import agreement as compare

    loaded = load_prediction(prediction)
    x, y = loaded.provenance.get("slide", {}).get("origin") or (0.0, 0.0)
    drawn = read_annotations(annotations, origin=(float(x), float(y)))
    found = compare(loaded, drawn, names=_names(means), **options)
    if out is not None:
        _write(out, found)
    click.echo(to_json(_record(found)) if as_json else _text(found))
    if out is not None and not as_json:
        click.echo(f"wrote {out}")


def _names(means: Sequence[str]) -> dict[str, str]:
    for told in means:
        if "=" not in told:
            raise click.UsageError(f"--means {told} says nothing; write NAME=CLASS.")
    return dict(told.split("=", 1) for told in means)


def _record(found: Agreement) -> dict[str, Any]:
    """All of it, JSON-able; the class has the name that it has in the other commands."""
    told = asdict(found)
    return {"class": told.pop("class_name"), **told}


def _text(found: Agreement) -> str:
    best = "–" if found.best_dice is None else f"{found.best_dice:.3f} at {found.best_threshold:.3g}"
    by = "probability" if found.by == "instances" else "attention percentile"
    lines = [
        f"{found.class_name} by {by}, patches at {found.mpp:g} µm per pixel",
        f"  patches      {found.positive} of the class, {found.negative} not, {found.ignored} not judged",
        f"  AUC          {_number(found.auc)}",
        f"  threshold    {found.threshold:g}",
        f"  Dice         {_number(found.dice)}  (best {best})",
        f"  sensitivity  {_number(found.sensitivity)}",
        f"  specificity  {_number(found.specificity)}",
        f"  {found.note}",
    ]
    for number, region in enumerate(found.regions, start=1):
        scores = f"mean {_number(region.mean_score)}, above {_number(region.share_above)}"
        lines.append(f"  region {number:<5} {region.name}: {region.area:.0f} µm², {region.patches} patches, {scores}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _write(path: Path, found: Agreement) -> None:
    from napari_wsimil.files import written_whole

    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["region", "class", "x0", "y0", "x1", "y1", "area_um2", "patches", "mean_score", "share_above"])
    for number, one in enumerate(found.regions, start=1):
        scores = ["" if value is None else round(value, 6) for value in (one.mean_score, one.share_above)]
        rows.writerow([number, one.name, *(round(side, 2) for side in one.bounds), round(one.area, 2), one.patches, *scores])
    try:
        with written_whole(path) as part:
            part.write_text(table.getvalue(), encoding="utf-8")
    except OSError as error:
        raise AnnotationError(f"{path} can't be written ({error.strerror or error}); choose another folder.") from error
