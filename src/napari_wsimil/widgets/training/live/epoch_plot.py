"""Curves over the epochs of a training, with the best epoch marked; read with the mouse or the arrow keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyqtgraph as pg
from qtpy.QtCore import Qt

from napari_wsimil.widgets.training.live.plot import Plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QFont

    from napari_wsimil.widgets.training.live.colours import Look
    from napari_wsimil.widgets.training.live.lines import Line


FLAT = 1e-3
"""Lines that change by less than this share of their value are flat."""


class WholeNumbers(pg.AxisItem):  # type: ignore[misc]
    """An axis of epochs: there is no half of one."""

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:
        """Pyqtgraph's, without what is finer than 1."""
        found = [(max(1.0, spacing), offset) for spacing, offset in super().tickSpacing(minVal, maxVal, size)]
        return list(dict(found).items())


class EpochPlot(Plot):
    """Lines over epochs.

    Parameters
    ----------
    title, name, height
        See `Plot`.
    within
        Least and greatest y; None: as the lines need it.
    """

    few = 25

    def __init__(self, title: str, name: str, *, height: int, within: tuple[float, float] | None = None) -> None:
        super().__init__(title, name, height=height, axes={"bottom": WholeNumbers("bottom")})
        self._within = within
        self._best: int | None = None
        self._at: float | None = None
        self._mark, self._pointer = pg.InfiniteLine(angle=90), pg.InfiniteLine(angle=90)
        for mark in (self._mark, self._pointer):
            mark.setVisible(False)
            self.item.addItem(mark, ignoreBounds=True)
        self.canvas.pointed.connect(self._point)
        self.canvas.stepped.connect(self._step)
        self.canvas.setToolTip("Point at an epoch, or press the left and right arrow keys, to read its values.")

    @property
    def best(self) -> int | None:
        """The epoch that is marked."""
        return self._best

    def show_curves(self, lines: Sequence[Line], best: int | None) -> None:
        """Draw these lines, and mark the best epoch."""
        if tuple(lines) == self.lines and best == self._best:
            return
        self._best = best
        self._mark.setVisible(best is not None)
        if best is not None:
            self._mark.setPos(best)
        self.show_lines(lines)
        last = max((line.xs[-1] for line in lines), default=1.0)
        self.item.setXRange(0, max(last, 1.0), padding=0.02)
        self.item.setYRange(*(self._within or self._needed()), padding=0.05)

    def colour(self, look: Look, font: QFont) -> None:
        """Take the colours of a theme."""
        self._mark.setPen(pg.mkPen(look.quiet, width=1, style=Qt.PenStyle.DashLine))
        self._pointer.setPen(pg.mkPen(look.text, width=1))
        super().colour(look, font)

    def values(self) -> list[str]:
        """At the epoch that is pointed at, else the newest."""
        named = [line for line in self.lines if line.name]
        return [_number(line.ys[-1] if self._at is None else line.value_at(self._at)) for line in named]

    def remarks(self) -> tuple[str, str]:
        """The epoch that is pointed at, else the best."""
        if self._at is not None:
            return f"epoch {self._at:g}", ""
        return "", "" if self._best is None else f"┊ best epoch {self._best}"

    def _needed(self) -> tuple[float, float]:
        """Least and greatest y of the lines that matter; from 0 where they are flat."""
        values = [y for line in self.lines for y in line.ys if not line.faint] or [y for line in self.lines for y in line.ys]
        low, high = min(values, default=0.0), max(values, default=1.0)
        return (low, high) if high - low > FLAT * abs(high) else (min(0.0, low), max(0.0, high, 1.1 * high) or 1.0)

    def _point(self, x: float | None) -> None:
        self._turn_to(None if x is None else min(self._epochs(), key=lambda epoch: abs(epoch - x), default=None))

    def _step(self, by: int) -> None:
        epochs = self._epochs()
        if epochs:
            now = epochs.index(self._at) if self._at in epochs else len(epochs) - (by > 0)
            self._turn_to(epochs[min(max(now + by, 0), len(epochs) - 1)])

    def _turn_to(self, epoch: float | None) -> None:
        if epoch == self._at:
            return
        self._at = epoch
        self._pointer.setVisible(epoch is not None)
        if epoch is not None:
            self._pointer.setPos(epoch)
        self.write()

    def _epochs(self) -> list[float]:
        return sorted({x for line in self.lines if not line.faint for x in line.xs})


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if 0.01 <= abs(value) < 1000 or value == 0 else f"{value:.2g}"
