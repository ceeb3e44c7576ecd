"""What the regions are ranked by, which end of the ranking is shown, how many, and how large."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QSlider, QSpinBox, QWidget
from superqt.utils import QFlowLayout

from napari_wsimil.widgets.layers import TOP_REGIONS
from napari_wsimil.widgets.parts import combo_item, narrow_combo
from napari_wsimil.widgets.regions.view import LARGEST, SMALLEST, USUAL
from napari_wsimil.widgets.regions.words import kind_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.inference.ranking import Ranking

MOST_REGIONS = 100
"""More pictures nobody looks through, and more boxes make napari slow."""

WIDEST = 180
"""Width in px beyond which the entry of a list is shortened."""

BESIDE = 60
"""Width in px of a list beside its longest entry: arrow and margins."""

ENDS = (
    ("Highest first", "The regions that speak most for it"),
    ("Lowest first", "The regions that speak least for it: what the model passed over"),
)
BY_TIPS = {
    "attention": "How much the model looked at a patch for its decision",
    "class attention": "How much the model looked at a patch for one class",
    "instances": "The probability of a class that the model gives a patch by itself",
    "anchors": "The patches that stand for their regions, in the model's own order",
    "zoom": "The patches that the model chose to look at more closely, in its own order",
    "uncertainty": "Where the model is least sure of the class of a patch: worth a label",
    "disagreement": "Where the teacher's attention and the student's probability are furthest apart: worth a label",
}


@dataclass(frozen=True)
class Choice:
    """What the user wants to see: `count` patches by a ranking (None where there is none), from its high or its low end."""

    ranking: Ranking | None
    count: int
    lowest: bool


class RankingControls(QWidget):
    """The choices, in as many rows as the width needs.

    Signals
    -------
    changed
        Another choice.
    side_changed
        Carries the width of the pictures in px.
    """

    changed = Signal()
    side_changed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._rankings: list[Ranking] = []
        self.by = narrow_combo("rank_by")
        self.class_name = narrow_combo("rank_class")
        self.end = narrow_combo("rank_end")
        self.count = QSpinBox()
        self.side = QSlider(Qt.Orientation.Horizontal)
        self.similar_button = QPushButton("Find similar")
        self.save_button = QPushButton("Save pictures…")
        self.back_button = QPushButton("Back")
        self.what = QLabel()
        self._name_parts()
        self._lay_out()
        self.set_similar(None)
        self._connect()

    @property
    def choice(self) -> Choice:
        """What is chosen now."""
        found = [one for one in self._of_kind() if one.class_name in (None, self.class_name.currentData())]
        return Choice(found[0] if found else None, self.count.value(), self.end.currentIndex() == 1)

    def offer(self, rankings: Sequence[Ranking]) -> None:
        """Offer these, and keep to what is chosen where it is still there."""
        before = self.choice.ranking
        self._rankings = list(rankings)
        kinds = list(dict.fromkeys((one.by, one.mpp) for one in rankings))
        with QSignalBlocker(self.by):
            self.by.clear()
            for row, (by, mpp) in enumerate(kinds):
                one = next(one for one in rankings if (one.by, one.mpp) == (by, mpp))
                self.by.addItem(kind_text(one, sum(kind == by for kind, _ in kinds)), (by, mpp))
                combo_item(self.by, row).setToolTip(BY_TIPS.get(by, ""))
            if before is not None and (before.by, before.mpp) in kinds:
                self.by.setCurrentIndex(kinds.index((before.by, before.mpp)))
        self._offer_classes(before.class_name if before is not None else None)

    def choose(self, by: str) -> bool:
        """Choose what to rank by, highest first; returns whether it is offered."""
        for row in range(self.by.count()):
            if self.by.itemData(row)[0] == by:
                self.end.setCurrentIndex(0)
                self.by.setCurrentIndex(row)
                return True
        return False

    def set_similar(self, rank: int | None, tip: str = "") -> None:
        """Say what the regions are like, and offer the way back; or, where that is None, offer the rankings."""
        self.what.setText("" if rank is None else f"Similar to #{rank}")
        self.what.setToolTip(tip)
        self._show_parts()

    def _show_parts(self) -> None:
        """Lay out what can be chosen now; a hidden part would leave a gap."""
        similar, classes = bool(self.what.text()), self.class_name.count() > 1
        hidden = (
            [self.by, self.class_name] if similar else [self.back_button, self.what, *([] if classes else [self.class_name])]
        )
        for combo in (self.by, self.class_name, self.end):
            longest = max(
                (combo.fontMetrics().horizontalAdvance(combo.itemText(row)) for row in range(combo.count())), default=0
            )
            combo.setFixedWidth(min(WIDEST, longest + BESIDE))
        while self._flow.count():
            self._flow.takeAt(0)
        for part in self._parts:
            part.setVisible(part not in hidden)
            if part not in hidden:
                self._flow.addWidget(part)
        self._flow.invalidate()
        self.updateGeometry()

    def _of_kind(self) -> list[Ranking]:
        return [one for one in self._rankings if (one.by, one.mpp) == self.by.currentData()]

    def _offer_classes(self, before: str | None = None) -> None:
        names = [one.class_name for one in self._of_kind() if one.class_name is not None]
        with QSignalBlocker(self.class_name):
            self.class_name.clear()
            for name in names:
                self.class_name.addItem(name, name)
            if before in names:
                self.class_name.setCurrentIndex(names.index(before))
        self._show_parts()

    def _follow_count(self, count: int) -> None:
        self.count.setSuffix(" region" if count == 1 else " regions")

    def _name_parts(self) -> None:
        for row, (text, tip) in enumerate(ENDS):
            self.end.addItem(text)
            combo_item(self.end, row).setToolTip(tip)
        self.count.setRange(1, MOST_REGIONS)
        self.count.setValue(TOP_REGIONS)
        self._follow_count(TOP_REGIONS)
        self.count.setKeyboardTracking(False)
        self.side.setRange(SMALLEST, LARGEST)
        self.side.setValue(USUAL)
        self.side.setPageStep(32)
        self.side.setFixedWidth(90)
        for part, name, tip in (
            (self.by, "rank_by", "What the regions are ranked by"),
            (self.class_name, "rank_class", "The class that is meant"),
            (self.end, "rank_end", "Which end of the ranking is shown"),
            (self.count, "region_count", "How many regions are shown and get a numbered box on the slide"),
            (self.side, "picture_size", "Size of the pictures"),
            (
                self.similar_button,
                "find_similar",
                "Find the patches of this slide that look most like the chosen one to the model",
            ),
            (
                self.save_button,
                "save_pictures",
                "Save the shown regions as pictures, as the model saw them, and a table",
            ),
            (self.back_button, "back", "Back to the ranking"),
        ):
            part.setObjectName(name)
            part.setAccessibleName(tip)
            part.setToolTip(tip)
        self.similar_button.setEnabled(False)
        self.what.setObjectName("similar_to")

    def _lay_out(self) -> None:
        flow = self._flow = QFlowLayout(self)
        flow.setContentsMargins(0, 0, 0, 0)
        flow.setHorizontalSpacing(6)
        flow.setVerticalSpacing(4)
        for combo in (self.by, self.class_name, self.end):
            combo.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        size = QWidget()
        row = QHBoxLayout(size)
        row.setContentsMargins(0, 0, 0, 0)
        label = QLabel("Size")
        label.setBuddy(self.side)
        row.addWidget(label)
        row.addWidget(self.side)
        chosen = (self.back_button, self.what, self.by, self.class_name, self.end, self.count)
        self._parts = (*chosen, self.similar_button, self.save_button, size)
        in_order = (self.back_button, *chosen[2:], self.similar_button, self.save_button, self.side)
        for part in self._parts:
            part.setParent(self)  # the order of tabs is that of one window; what is hidden is in no layout
        for before, after in pairwise(in_order):
            QWidget.setTabOrder(before, after)

    def _connect(self) -> None:
        self.by.currentIndexChanged.connect(lambda _: self._offer_classes())
        for combo in (self.by, self.class_name, self.end):
            combo.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.count.valueChanged.connect(self._follow_count)
        self.count.valueChanged.connect(lambda _: self.changed.emit())
        self.side.valueChanged.connect(self.side_changed)
