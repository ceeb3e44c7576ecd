"""Class probabilities as bars, with the mark from which a class is the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtGui import QPainter, QPen
from qtpy.QtWidgets import QGridLayout, QLabel, QProgressBar, QWidget

from napari_wsimil.exports.words import decision_mark, decision_text
from napari_wsimil.widgets.parts import empty
from napari_wsimil.widgets.words import share

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction

__all__ = ["MarkedBar", "ProbabilityBars", "decision_mark", "decision_text"]

BAR_HEIGHT = 14
STEPS = 1000


class MarkedBar(QProgressBar):
    """A bar with a mark across it.

    Parameters
    ----------
    mark
        Where the mark is, 0 to 1; None: nowhere.
    """

    def __init__(self, mark: float | None) -> None:
        super().__init__()
        self.mark = mark
        self.setRange(0, STEPS)
        self.setTextVisible(False)
        self.setFixedHeight(BAR_HEIGHT)

    def paintEvent(self, event: Any) -> None:
        """Draw the bar, then the mark in the colour of text, so that it is seen on the bar and beside it."""
        super().paintEvent(event)
        if self.mark is not None:
            painter = QPainter(self)
            painter.setPen(QPen(self.palette().color(self.foregroundRole()), 2, Qt.PenStyle.DotLine))
            at = round(self.mark * (self.width() - 1))
            painter.drawLine(at, 0, at, self.height())


class ProbabilityBars(QWidget):
    """One row for each class: name, bar, percentage; that of the answer in bold and in the theme's strongest colour."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = QGridLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.rows.setColumnStretch(1, 1)
        self._bars: dict[str, MarkedBar] = {}
        self._answer, self._theme = "", "dark"

    def show_prediction(self, prediction: SlidePrediction) -> None:
        """Draw the bars of a prediction."""
        self._bars = {}
        empty(self.rows)
        mark = decision_mark(prediction)
        for row, (name, probability) in enumerate(prediction.probabilities.items()):
            bar = MarkedBar(mark)
            bar.setValue(round(STEPS * probability))
            bar.setAccessibleName(f"Probability of {name}: {share(probability)}")
            self._bars[name] = bar
            told = f"{name}: {share(probability)}"
            bar.setToolTip(told if mark is None else f"{told}; the dotted line is the decision threshold, {100 * mark:.0f} %")
            labels = QLabel(name), QLabel(share(probability))
            labels[1].setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            for label in labels if name == prediction.predicted_class else ():
                font = label.font()
                font.setBold(True)
                label.setFont(font)
            for column, widget in enumerate((labels[0], bar, labels[1])):
                self.rows.addWidget(widget, row, column)
        self._answer = prediction.predicted_class
        self.colour(self._theme)

    def colour(self, theme: str) -> None:
        """Take the colours of a napari theme."""
        self._theme = theme
        found = get_theme(theme)
        for name, bar in self._bars.items():
            shade = (found.current if name == self._answer else found.highlight).as_hex()
            bar.setStyleSheet(f"QProgressBar::chunk {{ background-color: {shade}; }}")
