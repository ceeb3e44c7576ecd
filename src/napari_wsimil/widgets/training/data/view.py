"""The view of the list: keys, its menu, and what is edited for many rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QGuiApplication, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView

from napari_wsimil.errors import WsimilError
from napari_wsimil.training.data.drafting import SIDES
from napari_wsimil.training.data.drafting.pasting import as_table, pasted
from napari_wsimil.widgets.property_table import copy_text
from napari_wsimil.widgets.training.data.asking import ask_text
from napari_wsimil.widgets.training.data.editors import Editor
from napari_wsimil.widgets.training.data.model import COLUMNS, DRAWN, LABEL, PATIENT, SLIDE, SPLIT, DraftModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_wsimil.training.data.drafting import Draft, DraftRow

WIDE = 350
"""Width in px from which all columns have room."""
ROWS_SHOWN = 8
"""Rows that the table in the dock shows without scrolling."""


class DraftView(QTableView):
    """The table of a draft; the same model may be shown twice.

    Signals
    -------
    open_asked
        A `DraftRow` that was double-clicked.
    refused
        A sentence: why something could not be done.
    """

    open_asked = Signal(object)
    refused = Signal(str)

    def __init__(self, draft: Draft, model: DraftModel) -> None:
        super().__init__()
        self._draft, self._table = draft, model
        self._kept: tuple[list[int], int] = ([], 0)
        self.setObjectName("draft")
        self.setAccessibleName("Slides to learn from")
        self.setModel(model)
        editors = ((LABEL, "Label", self._labels), (PATIENT, "Patient", self._patients), (SPLIT, "Split", None))
        for column, what, known in editors:
            self.setItemDelegateForColumn(column, Editor(self, what, known, self._commit))
        self._look()
        model.modelAboutToBeReset.connect(self._keep_place)
        model.modelReset.connect(self._restore_place)
        self.doubleClicked.connect(self._open)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)

    def selected(self) -> list[int]:
        """Keys of the selected rows, in the order that is shown."""
        chosen: Any = self.selectionModel()
        # by ranges: of thousands of rows an index each would stop the window for a moment
        parts = sorted((part.top(), part.bottom()) for part in chosen.selection())
        return list(dict.fromkeys(key for top, bottom in parts for key in self._table.shown[top : bottom + 1]))

    def select(self, keys: Iterable[int]) -> None:
        """Select rows, and go to the first of them."""
        wanted = set(keys)
        last = len(COLUMNS) - 1
        chosen, first = QItemSelection(), None
        for at, key in enumerate(self._table.shown):
            if key in wanted:
                chosen.select(self._table.index(at, 0), self._table.index(at, last))
                first = at if first is None else first
        model: Any = self.selectionModel()
        if first is not None:
            model.setCurrentIndex(self._table.index(first, LABEL), QItemSelectionModel.SelectionFlag.NoUpdate)
            self.scrollTo(self._table.index(first, 0))
        model.select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def keyPressEvent(self, event: Any) -> None:
        """Delete removes rows, Space takes them in or out, Ctrl+C and Ctrl+V copy and paste; the rest is Qt's."""
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.remove_selected()
        elif event.key() == Qt.Key.Key_Space and self.selected():
            self.use_selected()
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy_selected()
        elif event.matches(QKeySequence.StandardKey.Paste):
            self.paste()
        else:
            super().keyPressEvent(event)

    def remove_selected(self) -> None:
        """Take the selected rows off the list."""
        self._draft.remove(self.selected())

    def use_selected(self, used: bool | None = None) -> None:
        """Let the selected rows take part, or leave them out; None: the other way round than the first is."""
        keys = self.selected()
        if keys:
            first = next(row for row in self._table.rows if row.key == keys[0])
            self._draft.use(keys, used=not first.used if used is None else used)

    def copy_selected(self) -> None:
        """Copy the selected rows for a spreadsheet."""
        chosen = set(self.selected())
        if chosen:
            copy_text(as_table(row for row in self._table.rows if row.key in chosen))

    def as_text(self) -> str:
        """All rows that are shown, for a spreadsheet."""
        return as_table(self._table.rows)

    def paste(self) -> None:
        """Paste cells of a spreadsheet."""
        clipboard: Any = QGuiApplication.clipboard()
        column = COLUMNS[self.currentIndex().column()].changes if self.currentIndex().isValid() else ""
        try:
            self._draft.edit(pasted(clipboard.text(), self._table.rows, self.selected(), column or "label"))
        except WsimilError as error:
            self.refused.emit(str(error))

    def change_selected(self, column: int, text: str) -> None:
        """Give all selected rows one label, patient or side."""
        self._table.change(self.selected(), column, text)

    def menu(self) -> QMenu:
        """What can be done with the selected rows."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        rows = self._selected_rows()
        labels: Any = menu.addMenu("Label")
        for name in self._labels():
            labels.addAction(name.replace("&", "&&"), lambda name=name: self.change_selected(LABEL, name))
        labels.addAction("None", lambda: self.change_selected(LABEL, ""))
        sides: Any = menu.addMenu("Split")
        for side in SIDES:
            sides.addAction(side, lambda side=side: self.change_selected(SPLIT, side))
        whose: Any = menu.addAction("Patient…", self._ask_patient)
        menu.addSeparator()
        out: Any = menu.addAction("Leave out", lambda: self.use_selected(False))
        back: Any = menu.addAction("Use again", lambda: self.use_selected(True))
        gone: Any = menu.addAction("Remove from the list", self.remove_selected)
        menu.addSeparator()
        copy: Any = menu.addAction("Copy", self.copy_selected)
        paste: Any = menu.addAction("Paste", self.paste)
        seen: Any = menu.addAction("Open slide", lambda: self.open_asked.emit(rows[0]))
        for action in (labels, sides, whose, gone, copy, paste):
            action.setEnabled(bool(rows))
        out.setEnabled(any(row.used for row in rows))
        back.setEnabled(any(not row.used for row in rows))
        seen.setEnabled(len(rows) == 1)
        return menu

    def fit_columns(self) -> None:
        """Give the names the width that is left; what nothing is known of gets no column where there is little room."""
        rows, wide = self._draft.rows, self.width() > WIDE
        self.setColumnHidden(DRAWN, not wide and not any(row.annotation for row in rows))
        self.setColumnHidden(PATIENT, not wide and not any(row.patient for row in rows))
        header: Any = self.horizontalHeader()
        inside: Any = self.viewport()
        shown = [number for number in range(len(COLUMNS)) if not self.isColumnHidden(number)]
        spare = max(0, inside.width() - sum(COLUMNS[number].width for number in shown))
        for number in shown:
            more = {SLIDE: 0.5, LABEL: 0.25, PATIENT: 0.25}.get(number, 0.0)
            header.resizeSection(number, COLUMNS[number].width + int(spare * more))

    def resizeEvent(self, event: Any) -> None:
        """Another width."""
        super().resizeEvent(event)
        self.fit_columns()

    def sizeHint(self) -> QSize:
        """Room for a few slides."""
        return QSize(300, self._height(ROWS_SHOWN))

    def minimumSizeHint(self) -> QSize:
        """The header, and a few slides."""
        return QSize(200, self._height(4))

    def _height(self, rows: int) -> int:
        header: Any = self.horizontalHeader()
        lines: Any = self.verticalHeader()
        height: int = header.sizeHint().height() + rows * lines.defaultSectionSize() + 2 * self.frameWidth()
        return height

    def _selected_rows(self) -> list[DraftRow]:
        chosen = set(self.selected())
        return [row for row in self._table.rows if row.key in chosen]

    def _commit(self, index: QModelIndex, text: str) -> None:
        """What was entered goes to all selected rows where the edited one is among them."""
        key, chosen = self._table.shown[index.row()], self.selected()
        self._table.change(chosen if key in chosen else [key], index.column(), text)

    def _ask_patient(self) -> None:
        ask_text(self, "Patient", "Patient of the selected slides", self._patients(), self._change_patient)

    def _change_patient(self, text: str) -> None:
        self.change_selected(PATIENT, text)

    def _labels(self) -> list[str]:
        return list(self._draft.labels)

    def _patients(self) -> list[str]:
        return sorted({row.patient for row in self._draft.rows if row.patient}, key=str.casefold)

    def _open(self, index: QModelIndex) -> None:
        if index.column() in (SLIDE, DRAWN):
            self.open_asked.emit(self._table.row(index))

    def _show_menu(self, at: Any) -> None:
        inside: Any = self.viewport()
        self.menu().popup(inside.mapToGlobal(at))

    def _keep_place(self) -> None:
        bar: Any = self.verticalScrollBar()
        self._kept = (self.selected(), bar.value())

    def _restore_place(self) -> None:
        keys, scrolled = self._kept
        if keys:
            self.select(keys)
        bar: Any = self.verticalScrollBar()
        bar.setValue(scrolled)
        self.fit_columns()

    def _look(self) -> None:
        trigger = QAbstractItemView.EditTrigger
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(trigger.EditKeyPressed | trigger.DoubleClicked | trigger.AnyKeyPressed)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        rows: Any = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(self.fontMetrics().height() + 8)
        header: Any = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(30)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)
        self.setSortingEnabled(True)
