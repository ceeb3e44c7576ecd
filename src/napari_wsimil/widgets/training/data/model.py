"""The list of slides as Qt sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QApplication, QStyle

from napari_wsimil.errors import WsimilError
from napari_wsimil.training.data.drafting.arranging import arranged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_wsimil.training.data.drafting import Draft, DraftRow

Role = Qt.ItemDataRole


@dataclass(frozen=True)
class Column:
    """One column: what it is called, what it says of a slide, its least width in px, its tooltip, and what it changes."""

    title: str
    text: Callable[[DraftRow], str]
    width: int
    tip: str
    changes: str = ""


def _drawn(row: DraftRow) -> str:
    return "" if row.annotation is None else "✓"


COLUMNS = (
    Column("Slide", lambda row: row.name, 86, "Untick a slide to leave it out; it stays in the list"),
    Column("Label", lambda row: row.label, 64, "The class of the slide; type it, or choose one (F2)", "label"),
    Column(
        "Patient", lambda row: row.patient, 56, "Slides of one patient stay on one side; empty: a patient of its own", "patient"
    ),
    Column(
        "Split", lambda row: row.part, 68, "What the slide is for: learning, choosing the best epoch, or the last test", "split"
    ),
    Column(
        "Drawn", _drawn, 44, "Regions drawn on the slide (annotations), which were saved beside it or named by the manifest"
    ),
)
SLIDE, LABEL, PATIENT, SPLIT, DRAWN = range(5)
NO_LABEL = "no label"
_USUAL = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
# made once: Qt asks for each cell of all selected rows, some ten thousand times in a moment
_FLAGS = [_USUAL | (Qt.ItemFlag.ItemIsEditable if column.changes else Qt.ItemFlag.NoItemFlags) for column in COLUMNS]
_FLAGS[SLIDE] |= Qt.ItemFlag.ItemIsUserCheckable


class DraftModel(QAbstractTableModel):
    """Rows of a draft, in the order and as far as asked for.

    Parameters
    ----------
    draft
        What is shown; tell this model of each change with `follow`.

    Signals
    -------
    refused
        A sentence: why a cell could not be changed.
    """

    refused = Signal(str)

    def __init__(self, draft: Draft, parent: QObject) -> None:
        super().__init__(parent)
        self._draft = draft
        self._rows: dict[int, DraftRow] = {}
        self.shown: list[int] = []
        self._text, self._by, self._backwards = "", "", False
        self._troubled: Mapping[int, str] = {}
        style: Any = QApplication.style()
        self._warning = style.standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning)

    @property
    def rows(self) -> list[DraftRow]:
        """The rows that are shown, in the order that is shown."""
        return [self._rows[key] for key in self.shown]

    def row(self, index: QModelIndex) -> DraftRow:
        """The slide of a cell."""
        return self._rows[self.shown[index.row()]]

    def place(self, key: int) -> QModelIndex:
        """The first cell of a row; invalid where it is not shown."""
        return self.index(self.shown.index(key), 0) if key in self.shown else QModelIndex()

    def follow(self) -> None:
        """The draft was changed: rows that were there stay where they stand until somebody sorts."""
        before = set(self._rows)
        self._rows = {row.key: row for row in self._draft.rows}
        if before == set(self._rows):
            self._all_changed()
        else:
            self.beginResetModel()
            self._arrange()
            self.endResetModel()

    def mark(self, troubled: Mapping[int, str]) -> None:
        """Say what is wrong with rows: key -> sentences."""
        if troubled != self._troubled:
            self._troubled = troubled
            self._all_changed()

    def search(self, text: str) -> None:
        """Show rows with these words only."""
        self._text = text
        self._rearrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort as the header was clicked; -1: in the order that slides were added."""
        self._by = COLUMNS[column].title.lower() if column >= 0 else ""
        self._backwards = order == Qt.SortOrder.DescendingOrder
        self._rearrange()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of slides shown."""
        return 0 if parent is not None and parent.isValid() else len(self.shown)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Slides can be ticked; labels, patients and splits edited."""
        return _FLAGS[index.column()]

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """What a cell shows."""
        if not index.isValid():
            return None
        row, column = self.row(index), index.column()
        if role == Role.DisplayRole:
            return COLUMNS[column].text(row) or (NO_LABEL if column == LABEL and row.used else "")
        if role == Role.EditRole:
            return COLUMNS[column].text(row)
        if role == Role.CheckStateRole and column == SLIDE:
            return Qt.CheckState.Checked if row.used else Qt.CheckState.Unchecked
        if role == Role.DecorationRole and column == SLIDE and row.used and row.key in self._troubled:
            return self._warning
        if role == Role.FontRole:
            return _font(row, column)
        return self._said(row, column, role)

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        """Change a cell, or let a slide take part."""
        if role == Role.CheckStateRole and index.column() == SLIDE:
            self._draft.use([self.row(index).key], used=Qt.CheckState(value) == Qt.CheckState.Checked)
            return True
        return role == Role.EditRole and self.change([self.row(index).key], index.column(), str(value))

    def change(self, keys: Sequence[int], column: int, text: str) -> bool:
        """Change one column of some rows, in one step."""
        change = {
            "label": self._draft.set_label,
            "patient": self._draft.set_patient,
            "split": self._draft.set_split,
        }.get(COLUMNS[column].changes)
        if change is None:
            return False
        try:
            change(keys, text)
        except WsimilError as error:
            self.refused.emit(str(error))
            return False
        return True

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Titles, and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Role.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        return {Role.DisplayRole: COLUMNS[section].title, Role.ToolTipRole: COLUMNS[section].tip}.get(Role(role))

    def _said(self, row: DraftRow, column: int, role: int) -> str | None:
        """Tooltips, and what a screen reader says."""
        if role == Role.AccessibleTextRole:
            return f"{COLUMNS[column].title}: {COLUMNS[column].text(row) or 'none'}"
        if role != Role.ToolTipRole:
            return None
        if column == DRAWN:
            return COLUMNS[column].tip if row.annotation is None else str(row.annotation)
        if column != SLIDE:
            return COLUMNS[column].tip
        where = "\n".join(map(str, row.sources))
        trouble = self._troubled.get(row.key, "") if row.used else "Left out; tick it to let it take part."
        return f"{where}\n{trouble}" if trouble else where

    def _arrange(self) -> None:
        self.shown = arranged(self._rows.values(), self._text, self._by, backwards=self._backwards)

    def _rearrange(self) -> None:
        """Sort or filter anew: the selection stays with the slides."""
        before = list(self.shown)
        self.layoutAboutToBeChanged.emit()
        self._arrange()
        places = {key: row for row, key in enumerate(self.shown)}
        old = self.persistentIndexList()
        new = []
        for index in old:
            at = places.get(before[index.row()])
            new.append(QModelIndex() if at is None else self.index(at, index.column()))
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _all_changed(self) -> None:
        if self.shown:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.shown) - 1, len(COLUMNS) - 1))


def _font(row: DraftRow, column: int) -> QFont | None:
    """What is left out is struck out, what is missing leans."""
    if row.used and (column != LABEL or row.label):
        return None
    font = QFont(QApplication.font())
    font.setStrikeOut(not row.used)
    font.setItalic(row.used)
    return font
