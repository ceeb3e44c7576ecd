"""CSV: one row per patch, in the order of the grid, for pandas, R and spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from napari_wsimil.exports.patch_table import patch_tables, shortest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.exports.patch_table import PatchTable
    from napari_wsimil.inference.prediction import SlidePrediction

COLUMNS = ("x", "y", "width", "height", "x_um", "y_um", "mpp", "attention", "attention_percentile")


def csv_text(prediction: SlidePrediction) -> str:
    """The table of all patches; an empty cell is a value that the model or the slide does not give.

    Columns: x, y, width, height (level-0 pixels, top-left corner); x_um, y_um (the same corner in µm from the slide's corner);
    mpp at which the patch was read; attention and its percentile (0 to 1); prob_<class> for every class.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"prob_{name}" for name in prediction.classes)])
    slide_mpp = prediction.provenance.get("slide", {}).get("mpp")
    for table in patch_tables(prediction):
        writer.writerows(_rows(table, slide_mpp))
    return out.getvalue()


def _rows(table: PatchTable, slide_mpp: tuple[float, float] | None) -> Iterator[tuple[object, ...]]:
    size = round(table.size, 4)
    mx, my = slide_mpp or (None, None)
    scores = [table.attention, table.percentile, *table.probabilities.T]
    columns = [["" if text == "nan" else text for text in shortest(column)] for column in scores]
    for (x, y), *values in zip(table.xy.tolist(), *columns, strict=True):
        x_um = "" if mx is None else round(x * mx, 4)
        y_um = "" if my is None else round(y * my, 4)
        yield (x, y, size, size, x_um, y_um, table.mpp, *values)
