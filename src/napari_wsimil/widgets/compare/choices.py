"""What is compared with what: two predictions, or two magnifications of one; which of their scores; in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from napari_wsimil.inference.comparable import comparable
from napari_wsimil.inference.comparison import compare, numbered
from napari_wsimil.widgets.layers import model_name
from napari_wsimil.widgets.parts import form, narrow_combo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.comparison import Comparison

SCALES = {"Percentile": "percentile", "Times the average": "times average"}


@dataclass(frozen=True, eq=False)
class Choice:
    """A prediction at one of its magnifications.

    Attributes
    ----------
    name
        What the lists call it.
    mpp
        µm per pixel.
    """

    prediction: SlidePrediction
    mpp: float
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and self.prediction is other.prediction and self.mpp == other.mpp

    def __hash__(self) -> int:
        return hash((id(self.prediction), self.mpp))


@dataclass(frozen=True)
class Request:
    """All that `compare` wants to know."""

    first: Choice
    second: Choice
    what: Any
    class_name: str | None
    scale: Any

    def run(self) -> Comparison:
        """Compare; takes long for large slides."""
        names = numbered([self.first.name, self.second.name])
        return compare(self.first.prediction, self.second.prediction, names=(names[0], names[1]), **self.options())

    def options(self) -> dict[str, Any]:
        """The keywords of `ws.compare`."""
        mpps = (self.first.mpp, self.second.mpp)
        return {"by": self.what, "class_name": self.class_name, "mpps": mpps, "scale": self.scale}


def choices_of(predictions: Sequence[SlidePrediction]) -> list[Choice]:
    """Each prediction at each of its magnifications, finest first."""
    names = numbered([model_name(prediction) for prediction in predictions])
    found = []
    for prediction, name in zip(predictions, names, strict=True):
        mpps = sorted({*prediction.attention, *prediction.class_attention, *prediction.instances})
        found += [Choice(prediction, mpp, f"{name} at {mpp:g} µm/px" if len(mpps) > 1 else name) for mpp in mpps]
    return found


class Choices(QWidget):
    """Four lists; `request` is what they say.

    Signals
    -------
    changed
        Something else is to be compared.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._choices: list[Choice] = []
        self.first = narrow_combo("compare_first")
        self.second = narrow_combo("compare_second")
        self.swap = QToolButton()
        self.what = narrow_combo("compare_what")
        self.scale = narrow_combo("compare_scale")
        self._name_parts()
        row = QHBoxLayout()
        row.addWidget(self.second, 1)
        row.addWidget(self.swap)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        rows = [("First", self.first), ("Second", row), ("Compare", self.what), ("Scale", self.scale)]
        column.addLayout(form(rows))
        for combo in (self.first, self.second):
            combo.currentIndexChanged.connect(self._offer_kinds)
        for combo in (self.what, self.scale):
            combo.currentIndexChanged.connect(self._turned)
        self.swap.clicked.connect(self._swap)

    @property
    def controls(self) -> list[QWidget]:
        """From the first to the last."""
        return [self.first, self.second, self.swap, self.what, self.scale]

    @property
    def request(self) -> Request | None:
        """What is to be compared; None where there are no two things that have anything in common."""
        first, second = self._chosen(self.first), self._chosen(self.second)
        kind = self.what.currentData()
        if first is None or second is None or kind is None or first == second:
            return None
        what, class_name = kind
        return Request(first, second, what, class_name, self.scale.currentData())

    @property
    def enough(self) -> bool:
        """Whether there are two to choose from."""
        return len(self._choices) > 1

    def offer(self, predictions: Sequence[SlidePrediction], preferred: SlidePrediction | None) -> None:
        """Offer these; what was chosen stays chosen where it is still there, else the preferred one comes first."""
        before = self._chosen(self.first), self._chosen(self.second)
        self._choices = choices_of(predictions)
        rows: list[int] = []
        usual = next((row for row, choice in enumerate(self._choices) if choice.prediction is preferred), 0)
        for chosen in before:
            found = (row for row, choice in enumerate(self._choices) if choice == chosen and row not in rows)
            rows.append(next(found, -1))
        if rows[0] < 0:
            rows[0] = usual if rows[1] != usual else self._other_than(usual)
        if rows[1] < 0:
            rows[1] = self._other_than(rows[0])
        for combo, row in zip((self.first, self.second), rows, strict=True):
            with QSignalBlocker(combo):
                combo.clear()
                combo.addItems([choice.name for choice in self._choices])
                combo.setCurrentIndex(row)
                combo.setToolTip(combo.currentText())
        self.swap.setEnabled(self.enough)
        self._offer_kinds()

    def choose(self, first: SlidePrediction, second: SlidePrediction) -> None:
        """Compare these two, where they are offered."""
        row = next((row for row, choice in enumerate(self._choices) if choice.prediction is first), -1)
        if row >= 0:
            with QSignalBlocker(self.first):
                self.first.setCurrentIndex(row)
            with QSignalBlocker(self.second):
                self.second.setCurrentIndex(self._other_than(row))
            self.choose_second(second)
            self._offer_kinds()

    def choose_second(self, prediction: SlidePrediction) -> None:
        """Compare the first one with this."""
        for row, choice in enumerate(self._choices):
            if choice.prediction is prediction and row != self.first.currentIndex():
                self.second.setCurrentIndex(row)
                return

    def _other_than(self, row: int) -> int:
        """Another prediction, else another magnification; -1 where there is none."""
        rows = [other for other in range(len(self._choices)) if other != row]
        mine = self._choices[row].prediction if self._choices else None
        return min(rows, key=lambda other: self._choices[other].prediction is mine, default=-1)

    def _chosen(self, combo: Any) -> Choice | None:
        row = combo.currentIndex()
        return self._choices[row] if 0 <= row < len(self._choices) else None

    def _offer_kinds(self, _: int = 0) -> None:
        """Offer what both have."""
        first, second = self._chosen(self.first), self._chosen(self.second)
        kinds: list[Any] = []
        if first is not None and second is not None:
            kinds = list(comparable(first.prediction, second.prediction, (first.mpp, second.mpp)))
        before = self.what.currentData()
        with QSignalBlocker(self.what):
            self.what.clear()
            for what, class_name in kinds:
                self.what.addItem(_kind_words(what, class_name), (what, class_name))
            self.what.setCurrentIndex(kinds.index(before) if before in kinds else 0 if kinds else -1)
        self.what.setEnabled(len(kinds) > 1)
        self._turned()

    def _turned(self, _: int = 0) -> None:
        kind = self.what.currentData()
        self.scale.setEnabled(kind is not None and kind[0] != "instances")
        self.changed.emit()

    def _swap(self) -> None:
        first, second = self.first.currentIndex(), self.second.currentIndex()
        with QSignalBlocker(self):
            self.first.setCurrentIndex(second)
        self.second.setCurrentIndex(first)

    def _name_parts(self) -> None:
        self.swap.setObjectName("compare_swap")
        self.swap.setText("⇅")
        self.swap.setAccessibleName("Swap first and second")
        self.swap.setToolTip("Swap first and second")
        self.first.setAccessibleName("First prediction")
        self.second.setAccessibleName("Second prediction")
        self.what.setAccessibleName("What is compared")
        self.scale.setAccessibleName("Scale of attention")
        for text, scale in SCALES.items():
            self.scale.addItem(text, scale)
        tips = (
            "Percentile: how many of the patches have less attention. Attention as it is sums to 1, however "
            "many patches there are",
            "Times the average: how many times an even share of the attention a patch has; a few patches have most of it",
        )
        for row, tip in enumerate(tips):
            self.scale.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)


def _kind_words(what: str, class_name: str | None) -> str:
    if what == "attention" or class_name is None:
        return "Attention"
    if what == "class attention":
        return f"Attention for {class_name}"
    return f"{class_name[:1].upper()}{class_name[1:]} probability"
