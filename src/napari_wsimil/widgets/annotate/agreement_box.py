"""How well the prediction agrees with what is drawn: AUC, Dice at a threshold, and each region, a click away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QPushButton, QTableView, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from napari_wsimil.inference.agreement import judge, offered
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import form, narrow_combo, say, text_label

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.agreement import Agreement, Judged
    from napari_wsimil.inference.region_agreement import RegionAgreement
    from napari_wsimil.widgets.annotate.board import Board

COLUMNS = ("Region", "Patches", "Mean", "Found")
HINTS = (
    "Click a region to fly there",
    "Patches that the region covers at least by half",
    "Mean score of the patches in the region",
    "Share of the region whose score reaches the threshold",
)
WIDEST = "Threshold"
BY = {"instances": "Class probability", "attention": "Attention (percentile)"}
UNDRAWN = (
    (
        "As drawn",
        None,
        "Patches that no region touches are not of the class where nothing but the class was drawn; else not judged",
    ),
    ("Not of the class", True, "Patches that no region touches are known not to be of the class"),
    ("Not judged", False, "Only patches that were drawn are judged"),
)
NO_PREDICTION = "Predict this slide or open a saved prediction, and draw regions, to compare the two."
MIDDLE = Qt.AlignmentFlag.AlignVCenter


class RegionTable(QAbstractTableModel):
    """One row per region."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.regions: tuple[RegionAgreement, ...] = ()

    def show_regions(self, regions: tuple[RegionAgreement, ...]) -> None:
        """Show these."""
        same = len(regions) == len(self.regions)
        if same:
            self.regions = regions
            self.dataChanged.emit(self.index(0, 0), self.index(len(regions) - 1, len(COLUMNS) - 1))
            return
        self.beginResetModel()
        self.regions = regions
        self.endResetModel()

    def rowCount(self, parent: Any = None) -> int:
        """One row per region."""
        return 0 if parent is not None and parent.isValid() else len(self.regions)

    def columnCount(self, parent: Any = None) -> int:
        """Name, patches, mean, share."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        """Titles, and what they mean."""
        if orientation != Qt.Orientation.Horizontal or role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        return (COLUMNS if role == Qt.ItemDataRole.DisplayRole else HINTS)[section]

    def data(self, index: Any, role: int = 0) -> Any:
        """What a cell shows."""
        one = self.regions[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            share = "–" if one.share_above is None else f"{one.share_above:.0%}"
            return (f"{index.row() + 1}  {one.name}", f"{one.patches:,}", number(one.mean_score), share)[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column():
            return int(Qt.AlignmentFlag.AlignRight | MIDDLE)
        return HINTS[0] if role == Qt.ItemDataRole.ToolTipRole else None


class AgreementBox(QWidget):
    """Choices, a button, the result in words, and a table of regions.

    Parameters
    ----------
    board
        What is drawn.

    Signals
    -------
    compared
        With the `Agreement` and the prediction, after the button was pressed; `rest` says what was told of undrawn patches.
    region_chosen
        x0, y0, x1, y1 of a region that was clicked, in level-0 pixels.
    """

    compared = Signal(object, object)
    region_chosen = Signal(object)

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board
        self._prediction: SlidePrediction | None = None
        self.judged: Judged | None = None
        self.result: Agreement | None = None
        self.rest: bool | None = None
        self.class_combo = narrow_combo("agreement_class")
        self.by_combo = narrow_combo("agreement_by")
        self.rest_combo = narrow_combo("agreement_undrawn")
        self.threshold: Any = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.compare_button = QPushButton("Compare")
        self.words, self.hint = text_label(), text_label()
        self.problem = text_label()
        self.model = RegionTable(self)
        self.table = QTableView()
        self._set_up()
        self._lay_out()
        self._connect()
        self.show_prediction(None)

    def show_prediction(self, prediction: SlidePrediction | None) -> None:
        """Offer what a prediction can be judged by."""
        self._prediction = prediction
        by = offered(prediction) if prediction is not None else []
        self.class_combo.clear()
        self.by_combo.clear()
        if prediction is not None and by:
            self.class_combo.addItems(sorted(prediction.classes, key=lambda name: name != prediction.positive_class))
            for name in by:
                self.by_combo.addItem(BY[name], name)
        for control in (self.class_combo, self.by_combo, self.rest_combo, self.threshold, self.compare_button):
            control.setEnabled(bool(by))
        self._forget("")
        say(self.hint, "" if by else NO_PREDICTION)

    def drawn_changed(self) -> None:
        """Say that the result is of what was drawn before."""
        if self.judged is not None:
            self.compare_button.setText("Compare again")
            say(self.hint, "Regions changed since; press Compare again.")

    def compare(self) -> None:
        """Judge the prediction by what is drawn now, in a worker."""
        drawn, prediction, slide = self._board.drawn(), self._prediction, self._board.slide
        if drawn is None or prediction is None or slide is None:
            return
        chosen: dict[str, Any] = {"class_name": self.class_combo.currentText(), "by": self.by_combo.currentData()}
        chosen["rest"] = self.rest = self.rest_combo.currentData()
        self.compare_button.setEnabled(False)
        say(self.problem, "")
        say(self.hint, "Comparing…")
        path = Path("this slide")
        key = (prediction, str(chosen))
        read_in_background(key, lambda: judge(prediction, drawn.annotations(path), **chosen), self._show)

    def _set_up(self) -> None:
        self.class_combo.setAccessibleName("Class to compare")
        self.by_combo.setAccessibleName("Scores to compare")
        self.rest_combo.setAccessibleName("Patches that no region touches")
        for row, (text, told, hint) in enumerate(UNDRAWN):
            self.rest_combo.addItem(text, told)
            self.rest_combo.setItemData(row, hint, Qt.ItemDataRole.ToolTipRole)
        self.threshold.setObjectName("agreement_threshold")
        self.threshold.setAccessibleName("Threshold")
        self.threshold.setRange(0.0, 1.0)
        self.threshold.setDecimals(2)
        self.threshold.setSingleStep(0.05)
        self.threshold.setValue(0.5)
        self.threshold.setToolTip("From which score on a patch counts as found")
        self.compare_button.setObjectName("compare_with_prediction")
        self.compare_button.setToolTip("Compare what is drawn with what the model saw, patch by patch")
        self.words.setObjectName("agreement_words")
        self.hint.setObjectName("agreement_hint")
        self.problem.setObjectName("agreement_problem")
        table = self.table
        table.setObjectName("agreement_regions")
        table.setAccessibleName("Regions")
        table.setModel(self.model)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setShowGrid(False)
        table.setTabKeyNavigation(False)
        table.setMinimumHeight(140)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        rows: Any = table.verticalHeader()
        rows.hide()
        rows.setDefaultSectionSize(24)
        header: Any = table.horizontalHeader()
        header.setHighlightSections(False)
        for column in range(len(COLUMNS)):
            mode = QHeaderView.ResizeMode.ResizeToContents if column else QHeaderView.ResizeMode.Stretch
            header.setSectionResizeMode(column, mode)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        rows = [("Class", self.class_combo), ("By", self.by_combo), ("Undrawn", self.rest_combo), ("Threshold", self.threshold)]
        column.addLayout(form(rows, WIDEST))
        column.addWidget(self.compare_button)
        column.addWidget(self.hint)
        column.addWidget(self.problem)
        column.addWidget(self.words)
        column.addWidget(self.table)

    def _connect(self) -> None:
        self.compare_button.clicked.connect(self.compare)
        self.threshold.valueChanged.connect(self._show_at)
        for combo in (self.class_combo, self.by_combo, self.rest_combo):
            combo.activated.connect(lambda _: self.compare() if self.judged is not None else None)
        self.table.clicked.connect(self._choose)
        self.table.activated.connect(self._choose)

    def _choose(self, index: Any) -> None:
        self.region_chosen.emit(self.model.regions[index.row()].bounds)

    def _show(self, done: tuple[Any, Any]) -> None:
        (prediction, _), found = done
        if prediction is not self._prediction:
            return
        self.compare_button.setEnabled(True)
        self.compare_button.setText("Compare")
        if isinstance(found, Exception):
            self._forget(str(found))
            return
        say(self.hint, "")
        say(self.problem, "")
        self.judged = found
        self._show_at()
        self.compared.emit(self.result, prediction)

    def _show_at(self, _: Any = None) -> None:
        """What the threshold gives."""
        if self.judged is None:
            return
        self.result = self.judged.at(round(self.threshold.value(), 2))
        say(self.words, words(self.result))
        self.model.show_regions(self.result.regions)
        self.table.setVisible(bool(self.result.regions))

    def _forget(self, problem: str) -> None:
        self.judged = self.result = None
        self.model.show_regions(())
        self.table.hide()
        say(self.words, "")
        say(self.hint, "")
        say(self.problem, problem)
        self.compare_button.setText("Compare")


def words(found: Agreement) -> str:
    """The result in a few lines."""
    best = "" if found.best_dice is None else f" (best {found.best_dice:.2f} at {found.best_threshold:.2f})"
    lines = [
        f"Patch AUC {number(found.auc)} · Dice {number(found.dice)}{best}",
        f"Sensitivity {number(found.sensitivity)} · specificity {number(found.specificity)}",
        f"{found.positive:,} patches {found.class_name}, {found.negative:,} not, {found.ignored:,} not judged",
        found.note,
    ]
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Two decimals, or a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"
