"""Cells copied to and pasted from a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.feature_folders import plain_name
from napari_wsimil.training.data.manifest import COLUMNS, SPLIT_OF

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_wsimil.training.data.drafting.rows import DraftRow

EDITABLE = ("label", "patient", "split")
"""What of a row can be pasted over, in the order of the table."""

Cells = dict[int, dict[str, str]]


def as_table(rows: Iterable[DraftRow]) -> str:
    """Rows as lines with tabs below a heading, for a spreadsheet; pasted again, they find their slides by name."""
    lines = [("slide", *EDITABLE, "annotation")]
    lines += [
        (row.name, row.label, row.patient, row.split, "" if row.annotation is None else str(row.annotation)) for row in rows
    ]
    return "\n".join("\t".join(line) for line in lines)


def pasted(text: str, rows: Sequence[DraftRow], selected: Sequence[int], column: str) -> Cells:
    """What cells from a spreadsheet change: key -> {"label", "patient" or "split": text}.

    A table with a heading finds its slides by name. Else a single cell goes to all selected rows, and several go down from the
    first selected row, to `column` and those right of it.

    Parameters
    ----------
    rows
        In the order that is shown.
    selected
        Keys of the selected rows, in that order.
    column
        Where to begin: one of `EDITABLE`.

    Raises
    ------
    TrainingError
        There is nothing to paste, nowhere to paste it, or a split that is no such word.
    """
    grid = [[cell.strip() for cell in line.split("\t")] for line in text.splitlines()]
    if not any(cell for line in grid for cell in line):
        raise TrainingError("There is no text to paste; copy cells of a spreadsheet first.")
    headings = {asked: _find(grid[0], COLUMNS[asked]) for asked in ("path", "name", *EDITABLE)}
    by_name = next((headings[asked] for asked in ("name", "path") if headings[asked] is not None), None)
    if by_name is not None and len(grid) > 1:
        return _checked(_by_name(grid[1:], rows, by_name, {asked: headings[asked] for asked in EDITABLE}))
    if not selected:
        raise TrainingError("Select the row to begin at, then paste again.")
    if len(grid) == 1 and len(grid[0]) == 1:
        return _checked({key: {column: grid[0][0]} for key in selected})
    start = next(at for at, row in enumerate(rows) if row.key == selected[0])
    across = EDITABLE[EDITABLE.index(column) :]
    return _checked({row.key: dict(zip(across, line, strict=False)) for row, line in zip(rows[start:], grid, strict=False)})


def _find(line: Sequence[str], words: Sequence[str]) -> int | None:
    """Where one of these words is a heading."""
    return next((at for at, cell in enumerate(line) if cell.lower().replace(" ", "_") in words), None)


def _by_name(grid: Sequence[Sequence[str]], rows: Sequence[DraftRow], name: int, columns: Mapping[str, int | None]) -> Cells:
    keys = {row.name.casefold(): row.key for row in reversed(rows)}
    keys |= {plain_name(row.path.name).casefold(): row.key for row in reversed(rows)} | keys
    found: Cells = {}
    for line in grid:
        at = next((keys[way] for way in _ways(line[name]) if way in keys), None) if name < len(line) else None
        if at is not None:
            found[at] = {asked: line[to] for asked, to in columns.items() if to is not None and to < len(line)}
    if not found:
        raise TrainingError("None of the pasted names is one of the slides; compare the column of names.")
    return found


def _ways(text: str) -> tuple[str, str]:
    return text.casefold(), plain_name(text).casefold()


def _checked(cells: Cells) -> Cells:
    for cell in cells.values():
        word = cell.get("split", "").lower()
        if word and word not in SPLIT_OF:
            raise TrainingError(f"{cell['split']!r} is no split; paste train, validation or test.")
        if "split" in cell:
            cell["split"] = SPLIT_OF.get(word, "")
    return cells
