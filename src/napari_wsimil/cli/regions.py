"""The command `regions`: the patches that matter most, as a table and as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import as_json_option, file_path, folder_path, to_json
from napari_wsimil.cli.values import Point
from napari_wsimil.errors import PredictionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.ranking import RankedPatch, Ranking

KINDS = ("attention", "instances", "class attention", "anchors", "zoom", "uncertainty", "disagreement")
COLUMNS = ("rank", "score", "x", "y", "mpp")


@click.command()
@click.argument("prediction", type=file_path)
@click.option(
    "--by",
    type=click.Choice(KINDS),
    help="Instances: the probability of a class in each patch.  [default: attention]",
)
@click.option("--class", "class_name", help="Of which class.  [default: the positive one]")
@click.option("--mpp", type=click.FloatRange(0, min_open=True), help="µm per pixel of the patches.  [default: the finest]")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@click.option("--lowest", is_flag=True, help="The least supportive ones instead: the lowest score first.")
@click.option("--overlapping", is_flag=True, help="Also patches that overlap one listed before.")
@click.option(
    "--similar-to",
    type=Point(),
    help="Rank by likeness to the patch at this level-0 pixel, by its stored features.",
)
@click.option(
    "--store",
    type=folder_path,
    help="Folder where `predict --store` kept the features.  [default: where the window keeps them]",
)
@click.option("--out", type=folder_path, help="Folder for a PNG of each patch and regions.csv; made if missing.")
@click.option("--slide", "slide_path", type=file_path, help="The slide, where it is no longer where it was.")
@as_json_option
def regions(
    prediction: Path,
    out: Path | None,
    slide_path: Path | None,
    similar_to: tuple[float, float] | None,
    store: Path | None,
    *,
    as_json: bool,
    **wish: Any,
) -> None:
    """List the patches of a saved PREDICTION that speak most for something: by attention, or the probability of a class."""
    from napari_wsimil.exports.pixels import slide_of
    from napari_wsimil.exports.regions import region_records, save_regions
    from napari_wsimil.inference import load_prediction

    if similar_to is not None and (wish["by"] or wish["class_name"]):
        raise click.UsageError("--similar-to is a ranking of its own: leave --by and --class out.")
    if similar_to is None and store is not None:
        raise click.UsageError("--store is for --similar-to.")
    loaded = load_prediction(prediction)
    found = _ranked(loaded, **wish) if similar_to is None else _similar(loaded, similar_to, store, **wish)
    files: list[Path] = []
    if out is not None:
        with slide_of(loaded, slide_path) as slide:
            files = save_regions(slide, found, out)
    records = region_records(found)
    if as_json:
        click.echo(to_json({"regions": records, "files": [str(path) for path in files]}))
        return
    click.echo(regions_text(found))
    if files:
        click.echo(f"wrote {len(files) - 1} pictures and {files[-1].name} to {out}")


def regions_text(found: Sequence[RankedPatch]) -> str:
    """A table for people, with what the scores are above it."""
    if not found:
        return "no patches"
    rows = [COLUMNS] + [
        (f"{one.rank}", f"{one.score:.4g}", f"{one.patch.x:g}", f"{one.patch.y:g}", f"{one.patch.mpp:g}") for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([found[0].ranking.label, *lines])


def _ranked(
    prediction: SlidePrediction,
    *,
    by: str | None,
    class_name: str | None,
    mpp: float | None,
    top: int,
    lowest: bool,
    overlapping: bool,
) -> list[RankedPatch]:
    from napari_wsimil.inference.ranking import rank_patches, rankings

    def meant(ranking: Ranking) -> bool:
        asked = ((by, ranking.by), (class_name, ranking.class_name))
        near = mpp is None or abs(ranking.mpp - mpp) < 1e-3 * mpp
        return near and all(wanted is None or wanted == has for wanted, has in asked)

    offered = rankings(prediction)
    chosen = next(filter(meant, offered), None)
    if offered and chosen is None:
        asked = [f"by {by}" if by else "", f"at {mpp:g} µm/px" if mpp else ""]
        asked.insert(1, "" if class_name is None else f"of class {class_name!r}")
        known = ", ".join(f"{one.label} ({one.by})" for one in offered)
        raise PredictionError(f"This prediction has no ranking {' '.join(filter(None, asked))}; it has {known}.")
    return rank_patches(prediction, chosen, count=top, lowest=lowest, apart=not overlapping)


def _similar(
    prediction: SlidePrediction,
    point: tuple[float, float],
    store: Path | None,
    *,
    mpp: float | None,
    top: int,
    lowest: bool,
    overlapping: bool,
    **_: Any,
) -> list[RankedPatch]:
    from napari_wsimil.inference.similar import similar_patches

    return similar_patches(prediction, point, store=store, mpp=mpp, count=top, lowest=lowest, apart=not overlapping)
