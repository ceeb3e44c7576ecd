"""Tables that people make: CSV with commas, semicolons or tabs, as spreadsheets and other tools write it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SEPARATORS = ",;\t"
LARGEST = 100_000_000
"""Bytes; a million slides need less."""


@dataclass(frozen=True)
class Row:
    """One line of a table: its `number` in the file, the heading being line 1 mostly, and its `cells` by column, stripped."""

    number: int
    cells: Mapping[str, str]


def read_table(path: Path, *, may_be_empty: bool = False) -> tuple[tuple[str, ...], list[Row]]:
    """Read a CSV file: its columns and its rows, empty lines left out.

    The separator is the one that stands in the heading most often; a byte-order mark, UTF-16 from spreadsheets and Latin-1
    are understood.

    Raises
    ------
    TrainingError
        The file is missing or too large, is no text, has no row, names a column twice, or a line is longer than the heading.
    """
    lines = _text(path).splitlines(keepends=True)
    heading = next((line for line in lines if line.strip()), "")
    reader = csv.reader(lines, delimiter=max(SEPARATORS, key=heading.count), strict=True)
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    try:
        for cells in ([cell.strip() for cell in line] for line in reader):
            if not any(cells):
                continue
            if not columns:
                columns = _columns(path, cells)
            elif any(cells[len(columns) :]):
                raise TrainingError(
                    f"{path}, line {reader.line_num}: there are {len(cells)} cells but only {len(columns)} columns; quote "
                    "cells that hold the separator."
                )
            else:
                rows.append(Row(reader.line_num, dict(zip(columns, cells, strict=False))))
    except csv.Error as error:
        raise TrainingError(
            f"{path}, line {reader.line_num}: this is no CSV ({error}); save the table as CSV again."
        ) from error
    if not rows and not may_be_empty:
        raise TrainingError(f"{path} lists no slide; write a heading and one line for each slide.")
    return columns, rows


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise TrainingError(f"There is no table {path}; give the path of a CSV file.")
        if path.stat().st_size > LARGEST:
            raise TrainingError(f"{path} is larger than {LARGEST // 10**6} MB, so it is no list of slides; give a CSV file.")
        data = path.read_bytes()
    except OSError as error:
        raise TrainingError(f"{path} can't be read ({error.strerror}); check its name and permissions.") from error
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in data[:4096] and not wide:
        raise TrainingError(f"{path} is no text; save the table as CSV, not as a spreadsheet.")
    for encoding in ["utf-16"] if wide else ["utf-8-sig", "cp1252", "latin-1"]:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TrainingError(f"{path} is no text; save the table as CSV in UTF-8.")


def _columns(path: Path, cells: Sequence[str]) -> tuple[str, ...]:
    columns = tuple(cell.lower().replace(" ", "_").replace("-", "_") for cell in cells)
    twice = [name for name in columns if name and columns.count(name) > 1]
    if twice:
        raise TrainingError(f"{path} has the column {twice[0]!r} twice; rename or delete one of them.")
    return columns


def find_column(columns: Iterable[str], words: Sequence[str]) -> str | None:
    """Return the first of `words` that is a column, or None."""
    have = set(columns)
    return next((word for word in words if word in have), None)
