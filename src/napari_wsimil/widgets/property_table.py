"""All that a file says of itself, as a table to search and copy from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_wsimil.widgets.parts import text_label
from napari_wsimil.widgets.slide_words import as_text, may_name_patient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.widgets.slide_words import Row

HIDDEN = "hidden"
SHORTENED = 300
"""Characters of a value that a cell shows; descriptions may be megabytes of XML. Copying takes all of it."""

ROWS_SHOWN = 9


class TextTable(QAbstractTableModel):
    """Rows of text for a table view."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__()
        self._columns = columns
        self._rows: Sequence[Row] = ()

    @property
    def rows(self) -> Sequence[Row]:
        """What is shown, in whole."""
        return self._rows

    def fill(self, rows: Sequence[Row]) -> None:
        """Show these rows in place of all others."""
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of rows; cells have none below them."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text of a cell, shortened to one line; the tooltip has more of it."""
        text = self._rows[index.row()][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return " ".join(text[:SHORTENED].split()) + ("…" if len(text) > SHORTENED else "")
        return text[: 10 * SHORTENED] if role == Qt.ItemDataRole.ToolTipRole else None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the columns."""
        shown = role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal
        return self._columns[section] if shown else None


def text_view(model: Any) -> QTableView:
    """A table view to read from: whole rows, no grid, no header, the last column takes what is left."""
    view = QTableView()
    view.setModel(model)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setShowGrid(False)
    view.setAlternatingRowColors(False)
    view.setWordWrap(False)
    view.setTabKeyNavigation(False)
    view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    rows: Any = view.verticalHeader()
    rows.hide()
    rows.setDefaultSectionSize(view.fontMetrics().height() + 6)
    columns: Any = view.horizontalHeader()
    columns.setStretchLastSection(True)
    columns.hide()
    return view


class PropertyTable(QWidget):
    """Names and values, those that may name a patient hidden until they are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._properties: Mapping[str, str] = {}
        self.model = TextTable(("Property", "Value"))
        self._listed = QSortFilterProxyModel(self)
        self._listed.setSourceModel(self.model)
        self._listed.setFilterKeyColumn(-1)
        self._listed.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.filter_field = QLineEdit()
        self.filter_field.setPlaceholderText("Search in names and values")
        self.filter_field.setClearButtonEnabled(True)
        self.filter_field.setAccessibleName("Search in the properties")
        self.view = text_view(self._listed)
        self.view.setAccessibleName("Properties of the file")
        self.reveal = QCheckBox("Show what may name a patient")
        self.reveal.setToolTip("Identifiers and free text that the scanner stored with the slide")
        self.copy_row_button = QPushButton("Copy row")
        self.copy_row_button.setToolTip("Copy the selected properties (Ctrl+C)")
        self.copy_all_button = QPushButton("Copy all")
        self.copy_all_button.setToolTip("Copy the listed properties as text; hidden values stay hidden")
        self.nothing = text_label("The file has no properties.")
        self._lay_out()
        self._connect()

    def show_properties(self, properties: Mapping[str, str]) -> None:
        """Fill the table with the properties of another slide."""
        self._properties = properties
        self.reveal.setChecked(False)
        self.filter_field.clear()
        some_hidden = any(may_name_patient(key) for key in properties)
        for part in (self.filter_field, self.view, self.copy_row_button, self.copy_all_button):
            part.setVisible(bool(properties))
        self.reveal.setVisible(some_hidden)
        self.nothing.setVisible(not properties)
        self._fill()

    def listed(self) -> list[Row]:
        """The rows that pass the filter, values in whole but for those that are hidden."""
        return [self._row(row) for row in range(self._listed.rowCount())]

    def selected(self) -> list[Row]:
        """The selected rows, in the order of the table."""
        chosen: Any = self.view.selectionModel()
        return [self._row(row) for row in sorted({index.row() for index in chosen.selectedIndexes()})]

    def _row(self, row: int) -> Row:
        return self.model.rows[self._listed.mapToSource(self._listed.index(row, 0)).row()]

    def _fill(self) -> None:
        hide = not self.reveal.isChecked()
        self.model.fill(
            [(key, HIDDEN if hide and value and may_name_patient(key) else value) for key, value in self._properties.items()]
        )
        self._follow_selection()

    def _lay_out(self) -> None:
        self.view.setColumnWidth(0, 140)
        self.view.setMinimumHeight((self.view.fontMetrics().height() + 6) * (ROWS_SHOWN + 1) + 4)
        buttons = QHBoxLayout()
        buttons.addWidget(self.copy_row_button)
        buttons.addWidget(self.copy_all_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.filter_field, self.view, self.reveal, self.nothing):
            column.addWidget(part)
        column.addLayout(buttons)

    def _connect(self) -> None:
        self.filter_field.textChanged.connect(self._listed.setFilterFixedString)
        self.reveal.toggled.connect(self._fill)
        self.copy_row_button.clicked.connect(self.copy_selected)
        self.copy_all_button.clicked.connect(lambda: copy_text(as_text(self.listed())))
        shortcut = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self.view)
        shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
        shortcut.activated.connect(self.copy_selected)
        chosen: Any = self.view.selectionModel()
        chosen.selectionChanged.connect(self._follow_selection)

    def copy_selected(self) -> None:
        """Copy the selected rows; with none selected, leave the clipboard alone."""
        if rows := self.selected():
            copy_text(as_text(rows))

    def _follow_selection(self, *_: Any) -> None:
        chosen: Any = self.view.selectionModel()
        self.copy_row_button.setEnabled(chosen.hasSelection())


def copy_text(text: str) -> None:
    """Put a text on the clipboard."""
    clipboard: Any = QApplication.clipboard()
    clipboard.setText(text)
