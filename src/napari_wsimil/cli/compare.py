"""The command `compare`: predictions of one slide beside each other."""

from __future__ import annotations

import csv
import io
from itertools import combinations
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import as_json_option, file_path, to_json
from napari_wsimil.cli.values import CsvFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.inference.comparison import Comparison, Row

PREDICTION_SUFFIX = ".prediction.h5"


@click.command()
@click.argument("predictions", metavar="PREDICTION...", type=file_path, nargs=-1, required=True)
@click.option(
    "--by",
    type=click.Choice(["attention", "class attention", "instances"]),
    default="attention",
    show_default=True,
    help="Instances: the probability of a class in each patch.",
)
@click.option("--class", "class_name", help="Of which class.  [default: the positive class of the first]")
@click.option(
    "--mpp",
    "mpps",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    help="µm per pixel of the first, and again for the second.  [default: the finest that both have]",
)
@click.option(
    "--scale",
    type=click.Choice(["percentile", "times average"]),
    default="percentile",
    show_default=True,
    help="Unit of attention, which depends on the number of patches otherwise.",
)
@click.option(
    "--top",
    type=click.FloatRange(0, min_open=True),
    default=0.1,
    show_default=True,
    help="What counts as the highest places: a share below 1, or a number.",
)
@click.option("--out", type=CsvFile(), help="CSV to write: a row for each pair.")
@click.option("--places", type=CsvFile(), help="CSV to write: both scores and their difference at each place; of one pair.")
@as_json_option
def compare(predictions: tuple[Path, ...], out: Path | None, places: Path | None, *, as_json: bool, **options: Any) -> None:
    """Compare saved PREDICTIONs of one slide, each with each; of a single one its finest and coarsest magnification."""
    from napari_wsimil.exports.files import exported, write_text
    from napari_wsimil.inference import load_prediction
    from napari_wsimil.inference.comparison import compare as compare_two
    from napari_wsimil.inference.comparison import numbered

    if len(options["mpps"]) not in (0, 2):
        raise click.UsageError("--mpp is for both: give it twice.")
    if places is not None and len(predictions) > 2:
        raise click.UsageError("--places is for one pair: give two predictions.")
    if places is not None and out is not None and places.resolve() == out.resolve():
        raise click.UsageError("--out and --places are two tables: give them two names.")
    loaded = [load_prediction(path) for path in predictions]
    pairs = list(combinations(range(len(loaded)), 2)) or [(0, 0)]
    names = numbered(_names(predictions))
    found = [compare_two(loaded[a], loaded[b], names=(names[a], names[b]) if a != b else None, **options) for a, b in pairs]
    tables = [(out, [comparison.record() for comparison in found]), (places, _places(found[0]) if places else [])]
    for path, records in tables:
        if path is not None:
            with exported(path) as part:
                write_text(part, csv_of(records))
    click.echo(to_json([one.record() for one in found]) if as_json else "\n\n".join(map(comparison_text, found)))


def comparison_text(comparison: Comparison) -> str:
    """A comparison in lines for people."""
    first, second = comparison.names
    of = f" of {comparison.class_name}" if comparison.class_name else ""
    lines = [f"first   {first}", f"second  {second}", f"{comparison.by}{of} ({comparison.scale})", comparison.verdict]
    rows = [("", "first", "second", "difference"), *map(_cells, comparison.table())]
    figures = comparison.figures()
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    widths[0] = max(widths[0], *map(len, figures))
    for what, *numbers in rows:
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        lines.append(f"  {what.ljust(widths[0])}  {'  '.join(cells)}".rstrip())
    lines += [f"  {what.ljust(widths[0])}  {_number(value).rjust(widths[1])}" for what, value in figures.items()]
    return "\n".join(lines)


def csv_of(records: Sequence[dict[str, Any]]) -> str:
    """A table of all columns that any of the records has; what a record lacks is an empty cell."""
    out = io.StringIO()
    columns = dict.fromkeys(name for record in records for name in record)
    writer = csv.DictWriter(out, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def _names(paths: Sequence[Path]) -> list[str]:
    """What the files are called, with their folders where two have the same name: `predict` names them after the slide."""
    names = [path.name.removesuffix(PREDICTION_SUFFIX) for path in paths]
    if len({*names}) == len({path.resolve() for path in paths}):
        return names
    return [f"{path.resolve().parent.name}/{name}" for path, name in zip(paths, names, strict=True)]


def _cells(row: Row) -> tuple[str, str, str, str]:
    return row.what, _number(row.first), _number(row.second), _number(row.difference)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _places(comparison: Comparison) -> list[dict[str, Any]]:
    """The compared places: top-left corner and side in level-0 pixels, both scores, first minus second."""
    side = round(float(comparison.first.size_level0), 4)
    scores = comparison.first.values, comparison.second.values, comparison.difference.values
    return [
        {"x": x, "y": y, "side": side, "first": one, "second": other, "difference": difference}
        for (x, y), one, other, difference in zip(comparison.first.xy.tolist(), *map(_shortest, scores), strict=True)
    ]


def _shortest(values: Any) -> list[str]:
    from napari_wsimil.exports.patch_table import shortest

    return shortest(values)
