"""The list of classes: choose, add, rename, recolour, remove; with the number and the area of what was drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QHeaderView,
    QMessageBox,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_wsimil.annotations.classes import same_name
from napari_wsimil.widgets.annotate.class_book import KEYS
from napari_wsimil.widgets.parts import NarrowButton

if TYPE_CHECKING:
    from napari_wsimil.annotations.classes import DrawnClass
    from napari_wsimil.widgets.annotate.board import Board

COLUMNS = ("Key", "Class", "Regions", "Area")
CLASS = 1
SWATCH = 14
ROW = 24
ROWS_SHOWN = 7
MIDDLE = Qt.AlignmentFlag.AlignVCenter


class ClassTable(QAbstractTableModel):
    """The classes of a board as Qt's views want them."""

    def __init__(self, board: Board, parent: QWidget) -> None:
        super().__init__(parent)
        self._board = board
        self._counts: dict[str, tuple[int, float]] = {}

    def show_counts(self, counts: dict[str, tuple[int, float]]) -> None:
        """Show how many regions there are of each class, and their area in level-0 pixels."""
        self._counts = counts
        self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, len(COLUMNS) - 1))

    def rowCount(self, parent: Any = None) -> int:
        """One row per class."""
        return 0 if parent is not None and parent.isValid() else len(self._board.book.classes)

    def columnCount(self, parent: Any = None) -> int:
        """Key and colour, name, number, area."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        """Titles of the columns."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return COLUMNS[section]
        return None

    def flags(self, index: QModelIndex) -> Any:
        """Names can be edited, but for those of the model."""
        flags = super().flags(index)
        one = self._board.book.classes[index.row()]
        editable = index.column() == CLASS and not self._board.book.is_of_model(one.name)
        return flags | Qt.ItemFlag.ItemIsEditable if editable else flags

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """What a cell shows."""
        one = self._board.book.classes[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return self._text(index, one)
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return swatch(one)
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() > CLASS:
            return int(Qt.AlignmentFlag.AlignRight | MIDDLE)
        if role == Qt.ItemDataRole.ToolTipRole:
            key = f"key {index.row() + 1} while the annotations are selected in the layer list" if index.row() < KEYS else ""
            return f"{one.name}: click to draw it{', or ' + key if key else ''}"
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = 2) -> bool:
        """Rename a class."""
        classes = self._board.book.classes
        # an editor that is still open may tell of a class that was removed
        there = index.row() < len(classes)
        return there and role == Qt.ItemDataRole.EditRole and self._board.rename(classes[index.row()].name, str(value))

    def _text(self, index: QModelIndex, one: DrawnClass) -> str:
        count, area = self._counts.get(same_name(one.name), (0, 0.0))
        slide = self._board.slide
        return (
            str(index.row() + 1) if index.row() < KEYS else "",
            one.name,
            f"{count:,}" if count else "",
            area_text(area, slide.mpp if slide is not None else None) if count else "",
        )[index.column()]


