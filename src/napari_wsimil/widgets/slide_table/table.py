"""The view of the table: keys, clicks, its menu, and the list of labels to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, QPoint, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QInputDialog,
    QMenu,
    QStyledItemDelegate,
    QTableView,
    QWidget,
)

from napari_wsimil.widgets.slide_table.model import AGREES, COLUMNS, LABEL, NAME, PATIENT, PICTURE, STATUS, SlideTableModel
from napari_wsimil.widgets.slide_table.pictures import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.cohorts.overview import SlideRow
    from napari_wsimil.widgets.slide_table.listing import SlideList

UNCERTAINTY = next(number for number, column in enumerate(COLUMNS) if column.sort == "uncertainty")


class LabelEditor(QStyledItemDelegate):
    """A box to type a label in, or to choose one that is known.

    Parameters
    ----------
    known
        Gives the labels to offer.
    """

    def __init__(self, parent: QWidget, known: Callable[[], list[str]]) -> None:
        super().__init__(parent)
        self._known = known

    def createEditor(self, parent: QWidget | None, _option: Any, index: QModelIndex) -> QWidget:
        """The box."""
        combo = QComboBox(parent)
        combo.setEditable(True)
        combo.addItems(self._known())
        combo.setAccessibleName("Label")
        return combo

    def setEditorData(self, editor: QWidget | None, index: QModelIndex) -> None:
        """Begin with the label that is there."""
        if isinstance(editor, QComboBox):
            editor.setCurrentText(str(index.data(Qt.ItemDataRole.EditRole) or ""))

    def setModelData(self, editor: QWidget | None, model: Any, index: QModelIndex) -> None:
        """Take what was typed or chosen."""
        if isinstance(editor, QComboBox):
            model.setData(index, editor.currentText())


class Sentence(QStyledItemDelegate):
    """A cell that is read from its beginning: what has no room is left out at the end."""

    def initStyleOption(self, option: Any, index: QModelIndex) -> None:
        """As usual, but for that."""
        super().initStyleOption(option, index)
        option.textElideMode = Qt.TextElideMode.ElideRight


class SlideView(QTableView):
    """The table; a click on a picture opens the slide, and so do a double-click and Enter; a click elsewhere selects.

    Signals
    -------
    open_asked
        A `SlideRow`.
    predict_asked
        The selected slides are to be predicted.
    copy_asked
        The selected slides are to be copied.
    """

    open_asked = Signal(object)
    predict_asked = Signal()
    copy_asked = Signal()

    def __init__(self, slides: SlideList, model: SlideTableModel) -> None:
        super().__init__()
        self._slides, self._table = slides, model
        self.setObjectName("slides")
        self.setAccessibleName("Slides")
        self.setModel(model)
        self.setItemDelegateForColumn(LABEL, LabelEditor(self, slides.classes))
        self.setItemDelegateForColumn(STATUS, Sentence(self))
        self._look()
        self._size_columns()
        self.clicked.connect(lambda index: self._open(index, on_picture=True))
        self.doubleClicked.connect(lambda index: self._open(index, on_picture=False))
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(lambda at: self.menu().popup(self._corner(at)))

    def keyPressEvent(self, event: Any) -> None:
        """Enter opens, Ctrl+C copies the selected slides; arrows and F2 are Qt's."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.open_current()
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy_asked.emit()
        else:
            super().keyPressEvent(event)

    def selected(self) -> list[int]:
        """Indices in the list of the selected slides, in the order that is shown."""
        chosen: Any = self.selectionModel()
        return [self._slides.shown[index.row()] for index in sorted(chosen.selectedRows(), key=QModelIndex.row)]

    def selected_rows(self) -> list[SlideRow]:
        """The selected slides, in the order that is shown."""
        return [self._slides.rows[at] for at in self.selected()]

    def open_current(self) -> None:
        """Open the slide that the keyboard is at."""
        index = self.currentIndex()
        if index.isValid():
            self.open_asked.emit(self._table.row(index))

    def _open(self, index: QModelIndex, *, on_picture: bool) -> None:
        """Open what was clicked on; a double-click on a picture was a click on it before."""
        if (index.column() == PICTURE) == on_picture:
            self.open_asked.emit(self._table.row(index))

    def most_uncertain_first(self) -> None:
        """Sort by uncertainty, and go to the top."""
        self.sortByColumn(UNCERTAINTY, Qt.SortOrder.DescendingOrder)
        self.scrollToTop()

    def select(self, name: str) -> None:
        """Select a slide, where it is shown."""
        for number, at in enumerate(self._slides.shown):
            if self._slides.rows[at].name == name:
                self.selectRow(number)
                self.scrollTo(self._table.index(number, NAME))

    def fit_columns(self) -> None:
        """Show the columns that something is known for; the name gets the width that is left."""
        rows = self._slides.rows
        self.setColumnHidden(PATIENT, not any(row.patient for row in rows))
        self.setColumnHidden(AGREES, not any(row.label for row in rows))
        others = sum(self.columnWidth(number) for number in range(len(COLUMNS)) if number != NAME)
        inside: Any = self.viewport()
        self.setColumnWidth(NAME, max(COLUMNS[NAME].width, inside.width() - others))

    def resizeEvent(self, event: Any) -> None:
        """Another width."""
        super().resizeEvent(event)
        self.fit_columns()

    def label_selected(self, label: str) -> None:
        """Give the selected slides a label."""
        self._table.label(self.selected(), label)

    def menu(self) -> QMenu:
        """What can be done with the selected slides."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        some = bool(self.selected())
        for text, act in (("Open", self.open_current), ("Predict selected", self.predict_asked.emit)):
            action: Any = menu.addAction(text, act)
            action.setEnabled(some)
        labels: Any = menu.addMenu("Label")
        labels.setEnabled(some)
        for name in self._slides.classes():
            labels.addAction(name.replace("&", "&&"), lambda name=name: self.label_selected(name))
        labels.addSeparator()
        labels.addAction("Other…", self._ask_label)
        labels.addAction("None", lambda: self.label_selected(""))
        return menu

    def sizeHint(self) -> QSize:
        """Room for a few slides."""
        return QSize(640, 4 * (HEIGHT + 4))

    def minimumSizeHint(self) -> QSize:
        """The header, and one slide."""
        return QSize(200, 2 * (HEIGHT + 4))

    def _corner(self, at: QPoint) -> QPoint:
        inside: Any = self.viewport()
        place: QPoint = inside.mapToGlobal(at)
        return place

    def _ask_label(self) -> None:
        dialog = QInputDialog(self)
        dialog.setWindowTitle("Label")
        dialog.setLabelText("Label of the selected slides")
        dialog.setComboBoxItems(self._slides.classes())
        dialog.setComboBoxEditable(True)
        dialog.textValueSelected.connect(self.label_selected)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _look(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setIconSize(QSize(WIDTH, HEIGHT))
        self.setCornerButtonEnabled(False)
        rows: Any = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(HEIGHT + 4)

    def _size_columns(self) -> None:
        header: Any = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(WIDTH)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)
        self.setSortingEnabled(True)
        for number, column in enumerate(COLUMNS):
            header.resizeSection(number, column.width)
        header.setSectionResizeMode(PICTURE, QHeaderView.ResizeMode.Fixed)
