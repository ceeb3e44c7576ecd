"""Before and after as a table, and what is to become of the new model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_wsimil.widgets.parts import heading, only_to_read, text_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.widgets.training.correct.figures import Line

HEADINGS = ("", "Before", "After")


class OutcomeBox(QWidget):
    """A table, a sentence or two, and two buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.table = QTableWidget(0, len(HEADINGS))
        self.words = text_label()
        self.compare_button = QPushButton("Side by side")
        self.keep_button = QPushButton("Keep")
        self.discard_button = QPushButton("Discard")
        self._set_up()
        row = QHBoxLayout()
        for button in (self.keep_button, self.discard_button, self.compare_button):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Before and after"))
        column.addWidget(self.table)
        column.addWidget(self.words)
        column.addLayout(row)

    def show_lines(self, lines: Sequence[Line], words: str) -> None:
        """Fill all of it."""
        self.words.setText(words)
        table = self.table
        table.setRowCount(len(lines))
        table.setVisible(bool(lines))
        for row, line in enumerate(lines):
            for column, text in enumerate(line):
                item = QTableWidgetItem(text)
                item.setToolTip(line[0])
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                table.setItem(row, column, item)
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        """Another width: the first column wraps elsewhere."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        table = self.table
        table.resizeRowsToContents()
        header: Any = table.horizontalHeader()
        heights = sum(table.rowHeight(row) for row in range(table.rowCount()))
        table.setFixedHeight(heights + header.sizeHint().height() + 2 * table.frameWidth())

    def _set_up(self) -> None:
        self.words.setObjectName("correct_outcome")
        self.keep_button.setObjectName("correct_keep")
        self.keep_button.setToolTip("Put the new model into the list of models, and use it from now on; can be undone")
        self.discard_button.setObjectName("correct_discard")
        self.discard_button.setToolTip("Stay with the old model; can be undone")
        self.compare_button.setObjectName("correct_compare")
        self.compare_button.setToolTip("Show before and after side by side on the slide, in the dock Compare")
        table = self.table
        table.setObjectName("correct_table")
        table.setAccessibleName("Before and after")
        table.setHorizontalHeaderLabels(HEADINGS)
        rows: Any = table.verticalHeader()
        rows.hide()
        only_to_read(table)
        table.setTabKeyNavigation(False)
        table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        header: Any = table.horizontalHeader()
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
