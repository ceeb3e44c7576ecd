"""The command `slides`: many slides as one table, with what was predicted of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from napari_wsimil.cli.console import as_json_option, complain, file_path, folder_path, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.cohorts.overview import SlideRow

SORT_NAMES = ("name", "label", "patient", "status", "predicted", "confidence", "uncertainty", "disagreement", "agrees")
LONGEST_CELL = 60


@click.command()
@click.argument("given", metavar="FOLDER|MANIFEST.csv|LIST.txt|SLIDE...", type=file_path, nargs=-1, required=True)
@click.option(
    "--results",
    type=folder_path,
    help='Folder that `predict` wrote to.  [default: the folder "predictions" beside the slides]',
)
@click.option("--sort", type=click.Choice(SORT_NAMES), help="uncertainty and disagreement put the least certain first.")
@click.option("--label-next", is_flag=True, help="Only slides that are worth a label, the most useful first.")
@click.option("--filter", "text", default="", help="Only slides with these words in name, label, patient, class or status.")
@click.option("--wrong", is_flag=True, help="Only slides whose predicted class is not their label.")
@as_json_option
def slides(
    given: tuple[Path, ...], results: Path | None, sort: str | None, text: str, *, label_next: bool, wrong: bool, as_json: bool
) -> None:
    """List slides with their labels, and what was predicted of each, how sure, and whether it is right.

    Uncertainty is the entropy of the probabilities of all classes: 0 is sure, 1 means that all are equally probable.
    Disagreement, of models with a teacher and a student, is how far the two are apart on the patches.
    """
    from napari_wsimil.cohorts import overview
    from napari_wsimil.cohorts.overview import matches, slide_table

    if label_next and sort:
        raise click.UsageError("--label-next is an order of its own: leave --sort out.")

    found = slide_table(given[0] if len(given) == 1 else given, results, sort=sort)
    if label_next:
        found = overview.label_next(found)
    rows = [row for row in found if matches(row, text) and (not wrong or row.agrees is False)]
    for row in rows:
        if row.status == "not predicted" and not row.path.exists():
            complain(f"{row.path} is not there; check the name and the folder.")
    if label_next and not rows:
        complain(
            "none of these slides needs a label now: only slides that were predicted are proposed, without a label or wrong."
        )
    click.echo(to_json([row.as_dict() for row in rows]) if as_json else rows_text(rows))


def rows_text(rows: Sequence[SlideRow]) -> str:
    """Put slides in lines for people, in columns; those that nothing is known for are left out."""
    lines = [
        ("slide", "label", "patient", "status", "predicted", "confidence", "uncertainty", "disagreement", "agrees"),
        *map(_cells, rows),
    ]
    kept = [column for column in zip(*lines, strict=True) if any(column[1:])] if rows else [("slide",)]
    widths = [max(map(len, column)) for column in kept]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*kept, strict=True)
    ]
    done, failed = (sum(row.status == status for row in rows) for status in ("done", "failed"))
    return "\n".join([*text, f"{len(rows):,} slide{'s' * (len(rows) != 1)}, {done:,} done, {failed:,} failed"])


def _cells(row: SlideRow) -> tuple[str, ...]:
    agrees = {True: "yes", False: "NO", None: ""}[row.agrees]
    numbers = ("" if value is None else f"{value:.3f}" for value in (row.confidence, row.uncertainty, row.disagreement))
    words = (row.name, row.label or "", row.patient or "", row.status, row.predicted_class or "")
    return tuple(_short(cell) for cell in (*words, *numbers, agrees))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"
