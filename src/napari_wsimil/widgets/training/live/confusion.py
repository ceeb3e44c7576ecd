"""How the validation slides are told apart: slides of each class by what they are said to be, as a table of counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

if TYPE_CHECKING:
    from qtpy.QtCore import QPoint

    from napari_wsimil.training.evaluation.judgement import Judgement
    from napari_wsimil.widgets.training.live.colours import Look

NAMES_SHARE = 0.3
"""Width of the names of the classes as a share of the whole."""

GAP = 2.0
FAINTEST, DEEPEST = 0.08, 0.6
"""How strongly a cell is coloured: none of the class's slides, and all of them."""


class ConfusionMatrix(QWidget):
    """A row for each class, a column for what its slides are said to be; right in one colour and wrong in another."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("confusion_matrix")
        self.setAccessibleName("Confusion matrix of the validation slides")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._told: Judgement | None = None
        self._look: Look | None = None

    def show_judgement(self, told: Judgement) -> None:
        """Draw the counts of another epoch."""
        self._told = told
        rows = [self._in_words(row, column) for row, column in self._cells() if told.counts[row, column]]
        self.setAccessibleDescription("; ".join(rows))
        self.updateGeometry()
        self.update()

    def colour(self, look: Look) -> None:
        """Take the colours of a theme."""
        self._look = look
        self.update()

    def sizeHint(self) -> QSize:
        """A line of names above, and a row for each class that holds two lines."""
        count = len(self._told.classes) if self._told else 2
        line = self.fontMetrics().height()
        return QSize(200, round(1.5 * line + count * (2.6 * line if count < 5 else 1.6 * line)))

    def minimumSizeHint(self) -> QSize:
        """As low as it can be read."""
        return QSize(120, self.sizeHint().height())

    def paintEvent(self, _: Any) -> None:
        """Draw names, cells and counts."""
        told, look = self._told, self._look
        if told is None or look is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(look.text))
        for number, name in enumerate(told.classes):
            self._write(painter, self._cell(number, -1), name, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self._write(painter, self._cell(-1, number), name, Qt.AlignmentFlag.AlignCenter)
        painter.setPen(QColor(look.quiet))
        self._write(painter, self._cell(-1, -1), "is ╲ said", Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for row, column in self._cells():
            self._paint_cell(painter, row, column, told, look)

    def event(self, event: Any) -> bool:
        """Say what is below the mouse."""
        if event.type() == QEvent.Type.ToolTip and self._told is not None:
            QToolTip.showText(event.globalPos(), self._at(event.pos()), self)
            return True
        return super().event(event)

    def _paint_cell(self, painter: QPainter, row: int, column: int, told: Judgement, look: Look) -> None:
        count, cell = int(told.counts[row, column]), self._cell(row, column)
        share = count / max(int(told.counts[row].sum()), 1)
        shade = QColor(look.line(0 if row == column else 1))
        shade.setAlphaF(FAINTEST + (DEEPEST - FAINTEST) * share)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(shade)
        painter.drawRoundedRect(cell, 3, 3)
        painter.setPen(QColor(look.text if count else look.quiet))
        font = painter.font()
        font.setBold(count > 0)
        painter.setFont(font)
        line = self.fontMetrics().height()
        if count and cell.height() > 2.2 * line:
            upper, lower = (
                cell.adjusted(0, cell.height() / 2 - line, 0, -cell.height() / 2),
                cell.adjusted(0, cell.height() / 2, 0, 0),
            )
            painter.drawText(upper, Qt.AlignmentFlag.AlignCenter, str(count))
            font.setBold(False)
            painter.setFont(font)
            painter.drawText(
                lower.adjusted(0, 0, 0, line - lower.height()), Qt.AlignmentFlag.AlignCenter, f"{100 * share:.0f} %"
            )
        else:
            painter.drawText(cell, Qt.AlignmentFlag.AlignCenter, str(count))
        font.setBold(False)
        painter.setFont(font)

    def _write(self, painter: QPainter, where: QRectF, text: str, align: Any) -> None:
        inside = where.adjusted(0, 0, -4, 0)
        painter.drawText(inside, align, self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(inside.width())))

    def _cells(self) -> list[tuple[int, int]]:
        count = len(self._told.classes) if self._told else 0
        return [(row, column) for row in range(count) for column in range(count)]

    def _cell(self, row: int, column: int) -> QRectF:
        """Where a cell lies; row or column -1 holds the names."""
        count = len(self._told.classes) if self._told else 1
        left, top = NAMES_SHARE * self.width(), 1.5 * self.fontMetrics().height()
        width, height = (self.width() - left) / count, (self.height() - top) / count
        x, across = (0.0, left) if column < 0 else (left + column * width, width)
        y, down = (0.0, top) if row < 0 else (top + row * height, height)
        return QRectF(x, y, across - GAP, down - GAP)

    def _at(self, point: QPoint) -> str:
        for row, column in self._cells():
            if self._cell(row, column).contains(point.x(), point.y()):
                return self._in_words(row, column)
        if self._told is None:
            return ""
        return "Rows: the class that slides have. Columns: what they are said to be."

    def _in_words(self, row: int, column: int) -> str:
        told = self._told
        if told is None:
            return ""
        count, whole = int(told.counts[row, column]), int(told.counts[row].sum())
        return f"{count} of {whole} slides of {told.classes[row]} are said to be {told.classes[column]}"
