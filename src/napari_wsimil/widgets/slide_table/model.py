"""The table as Qt sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QStyle

from napari_wsimil.widgets.slide_table.pictures import WIDTH
from napari_wsimil.widgets.words import share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from qtpy.QtGui import QIcon

    from napari_wsimil.cohorts.overview import SlideRow
    from napari_wsimil.widgets.slide_table.listing import SlideList
    from napari_wsimil.widgets.slide_table.pictures import SlidePictures

Role = Qt.ItemDataRole


@dataclass(frozen=True)
class Column:
    """One column: what it is called, what it says of a slide, by what it is sorted, its width in px, and its tooltip."""

    title: str
    text: Callable[[SlideRow], str]
    sort: str
    width: int
    tip: str = ""


AGREES_TEXT = {True: "✓ yes", False: "✗ no", None: ""}


def _status(row: SlideRow) -> str:
    return f"{row.status} · {row.told}" if row.told else row.status


COLUMNS = (
    Column("", lambda row: "", "name", WIDTH + 12, "The whole slide"),
    Column("Slide", lambda row: row.name, "name", 160),
    Column("Label", lambda row: row.label or "", "label", 110, "What is known of the slide; F2 or a right-click changes it"),
    Column("Patient", lambda row: row.patient or "", "patient", 100),
    Column("Status", _status, "status", 220),
    Column("Predicted", lambda row: row.predicted_class or "", "predicted", 110, "The most probable class"),
    Column(
        "Confidence",
        lambda row: "" if row.confidence is None else share(row.confidence),
        "confidence",
        110,
        "Probability of the predicted class",
    ),
    Column(
        "Uncertainty",
        lambda row: "" if row.uncertainty is None else f"{row.uncertainty:.2f}",
        "uncertainty",
        110,
        "Entropy of the probabilities of all classes: 0 is sure, 1 means that all are equally probable",
    ),
    Column("Agrees", lambda row: AGREES_TEXT[row.agrees], "agrees", 75, "Whether the predicted class is the label"),
)
PICTURE, NAME, LABEL, PATIENT, STATUS, AGREES = 0, 1, 2, 3, 4, 8
_CENTRED = frozenset({6, 7, AGREES})


class SlideTableModel(QAbstractTableModel):
    """Rows in the order of a `SlideList`; labels can be edited.

    Sorting is the list's own, not that of a proxy, which asks Python for each of two values of each comparison: 10,000 slides
    would stop the window for a second.

    Parameters
    ----------
    slides
        What is shown; tell this model of each change.
    pictures
        Where the small pictures come from.

    Signals
    -------
    labelled
        Labels were changed.
    """

    labelled = Signal()

    def __init__(self, slides: SlideList, pictures: SlidePictures) -> None:
        super().__init__(pictures)
        self._slides, self._pictures = slides, pictures
        style: Any = QApplication.style()
        self._missing = style.standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning)
        pictures.ready.connect(self._picture_ready)

    def row(self, index: QModelIndex) -> SlideRow:
        """The slide of a cell."""
        return self._slides.rows[self._slides.shown[index.row()]]

    def place(self, at: int) -> QModelIndex:
        """The first cell of the slide with this index in the list; invalid where the filter hides it."""
        return self.index(self._slides.shown.index(at), 0) if at in self._slides.shown else QModelIndex()

    def changed(self, indices: Iterable[int]) -> None:
        """Slides with these indices in the list are not what they were."""
        places = {at: row for row, at in enumerate(self._slides.shown)}
        for at in indices:
            if (row := places.get(at)) is not None:
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))

    def rearranged(self, arrange: Callable[[], object]) -> None:
        """Let the list be sorted or filtered anew: the selection stays with the slides."""
        before = list(self._slides.shown)
        self.layoutAboutToBeChanged.emit()
        arrange()
        places = {at: row for row, at in enumerate(self._slides.shown)}
        old = self.persistentIndexList()
        new = []
        for index in old:
            row = places.get(before[index.row()]) if index.row() < len(before) else None
            new.append(QModelIndex() if row is None else self.index(row, index.column()))
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def refilled(self, fill: Callable[[], object]) -> None:
        """Let the list be filled anew."""
        self.beginResetModel()
        fill()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort as the header was clicked; -1: in the order that slides were found."""
        by = COLUMNS[column].sort if column >= 0 else None
        backwards = order == Qt.SortOrder.DescendingOrder
        # the header's arrow tells whether numbers rise: of uncertainty the largest is what comes first by itself
        self.rearranged(lambda: self._slides.sort(by, backwards=backwards != (by == "uncertainty")))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of slides shown."""
        return 0 if parent is not None and parent.isValid() else len(self._slides.shown)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """All cells can be selected, labels edited."""
        usual = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return usual | Qt.ItemFlag.ItemIsEditable if index.column() == LABEL else usual

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """What a cell shows; asking for a picture has it read."""
        if not index.isValid():
            return None
        row, column = self.row(index), index.column()
        if role == Role.DisplayRole or (role == Role.EditRole and column == LABEL):
            return COLUMNS[column].text(row)
        if role == Role.DecorationRole and column == PICTURE:
            return self._picture(row.path)
        if role == Role.ToolTipRole:
            return self._tip(row, column)
        if role == Role.TextAlignmentRole:
            return _aligned(column)
        return COLUMNS[column].text(row) or COLUMNS[column].title if role == Role.AccessibleTextRole else None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        """Change a label."""
        if role != Role.EditRole or index.column() != LABEL:
            return False
        self.label([self._slides.shown[index.row()]], str(value))
        return True

    def label(self, indices: Sequence[int], label: str) -> None:
        """Give slides with these indices in the list a label; an empty one takes it away."""
        self._slides.label(indices, label)
        self.changed(indices)
        self.labelled.emit()

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Titles, and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = COLUMNS[section]
        if role == Role.TextAlignmentRole:
            return _aligned(section)
        return {Role.DisplayRole: column.title, Role.ToolTipRole: column.tip or column.title}.get(Role(role))

    def _picture(self, path: Path) -> QIcon | None:
        found = self._pictures.picture(path)
        return self._missing if found is None and self._pictures.problem(path) else found

    def _tip(self, row: SlideRow, column: int) -> str:
        if column == PICTURE:
            return self._pictures.problem(row.path) or f"Open {row.path}"
        if column == STATUS:
            return row.told or row.status
        if column in (NAME, PATIENT):
            return str(row.path)
        if row.probabilities and column > STATUS:
            return "\n".join(f"{name} {share(value)}" for name, value in row.probabilities.items())
        return COLUMNS[column].tip

    def _picture_ready(self, path: Path) -> None:
        shown = self._slides
        for row, at in enumerate(shown.shown):
            if shown.rows[at].path == path:
                cell = self.index(row, PICTURE)
                self.dataChanged.emit(cell, cell, [Role.DecorationRole, Role.ToolTipRole])
                return


def _aligned(column: int) -> int:
    across = Qt.AlignmentFlag.AlignHCenter if column in _CENTRED else Qt.AlignmentFlag.AlignLeft
    return int(across | Qt.AlignmentFlag.AlignVCenter)
