"""Figures with their intervals, in three columns of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_wsimil.widgets.parts import empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.training.runs.outcome import Figure

INTERVAL = "In 95 of 100 such sets of slides the figure would lie in an interval made like this"


class FigureTable(QWidget):
    """What it is, the number, and between which numbers it may be."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("run_figures")
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setHorizontalSpacing(8)  # with more, an interval does not fit into a narrow dock
        self._grid.setColumnStretch(2, 1)

    def fill(self, figures: Sequence[Figure]) -> None:
        """Show these instead of those before."""
        empty(self._grid)
        for row, figure in enumerate(figures):
            for column, text in enumerate((figure.title, figure.value, figure.interval)):
                label = QLabel(text)
                label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
                label.setToolTip(figure.note or (INTERVAL if column == 2 and text else ""))
                if column == 1:
                    label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self._grid.addWidget(label, row, column)
