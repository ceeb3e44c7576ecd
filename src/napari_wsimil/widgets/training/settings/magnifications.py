"""At which magnifications a model is trained: the usual ones, or those that somebody lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import empty, say, text_label
from napari_wsimil.widgets.training.settings.number_box import NumberBox, leave_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

FINEST, COARSEST = 0.05, 100.0
MOST = 8
MPP_TIP = "µm per pixel of the patches; 0.5 is 20x, 0.25 is 40x"
AUTOMATIC_TIP = "As the encoder was trained and the method looks; of feature files, what they hold"


class Magnifications(QWidget):
    """A box to leave it to the program, else one number for each magnification, coarse to fine.

    Signals
    -------
    changed
        Somebody chose others.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.automatic = QCheckBox("Automatic")
        self.automatic.setObjectName("automatic_mpp")
        self.automatic.setToolTip(AUTOMATIC_TIP)
        self.automatic.setChecked(True)
        self.usual = text_label()
        self.usual.setObjectName("usual_mpp")
        self.add_button = QPushButton("Add magnification")
        self.add_button.setObjectName("add_mpp")
        self.add_button.setToolTip("Look at one more magnification, twice as fine as the finest")
        self._usual_mpps: tuple[float, ...] = ()
        self._least, self._most = 1, 1
        self._boxes: list[NumberBox] = []
        self._rows = QVBoxLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.automatic)
        column.addWidget(self.usual)
        column.addLayout(self._rows)
        column.addWidget(self.add_button)
        self.automatic.toggled.connect(self._turned)
        self.add_button.clicked.connect(self._add)
        self._show(())

    @property
    def mpps(self) -> tuple[float, ...]:
        """µm per pixel, coarse to fine; empty: automatic."""
        return () if self.automatic.isChecked() else tuple(sorted((box.value() for box in self._boxes), reverse=True))

    def take(self, usual: Sequence[float], numbers: tuple[int, int | None], chosen: Sequence[float]) -> None:
        """Turn to a method.

        Parameters
        ----------
        usual
            Its magnifications where none is chosen.
        numbers
            Least and most that it looks at; None: any number.
        chosen
            What was chosen for it; empty: automatic.
        """
        self._usual_mpps = tuple(usual)
        self._least, self._most = numbers[0], numbers[1] or MOST
        with QSignalBlocker(self.automatic):
            self.automatic.setChecked(not chosen)
        self._show(chosen)

    def _turned(self, automatic: bool) -> None:
        self._show(() if automatic else self._usual_mpps)
        self.changed.emit()

    def _add(self) -> None:
        mpps = self.mpps
        self._show((*mpps, max(mpps[-1] / 2, FINEST)))
        self.changed.emit()

    def _remove(self, box: NumberBox) -> None:
        self._show([other.value() for other in self._boxes if other is not box])
        self.changed.emit()

    def _show(self, mpps: Sequence[float]) -> None:
        say(self.usual, "" if mpps else in_words(self._usual_mpps))
        empty(self._rows)
        self._boxes = []
        for mpp in sorted(mpps, reverse=True):
            self._rows.addWidget(self._row(mpp, removable=len(mpps) > self._least))
        self.add_button.setVisible(0 < len(mpps) < self._most)

    def _row(self, mpp: float, *, removable: bool) -> QWidget:
        number = len(self._boxes) + 1
        box, told = NumberBox(), QLabel()
        box.setObjectName(f"mpp_{number}")
        box.setAccessibleName(f"Magnification {number}")
        box.setToolTip(MPP_TIP)
        box.set_limits(FINEST, COARSEST)
        box.setValue(mpp)
        leave_wheel(box)
        told.setText(objective(mpp))
        told.setToolTip("Objective of a microscope that shows about as much")

        def change(value: float) -> None:
            told.setText(objective(value))
            self.changed.emit()

        box.valueChanged.connect(change)
        row = QWidget()
        across = QHBoxLayout(row)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(box, 1)
        across.addWidget(told)
        if removable:
            button = QToolButton()
            button.setObjectName(f"remove_mpp_{number}")
            button.setText("−")
            button.setToolTip("Do without this magnification")
            button.setAccessibleName(f"Remove magnification {number}")
            button.clicked.connect(lambda: self._remove(box))
            across.addWidget(button)
        self._boxes.append(box)
        return row


def in_words(mpps: Sequence[float]) -> str:
    """Magnifications for people: µm per pixel, and the objectives."""
    if not mpps:
        return ""
    return f"{', '.join(f'{mpp:g}' for mpp in mpps)} µm/px ({', '.join(map(objective, mpps))})"


def objective(mpp: float) -> str:
    """The objective that shows about as much, of which 20x has 0.5 µm per pixel."""
    return f"{10 / mpp:.3g}x"
