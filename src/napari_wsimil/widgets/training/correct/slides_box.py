"""The list of corrected slides: what is marked on each, and its label; a click opens it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QPushButton, QTableView, QVBoxLayout, QWidget

from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import say, text_label
from napari_wsimil.widgets.training.correct.corrected import marks_text

if TYPE_CHECKING:
    from napari_wsimil.widgets.training.correct.corrected import CorrectedSlide, CorrectedSlides

COLUMNS = ("Slide", "Marks", "Label")
NONE_YET = "None yet. What you mark, and labels that you give, are listed here slide by slide, also the next time."
GONE = "{path} is gone; bring it back, or remove it from the list."
ROW, ROWS_SHOWN = 24, 6


class SlidesTable(QAbstractTableModel):
    """The list as Qt's views want it."""

    def __init__(self, slides: CorrectedSlides, parent: QWidget) -> None:
        super().__init__(parent)
        self._slides = slides
        self.rows = slides.slides
        self.open = ""
        self.gone: frozenset[str] = frozenset()

    def show(self) -> None:
        """Slides came, went or changed, or another one is open."""
        self.beginResetModel()
        self.rows = self._slides.slides
        self.endResetModel()

    def rowCount(self, parent: Any = None) -> int:
        """One row per slide."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: Any = None) -> int:
        """Name, marks, label."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        """Titles."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return COLUMNS[section]
        return None

    def data(self, index: Any, role: int = 0) -> Any:
        """What a cell shows."""
        one = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return (one.name, marks_text(one.marks) or "–", one.label or "–")[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            if one.fingerprint in self.gone:
                return GONE.format(path=one.path)
            return f"{one.path}\n{marks_text(one.marks) or 'no marks'}" + (f"\nlabel: {one.label}" if one.label else "")
        if role == Qt.ItemDataRole.FontRole:
            font = QFont()
            font.setBold(one.fingerprint == self.open and not index.column())
            font.setStrikeOut(one.fingerprint in self.gone)
            return font
        return None


class SlidesBox(QWidget):
    """The table, and a button that takes a slide off it.

    Parameters
    ----------
    slides
        What is shown.

    Signals
    -------
    chosen, removed
        Carry a `CorrectedSlide`.
    """

    chosen = Signal(object)
    removed = Signal(object)

    def __init__(self, slides: CorrectedSlides) -> None:
        super().__init__()
        self._slides = slides
        self.model = SlidesTable(slides, self)
        self.table = QTableView()
        self.remove_button = QPushButton("Remove from the list")
        self.none = text_label(NONE_YET)
        self._set_up()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for part in (self.none, self.table, self.remove_button):
            column.addWidget(part)
        self.table.clicked.connect(lambda index: self.chosen.emit(self.model.rows[index.row()]))
        self.table.activated.connect(lambda index: self.chosen.emit(self.model.rows[index.row()]))
        self.remove_button.clicked.connect(self._remove)
        self.show_slides("")

    def show_slides(self, open_now: str) -> None:
        """The list changed, or another slide, by its fingerprint, is open."""
        model = self.model
        if model.rows != self._slides.slides or model.open != open_now:
            model.open = open_now
            model.show()
            row = next((row for row, one in enumerate(model.rows) if one.fingerprint == open_now), -1)
            if row >= 0:
                self.table.setCurrentIndex(model.index(row, 0))
            read_in_background(model.rows, partial(_gone, model.rows), self._tell_gone)
        some = bool(model.rows)
        say(self.none, "" if some else NONE_YET)
        self.table.setVisible(some)
        self.remove_button.setVisible(some)
        self.table.setFixedHeight(ROW * (1 + min(max(len(model.rows), 1), ROWS_SHOWN)) + 2 * self.table.frameWidth() + 2)

    def _tell_gone(self, found: tuple[Any, Any]) -> None:
        rows, gone = found
        if rows == self.model.rows and isinstance(gone, frozenset) and gone != self.model.gone:
            self.model.gone = gone
            self.model.dataChanged.emit(self.model.index(0, 0), self.model.index(len(rows) - 1, len(COLUMNS) - 1))

    def _remove(self) -> None:
        row = self.table.currentIndex().row()
        if 0 <= row < len(self.model.rows):
            self.removed.emit(self.model.rows[row])

    def _set_up(self) -> None:
        self.none.setObjectName("correct_no_slides")
        self.remove_button.setObjectName("correct_remove")
        self.remove_button.setToolTip("The chosen slide teaches nothing any more; what is drawn on it stays")
        table = self.table
        table.setObjectName("correct_slides")
        table.setAccessibleName("Corrected slides")
        table.setModel(self.model)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        table.setTextElideMode(Qt.TextElideMode.ElideRight)
        table.setShowGrid(False)
        table.setTabKeyNavigation(False)
        rows: Any = table.verticalHeader()
        rows.hide()
        rows.setDefaultSectionSize(ROW)
        header: Any = table.horizontalHeader()
        header.setSectionsClickable(False)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(50)
        header.setFixedHeight(ROW)
        for column, mode in enumerate((QHeaderView.ResizeMode.Stretch,) * 2 + (QHeaderView.ResizeMode.ResizeToContents,)):
            header.setSectionResizeMode(column, mode)


def _gone(rows: tuple[CorrectedSlide, ...]) -> frozenset[str]:
    """Those whose files are not there; looks at disks, so call it off the GUI thread."""
    return frozenset(one.fingerprint for one in rows if not one.path.exists())
