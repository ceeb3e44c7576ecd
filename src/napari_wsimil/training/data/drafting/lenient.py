"""A manifest as it is: what would refuse it when a training begins is found later, with a way on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.drafting.rows import DraftRow
from napari_wsimil.training.data.feature_folders import plain_name
from napari_wsimil.training.data.manifest import COLUMNS, FILES_BETWEEN, SPLIT_OF, read_fold, read_mpp
from napari_wsimil.training.data.tables import find_column, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_N = TypeVar("_N", int, float)


def read_leniently(path: str | Path) -> tuple[list[DraftRow], tuple[str, ...]]:
    """Read a manifest: its rows, and sentences on what could not be understood; nothing but the table is looked at.

    Raises
    ------
    TrainingError
        It is no table, or no column names the slides.
    """
    source = Path(path).expanduser().absolute()
    columns, lines = read_table(source, may_be_empty=True)
    found = {asked: find_column(columns, words) for asked, words in COLUMNS.items()}
    if lines and found["path"] is None and found["name"] is None:
        have = ", ".join(name for name in columns if name)
        raise TrainingError(f"{source} has no column that names the slides (it has {have}); add a column 'slide' with paths.")
    strange: dict[str, list[str]] = {}
    rows = []
    for line in lines:
        cells = {asked: line.cells.get(column, "") for asked, column in found.items() if column is not None}
        if cells.get("path") or cells.get("name"):
            rows.append(_row(source.parent, cells, lambda what, text: strange.setdefault(what, []).append(text)))
        else:
            strange.setdefault("line without a slide", []).append(f"line {line.number}")
    return _one_of_both(rows), tuple(_told(what, texts) for what, texts in strange.items())


def _row(folder: Path, cells: Mapping[str, str], wonder: Callable[[str, str], object]) -> DraftRow:
    where = cells.get("path") or cells.get("name", "")
    several = [text.strip() for text in cells.get("files", "").split(FILES_BETWEEN) if text.strip()]
    files = tuple(_place(folder, text) for text in several) or (_place(folder, where),)
    name = cells.get("name") or plain_name(where)
    patient, split = cells.get("patient", ""), cells.get("split", "").lower()
    if split and split not in SPLIT_OF:
        wonder("split", split)
    return DraftRow(
        name,
        files[0],
        cells.get("label", ""),
        "" if patient == name else patient,
        SPLIT_OF.get(split, ""),
        _place(folder, cells["annotation"]) if cells.get("annotation") else None,
        _number(read_mpp, cells.get("mpp", ""), "mpp", wonder),
        _number(read_fold, cells.get("fold", ""), "fold", wonder),
        files if len(files) > 1 else (),
    )


def _place(folder: Path, text: str) -> Path:
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:  # no such home
        return folder / text


def _number(read: Callable[[str], _N | None], text: str, what: str, wonder: Callable[[str, str], object]) -> _N | None:
    found = read(text) if text else None
    if text and found is None:
        wonder(what, text)
    return found


def _one_of_both(rows: list[DraftRow]) -> list[DraftRow]:
    """A manifest may have splits or folds; where it has both, the splits are what one training needs."""
    return [replace(row, fold=None) for row in rows] if any(row.split for row in rows) else rows


def _told(what: str, texts: list[str]) -> str:
    if what == "line without a slide":
        return (
            f"{len(texts):,} lines name no slide ({texts[0]}); they were left out."
            if len(texts) > 1
            else (f"{texts[0].capitalize()} names no slide; it was left out.")
        )
    times = "" if len(texts) == 1 else f" and {len(texts) - 1:,} more"
    return f"The {what} {texts[0]!r}{times} could not be understood and was left empty."