class ClassPanel(QWidget):
    """The table and the buttons below it.

    Parameters
    ----------
    board
        Where the classes are drawn.

    Signals
    -------
    asked
        A dialog was opened; for tests, which can't see it.
    """

    asked = Signal(object)

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board
        self.model = ClassTable(board, self)
        self.table = QTableView()
        self.add_button = _button("add_class", "Add", "Add a class and type its name")
        self.rename_button = _button("rename_class", "Rename", "Give the chosen class another name")
        self.colour_button = _button("colour_class", "Colour…", "Choose another colour for the chosen class")
        self.remove_button = _button("remove_class", "Remove", "Take the chosen class out of the list")
        self._set_up_table()
        self._lay_out()
        self._connect()
        self.show_classes()

    def show_classes(self) -> None:
        """Classes came or went, or another one was chosen."""
        self.model.layoutChanged.emit()
        names = [same_name(one.name) for one in self._board.book.classes]
        current = same_name(self._board.current)
        row = names.index(current) if current in names else 0
        self.table.setCurrentIndex(self.model.index(row, CLASS))
        own = not self._board.book.is_of_model(self._board.current)
        for button in (self.rename_button, self.remove_button):
            button.setEnabled(own)
        self.remove_button.setEnabled(own and len(names) > 1)
        lines = min(max(len(names), 3), ROWS_SHOWN)
        self.table.setFixedHeight(ROW + lines * ROW + 2 * self.table.frameWidth() + 2)

    def _set_up_table(self) -> None:
        table = self.table
        table.setObjectName("classes")
        table.setAccessibleName("Classes")
        table.setModel(self.model)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        table.setShowGrid(False)
        table.setTabKeyNavigation(False)
        table.setIconSize(QSize(SWATCH, SWATCH))
        header: Any = table.verticalHeader()
        header.hide()
        header.setDefaultSectionSize(ROW)
        header = table.horizontalHeader()
        header.setSectionsClickable(False)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(30)
        header.setFixedHeight(ROW)  # it would tell another one before napari's style has come
        for column in range(len(COLUMNS)):
            stretch = QHeaderView.ResizeMode.Stretch if column == CLASS else QHeaderView.ResizeMode.ResizeToContents
            header.setSectionResizeMode(column, stretch)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        for button in (self.add_button, self.rename_button, self.colour_button, self.remove_button):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        column.addLayout(row)

    def _connect(self) -> None:
        self.table.clicked.connect(lambda index: self._board.choose(self._board.book.classes[index.row()].name))
        self.table.doubleClicked.connect(lambda index: self._recolour() if index.column() == 0 else None)
        self.add_button.clicked.connect(self._add)
        self.rename_button.clicked.connect(lambda: self.table.edit(self.table.currentIndex()))
        self.colour_button.clicked.connect(self._recolour)
        self.remove_button.clicked.connect(self._remove)

    def _add(self) -> None:
        number, added = 1, None
        while added is None:
            added = self._board.book.add(f"Class {number}")
            number += 1
        self._board.choose(added.name)
        self.table.edit(self.table.currentIndex())

    def _recolour(self) -> None:
        found = self._board.book.find(self._board.current)
        if found is None:
            return
        dialog = QColorDialog(QColor(*found.colour), self)
        dialog.setOption(QColorDialog.ColorDialogOption.DontUseNativeDialog)
        dialog.setWindowTitle(f"Colour of {found.name}")
        dialog.colorSelected.connect(
            lambda colour: self._board.book.recolour(found.name, (colour.red(), colour.green(), colour.blue()))
        )
        self._open(dialog)

    def _remove(self) -> None:
        name = self._board.current
        count, _ = self._board.counts().get(same_name(name), (0, 0.0))
        if not count:
            self._board.remove(name)
            return
        regions = f"{count:,} region{'s' if count > 1 else ''}"
        box = QMessageBox(
            QMessageBox.Icon.Question, "Remove a class", f"{regions} of {name} will be deleted with it.", parent=self
        )
        delete: Any = box.addButton(f"Delete {regions}", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        delete.clicked.connect(lambda: self._board.remove(name))
        self._open(box)

    def _open(self, dialog: Any) -> None:
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
        self.asked.emit(dialog)


def swatch(one: DrawnClass) -> QIcon:
    """A square of the colour of a class."""
    picture = QPixmap(SWATCH, SWATCH)
    picture.fill(QColor(*one.colour))
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)  # without, a selected row tints it
    return icon


def area_text(area: float, mpp: tuple[float, float] | None) -> str:
    """An area in level-0 pixels, in mm² or µm² where the size of a pixel is known."""
    if mpp is None:
        return f"{area:,.0f} px²"
    square = area * mpp[0] * mpp[1]
    return f"{square / 1e6:,.2f} mm²" if square >= 1e4 else f"{square:,.0f} µm²"


def _button(name: str, text: str, hint: str) -> QPushButton:
    button = NarrowButton(text)
    button.setObjectName(name)
    button.setToolTip(hint)
    return button
