"""The slides of the table: which are shown, in which order, and what a run tells of them. No Qt here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_wsimil.cohorts.overview import matches, sorted_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_wsimil.cohorts import CohortEvent
    from napari_wsimil.cohorts.overview import SlideRow

STAYS = frozenset({"done", "failed"})
"""Status that a run leaves behind."""


class SlideList:
    """All slides that were opened, and the arrangement that the user chose.

    Attributes
    ----------
    rows
        All slides, in the order that they were found.
    shown
        Indices of those that pass the filter, in the order that is shown.
    relabelled
        Labels were changed and not saved yet.
    """

    def __init__(self) -> None:
        self.rows: list[SlideRow] = []
        self.shown: list[int] = []
        self.relabelled = False
        self._at: dict[str, int] = {}
        self._sort: tuple[str, bool] | None = None
        self._text, self._wrong = "", False
        self._before: dict[str, SlideRow] = {}

    def fill(self, rows: Iterable[SlideRow], *, keep_labels: bool = False) -> None:
        """Show these slides in place of all others; `keep_labels`: with the labels given here, where they are the same."""
        kept = {row.path: row.label for row in self.rows} if keep_labels and self.relabelled else {}
        self.rows = [replace(row, label=kept.get(row.path, row.label)) for row in rows]
        self._at = {row.name: index for index, row in enumerate(self.rows)}
        self.relabelled = bool(kept)
        self._before = {}
        self.arrange()

    def sort(self, by: str | None, *, backwards: bool = False) -> None:
        """Choose the order: one of `SORTS`, or None for that in which slides were found."""
        self._sort = None if by is None else (by, backwards)
        self.arrange()

    def filter(self, text: str, *, wrong: bool) -> None:
        """Show slides with these words only; `wrong`: only those whose predicted class is not their label."""
        self._text, self._wrong = text, wrong
        self.arrange()

    def arrange(self) -> None:
        """Filter and sort anew."""
        wanted = [row for row in self.rows if matches(row, self._text) and (not self._wrong or row.agrees is False)]
        if self._sort is not None:
            wanted = sorted_rows(wanted, self._sort[0], backwards=self._sort[1])
        self.shown = [self._at[row.name] for row in wanted]

    @property
    def arranged(self) -> bool:
        """Whether the order, or which slides are shown, depends on what is known of them."""
        return self._sort is not None or bool(self._text) or self._wrong

    def label(self, indices: Iterable[int], label: str) -> None:
        """Give slides a label; an empty one takes it away."""
        for index in indices:
            found = label.strip() or None
            self.relabelled |= found != self.rows[index].label
            self.rows[index] = replace(self.rows[index], label=found)

    def classes(self) -> list[str]:
        """Labels to offer: those given so far, and the classes of the model."""
        names = {row.label for row in self.rows if row.label}
        known = {name.casefold() for name in names}
        for row in self.rows:
            if row.probabilities:
                names |= {name for name in row.probabilities if name.casefold() not in known}
                break
        return sorted(names, key=str.casefold)

    def of_status(self, *status: str) -> list[SlideRow]:
        """Slides of one of these statuses."""
        return [row for row in self.rows if row.status in status]

    def expect(self, names: Sequence[str]) -> None:
        """A run begins that will do these slides."""
        for name in names:
            index = self._at[name]
            self._before[name] = self.rows[index]
            self.rows[index] = replace(self.rows[index], status="waiting", told="")

    def take(self, event: CohortEvent, folder: Path) -> int | None:
        """Note what a run tells of a slide; returns the index of the slide, None where it is about none of these."""
        index = self._at.get(event.name)
        if index is None:
            return None
        row = self.rows[index]
        if event.kind in STAYS and event.record is not None:
            self._before.pop(event.name, None)
            self.rows[index] = row.ended(event.record, folder)
        elif event.kind == "started":
            self.rows[index] = replace(row, status="running", told="")
        elif event.kind == "progress":
            self.rows[index] = replace(row, told=_progress(event))
        elif event.kind == "again":
            self.rows[index] = replace(row, status="waiting", told=event.text)
        return index

    def settle(self) -> None:
        """The run has ended: slides that it did not come to are what they were before."""
        for name, row in self._before.items():
            index = self._at[name]
            self.rows[index] = replace(row, label=self.rows[index].label)
        self._before = {}
        self.arrange()


def _progress(event: CohortEvent) -> str:
    return f"{event.patches:,} of {event.of:,} patches" if event.of else event.stage
