"""What came out: class probabilities, cost, and the regions to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_wsimil.widgets.hover import Lookup
from napari_wsimil.widgets.layers import top_regions
from napari_wsimil.widgets.parts import empty, text_label
from napari_wsimil.widgets.words import calibration_text, cost_text, share

if TYPE_CHECKING:
    from napari_wsimil.inference import PatchScores, SlidePrediction

ROWS_SHOWN = 5


class ResultPanel(QWidget):
    """One prediction in numbers.

    Signals
    -------
    region_clicked
        Rank - 1 of the top region that was clicked.
    """

    region_clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.regions: PatchScores | None = None
        self.bars = QGridLayout()
        self.bars.setColumnStretch(1, 1)
        self.cost = text_label()
        self.region_list = QListWidget()
        self.region_list.setObjectName("top_regions")
        self.region_list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.region_list.setToolTip("Click a region to look at it")
        self.region_list.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.export_button = QPushButton("Export…")
        self.export_button.setObjectName("export")
        self.export_button.setToolTip("Save as QuPath GeoJSON, as a CSV table, or as a prediction that opens again in napari")
        self._lay_out()
        self.region_list.itemClicked.connect(self._clicked)
        self.region_list.itemActivated.connect(self._clicked)

    def show_prediction(self, prediction: SlidePrediction, top: int) -> None:
        """Fill the panel."""
        self._show_bars(prediction)
        told = [cost_text(prediction), *calibration_text(prediction), *prediction.provenance.get("notices", ())]
        self.cost.setText("\n".join(told))
        self.regions = top_regions(prediction, top) if prediction.attention else None
        self._list_regions(prediction)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self.bars)
        column.addWidget(self.cost)
        head = QHBoxLayout()
        self.heading = QLabel("Regions with most attention")
        head.addWidget(self.heading, 1)
        column.addLayout(head)
        column.addWidget(self.region_list, 1)
        column.addWidget(self.export_button)

    def _show_bars(self, prediction: SlidePrediction) -> None:
        empty(self.bars)
        for row, (name, probability) in enumerate(prediction.probabilities.items()):
            bar = QProgressBar()
            bar.setRange(0, 1000)
            bar.setValue(round(1000 * probability))
            bar.setTextVisible(False)
            bar.setFixedHeight(12)
            bar.setAccessibleName(f"Probability of {name}")
            labels = QLabel(name), QLabel(share(probability))
            labels[1].setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if name == prediction.predicted_class:
                for label in labels:
                    font = label.font()
                    font.setBold(True)
                    label.setFont(font)
            for column, widget in enumerate((labels[0], bar, labels[1])):
                self.bars.addWidget(widget, row, column)

    def _list_regions(self, prediction: SlidePrediction) -> None:
        self.region_list.clear()
        regions = self.regions
        for widget in (self.heading, self.region_list):
            widget.setVisible(regions is not None)
        if regions is None:
            return
        finest = min(prediction.instances, default=None)
        instances = None if finest is None else Lookup(prediction.instances[finest])
        for rank, (x0, y0, x1, y1) in enumerate(regions.boxes(), start=1):
            text = f"{rank} · attention {regions.values[rank - 1]:.3g}"
            row = instances.row((x0 + x1) / 2, (y0 + y1) / 2) if instances is not None else None
            if instances is not None and row is not None:
                value = instances.scores.values[row]
                value = value[prediction.classes.index(prediction.positive_class)] if value.ndim else value
                text += f" · {prediction.positive_class} {share(float(value))}"
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, rank - 1)
            self.region_list.addItem(item)
        height = self.region_list.sizeHintForRow(0) if self.region_list.count() else 20
        self.region_list.setMinimumHeight(height * min(ROWS_SHOWN, len(regions)) + 8)
        self.region_list.setMaximumHeight(height * len(regions) + 8)

    def _clicked(self, item: QListWidgetItem) -> None:
        self.region_clicked.emit(item.data(Qt.ItemDataRole.UserRole))
