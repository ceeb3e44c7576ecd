"""What came out: class probabilities, what they cost, and the ways to look closer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import heading, text_label
from napari_wsimil.widgets.probability_bars import ProbabilityBars, decision_text
from napari_wsimil.widgets.words import calibration_text, cost_text, saving_text, unbroken

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction

CLOSER = {
    "Regions": "Pictures of the patches that mattered most, and those like them",
    "Zoom inspector": "The place under the cursor at all magnifications, side by side",
    "Compare": "Two models, two magnifications, or before and after fine-tuning",
    "Annotate": "Draw regions, load those of QuPath or ASAP, and see how well the model agrees",
}
"""Dock -> what a user finds there."""

CALIBRATION_TIP = (
    "A calibrated probability of 80 % is right in about 80 of 100 such slides. "
    "An uncalibrated one puts slides in order; it is no chance to rely on."
)


class ResultPanel(QWidget):
    """One prediction in numbers.

    Signals
    -------
    closer
        Name of the dock that the user wants.
    """

    closer = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.bars = ProbabilityBars()
        self.decision = text_label()
        self.decision.setObjectName("decision")
        self.calibration = text_label()
        self.calibration.setObjectName("calibration")
        self.calibration.setToolTip(CALIBRATION_TIP)
        self.cost = text_label()
        self.cost.setObjectName("cost")
        self.export_button = QPushButton("Export…")
        self.export_button.setObjectName("export")
        self.export_button.setToolTip(
            "Save for QuPath or ASAP, as a table, an OME-TIFF, or as a prediction that opens again in napari"
        )
        self.figure_button = QPushButton("Figure…")
        self.figure_button.setObjectName("figure")
        self.figure_button.setToolTip("The view or the whole slide as a picture with legend and scale bar: PNG, TIFF or SVG")
        self.report_button = QPushButton("Report…")
        self.report_button.setObjectName("report")
        self.report_button.setToolTip("One page with heatmap, top regions, probabilities and where they come from: HTML or PDF")
        self.buttons = QHBoxLayout()
        self.closer_buttons = {name: QPushButton(name) for name in CLOSER}
        self._lay_out()

    def show_prediction(self, prediction: SlidePrediction) -> None:
        """Fill the panel."""
        self.bars.show_prediction(prediction)
        self.decision.setText(unbroken(decision_text(prediction)))
        self.calibration.setText(calibration_text(prediction))
        told = [cost_text(prediction), saving_text(prediction), *prediction.provenance.get("notices", ())]
        self.cost.setText(unbroken("\n".join(filter(None, told))))

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (heading("Result"), self.bars, self.decision, self.calibration, self.cost):
            column.addWidget(part)
        grid = QGridLayout()
        for place, (name, button) in enumerate(self.closer_buttons.items()):
            button.setObjectName(name.lower().replace(" ", "_"))
            button.setToolTip(CLOSER[name])
            button.clicked.connect(lambda _=False, name=name: self.closer.emit(name))
            grid.addWidget(button, place // 2, place % 2)
        for place, button in enumerate((self.figure_button, self.report_button)):
            grid.addWidget(button, len(CLOSER) // 2, place)
        column.addLayout(grid)
        self.buttons.addWidget(self.export_button, 1)
        column.addLayout(self.buttons)
