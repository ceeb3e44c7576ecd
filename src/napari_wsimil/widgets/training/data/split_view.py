"""How many slides of which class learn, choose the epoch and are tested on; and how that is dealt out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QPainter, QPalette
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QSpinBox, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_wsimil.training.data.drafting import Count, Shares
from napari_wsimil.widgets.parts import NarrowButton, empty, heading, say, text_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.training.data.drafting import SplitCount

MOST_CLASSES = 8
"""Classes that get a line of their own; the others are summed up."""
MOST_SHARE = 45
"""Per cent."""


class CountBar(QLabel):
    """A number on a bar that is as long as its share of the largest one."""

    def __init__(self, count: Count, largest: int, what: str) -> None:
        super().__init__(f"{count.slides:,}" if count.slides else "–")
        self.count, self._share = count, count.slides / max(largest, 1)
        patients = "" if count.patients == count.slides else f" of {count.patients:,} patient{'s' * (count.patients != 1)}"
        self.setToolTip(f"{what}: {count.slides:,} slide{'s' * (count.slides != 1)}{patients}")
        self.setAccessibleName(self.toolTip())
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def paintEvent(self, event: Any) -> None:
        """The bar in a faint colour of the text, the number on it."""
        painter = QPainter(self)
        colour = self.palette().color(QPalette.ColorRole.WindowText)
        colour.setAlphaF(0.18)
        painter.fillRect(0, 1, round(self._share * self.width()), self.height() - 2, colour)
        painter.end()
        super().paintEvent(event)


class SplitView(QWidget):
    """A small table of classes and sides, the shares, and a button to deal again.

    Signals
    -------
    dealt
        The `Shares` to deal by from now on.
    """

    dealt = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._shares = Shares()
        self.filled = False
        """Whether there is anything to show."""
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(4)
        self._grid.setVerticalSpacing(2)
        self.note = text_label()
        self.note.setObjectName("split_note")
        self.validation = _percent("validation_share", "Share of the slides that choose the best epoch")
        self.test = _percent("test_share", "Share of the slides that are tested on once, at the end; 0: none")
        self.again_button = NarrowButton("Deal again")
        self.again_button.setObjectName("deal_again")
        self.again_button.setToolTip(
            "Deal the slides out another way: patients stay together, and each side gets its share of each class"
        )
        top = QHBoxLayout()
        top.setContentsMargins(0, 0, 0, 0)
        top.addWidget(heading("Split"), 1)
        top.addWidget(self.again_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(top)
        column.addLayout(self._grid)
        column.addWidget(self.note)
        for name, field in (("Validation", self.validation), ("Test", self.test)):
            field.setParent(self)
            field.setAccessibleName(f"{name} share")
            field.hide()
        self.validation.valueChanged.connect(self._deal_by_shares)
        self.test.valueChanged.connect(self._deal_by_shares)
        self.again_button.clicked.connect(self._deal_again)

    def show_sides(self, sides: Sequence[SplitCount], classes: Sequence[str], shares: Shares, *, dealt: bool) -> None:
        """Show how the slides are spread."""
        self._shares, self.filled = shares, bool(classes)
        for field in (self.validation, self.test):
            self._grid.removeWidget(field)
        empty(self._grid)
        shown = list(classes[:MOST_CLASSES])
        largest = max((_of(side, label).slides for side in sides for label in classes), default=1)
        for column, side in enumerate(sides, 1):
            self._grid.addWidget(_title(side.name or "no side", side.whole), 0, column)
            self._grid.setColumnStretch(column, 2)
            self._grid.setColumnMinimumWidth(column, 60)
        self._grid.setColumnStretch(0, 3)
        for row, label in enumerate(shown, 1):
            name = QElidingLabel(label)
            name.setToolTip(label)
            name.setMinimumWidth(60)
            self._grid.addWidget(name, row, 0)
            for column, side in enumerate(sides, 1):
                self._grid.addWidget(CountBar(_of(side, label), largest, f"{label}, {side.name or 'no side'}"), row, column)
        self._show_shares(len(shown) + 1, sides)
        self._tell(len(classes) - len(shown), dealt=dealt)

    def _show_shares(self, row: int, sides: Sequence[SplitCount]) -> None:
        """The shares below the sides that they are of; none where the manifest says folds."""
        shares = self._shares
        fields = {"validation": (self.validation, shares.validation), "test": (self.test, shares.test)}
        names = [side.name for side in sides]
        for name, (field, share) in fields.items():
            field.setVisible(name in names)
            if not field.hasFocus() or field.value() == round(100 * share):
                field.blockSignals(True)
                field.setValue(round(100 * share))
                field.blockSignals(False)
            if name in names:
                self._grid.addWidget(field, row, names.index(name) + 1, Qt.AlignmentFlag.AlignCenter)
        if "validation" in names:
            title = QLabel("Share")
            title.setToolTip("How much of the slides is dealt to each side")
            self._grid.addWidget(title, row, 0)
            rest = QLabel(f"{100 - self.validation.value() - self.test.value()} %")
            rest.setAlignment(Qt.AlignmentFlag.AlignCenter)
            self._grid.addWidget(rest, row, names.index("train") + 1)

    def _tell(self, left: int, *, dealt: bool) -> None:
        parts = [f"and {left:,} more classes."] if left > 0 else []
        if not dealt:
            parts.append("The sides are as chosen by hand or by the manifest; Deal again replaces them.")
        say(self.note, " ".join(parts))

    def _deal_by_shares(self) -> None:
        self.dealt.emit(Shares(self.validation.value() / 100, self.test.value() / 100, self._shares.seed))

    def _deal_again(self) -> None:
        self.dealt.emit(Shares(self.validation.value() / 100, self.test.value() / 100, self._shares.seed + 1))


def _of(side: SplitCount, label: str) -> Count:
    return side.classes.get(label, Count(0, 0))


def _title(name: str, whole: Count) -> QLabel:
    label = QLabel(name)
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    label.setToolTip(f"{name}: {whole.slides:,} slides of {whole.patients:,} patients")
    return label


def _percent(name: str, tip: str) -> QSpinBox:
    field = QSpinBox()
    field.setObjectName(name)
    field.setRange(0, MOST_SHARE)
    field.setSuffix(" %")
    field.setToolTip(tip)
    field.setKeyboardTracking(False)
    field.setSingleStep(5)
    field.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
    field.setAlignment(Qt.AlignmentFlag.AlignCenter)
    # napari's style keeps room for the arrows that it does not draw here
    field.setStyleSheet("QSpinBox { min-width: 30px; padding: 1px 2px; }")
    field.setMaximumWidth(60)
    return field
