"""Rows in the order, and as far, as somebody wants to see them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_wsimil.training.data.drafting.rows import DraftRow

SORTS: dict[str, Callable[[DraftRow], str]] = {
    "slide": lambda row: row.name,
    "label": lambda row: row.label,
    "patient": lambda row: row.patient,
    "split": lambda row: row.part,
    "drawn": lambda row: "" if row.annotation is None else "drawn",
}
"""By what rows can be sorted."""


def arranged(rows: Iterable[DraftRow], text: str = "", by: str = "", *, backwards: bool = False) -> list[int]:
    """Keys of the rows that have all words of a text in name, label, patient or split, sorted.

    Parameters
    ----------
    by
        One of `SORTS`, rows without it last, either way; "": in the order that they were added.
    """
    words = text.casefold().split()
    found = [row for row in rows if all(word in _said(row) for word in words)] if words else list(rows)
    if by:
        value = SORTS[by]
        known = sorted((row for row in found if value(row)), key=lambda row: _natural(value(row)), reverse=backwards)
        found = known + [row for row in found if not value(row)]
    return [row.key for row in found]


def _said(row: DraftRow) -> str:
    state = "" if row.used else "left out"
    return f"{row.name} {row.label or 'no label'} {row.patient} {row.part} {state}".casefold()


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key by which slide-2 comes before slide-10."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return tuple((0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts if part)
