"""A comparison in numbers and plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_wsimil.widgets.compare.words import figures_text, row_texts
from napari_wsimil.widgets.parts import only_to_read, say, text_label

if TYPE_CHECKING:
    from napari_wsimil.inference.comparison import Comparison

HEADINGS = ("", "First", "Second", "Difference")
TIPS = (
    "",
    "",
    "",
    "First minus second; of probabilities in percentage points",
)


class Figures(QWidget):
    """The verdict, the table of both, and the figures of agreement."""

    def __init__(self) -> None:
        super().__init__()
        self.verdict = text_label()
        self.verdict.setObjectName("compare_verdict")
        font = self.verdict.font()
        font.setBold(True)
        self.verdict.setFont(font)
        self.details = text_label()
        self.details.setObjectName("compare_details")
        self.details.setToolTip(
            "Rank correlation (Spearman): 1 where both order the places alike, 0 where they have nothing in common, "
            "−1 where one is the reverse of the other"
        )
        self.table = QTableWidget(0, len(HEADINGS))
        self._set_up_table()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.verdict, self.details, self.table):
            column.addWidget(part)

    def show_comparison(self, comparison: Comparison) -> None:
        """Fill all of it."""
        say(self.verdict, comparison.verdict)
        say(self.details, figures_text(comparison))
        rows = comparison.table()
        self.table.setRowCount(len(rows))
        for row, line in enumerate(rows):
            for column, text in enumerate(row_texts(line)):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                item.setToolTip(line.what if not column else TIPS[column])
                self.table.setItem(row, column, item)
        self.table.resizeRowsToContents()
        frame = 2 * self.table.frameWidth()
        heights = sum(self.table.rowHeight(row) for row in range(len(rows)))
        header: Any = self.table.horizontalHeader()
        self.table.setFixedHeight(heights + header.sizeHint().height() + frame)

    def _set_up_table(self) -> None:
        table = self.table
        table.setObjectName("compare_table")
        table.setAccessibleName("Both predictions in numbers")
        table.setToolTip("Probabilities are of the whole slide")
        table.setHorizontalHeaderLabels(HEADINGS)
        header: Any = table.verticalHeader()
        header.hide()
        only_to_read(table)
        table.setTextElideMode(Qt.TextElideMode.ElideRight)
        table.setTabKeyNavigation(False)
        header = table.horizontalHeader()
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
