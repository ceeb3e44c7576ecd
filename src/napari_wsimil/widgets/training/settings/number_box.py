"""Boxes for numbers and lists in a form that scrolls: small numbers are written as people write them, and the wheel scrolls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

DECIMALS = 10
LARGEST = 1e9
SHORTEST = 4
"""Letters that a combobox shows at least."""
HAIR = 1e-3
"""How near a number comes to a limit that is outside: as a share of it, or where that is 0 as steps of `DECIMALS`."""


class NumberBox(QDoubleSpinBox):
    """Numbers of any size, such as 1e-05, with steps as large as their leading digit."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(DECIMALS)

    def set_limits(self, least: float | None, most: float | None, *, above: bool = False, below: bool = False) -> None:
        """Take numbers from `least` to `most`; `above`, `below`: not these themselves."""
        low = -LARGEST if least is None else least
        high = LARGEST if most is None else most
        self.setRange(low + (HAIR * abs(low) or 10.0**-DECIMALS) * above, high - (HAIR * abs(high) or 10.0**-DECIMALS) * below)

    def textFromValue(self, value: float) -> str:
        """As short as can be."""
        return f"{value:.6g}"

    def valueFromText(self, text: str | None) -> float:
        """Read a number, with a point or a comma."""
        number = _number(text or "")
        return self.value() if number is None else number

    def validate(self, text: str | None, position: int) -> Any:
        """Let numbers be typed, and what may become one."""
        typed = text or ""
        number = _number(typed)
        if number is not None and self.minimum() <= number <= self.maximum():
            return QValidator.State.Acceptable, typed, position
        unfinished = not set(typed.lower()) - set("0123456789.,+-e")
        return (QValidator.State.Intermediate if unfinished else QValidator.State.Invalid), typed, position

    def stepBy(self, steps: int) -> None:
        """Up or down in the leading digit."""
        value = self.value()
        for _ in range(abs(steps)):
            size = 10.0 ** math.floor(math.log10(abs(value)) + 1e-9) if value else 0.01
            if steps < 0 and math.isclose(abs(value), size):
                size /= 10
            value = round(value + math.copysign(size, steps), DECIMALS)
        self.setValue(value)


class _Wheel(QObject):
    """Hands the wheel on to what scrolls, where a box does not have the keyboard."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        box: Any = watched
        if event is not None and event.type() == QEvent.Type.Wheel and not box.hasFocus():
            event.ignore()
            return True
        return False


def leave_wheel(box: QWidget) -> None:
    """Let the wheel scroll the dock over a box, and not change what nobody meant to change."""
    box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    box.installEventFilter(_Wheel(box))


def slim(combo: QComboBox) -> None:
    """Let a combobox get narrow: what it shows is shortened, and told whole by its list."""
    combo.setMinimumContentsLength(SHORTEST)
    leave_wheel(combo)


def _number(text: str) -> float | None:
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
