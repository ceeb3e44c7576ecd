"""ROC curves of the validation slides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.widgets.training.live.lines import Line
from napari_wsimil.widgets.training.live.plot import Plot

if TYPE_CHECKING:
    from napari_wsimil.training.evaluation.judgement import Judgement

HEIGHT = 180
MOST_CLASSES = 5
QUIET = 5
"""Rank of the colour of what is no class."""


class RocPlot(Plot):
    """Sensitivity over the share of false alarms; one curve for two classes, else one for each."""

    def __init__(self) -> None:
        super().__init__("ROC curve", "roc_plot", height=HEIGHT)
        self.item.setLabel("bottom", "1 − specificity")
        self.item.setLabel("left", "Sensitivity")
        self.item.setXRange(0, 1, padding=0.02)
        self.item.setYRange(0, 1, padding=0.02)
        self.canvas.setToolTip("How many slides of the class are found (up) at how many false alarms (right).")

    def show_judgement(self, told: Judgement) -> None:
        """Draw the curves of another epoch."""
        chance = Line("", (0.0, 1.0), (0.0, 1.0), QUIET, dashed=True, faint=True)
        curves = [
            Line(f"{curve.name}, AUC {curve.auc:.3f}", curve.false.tolist(), curve.true.tolist(), rank, dashed=rank % 2 == 1)
            for rank, curve in enumerate(told.curves[:MOST_CLASSES])
        ]
        self.show_lines([chance, *curves])
