"""A small plot with its legend above it, in the colours of napari's theme.

It imports pyqtgraph, which takes a while: by the time a run tells something its reader has done so in its own thread.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import text_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QFont

    from napari_wsimil.widgets.training.live.colours import Look
    from napari_wsimil.widgets.training.live.lines import Line

WIDTH, FAINT_WIDTH = 2, 1
FAINT = 100
"""Alpha of what stays in the background, of 255."""

AXIS_WIDTH = 46
"""Of the left axis in px: plots below each other have their zero in one line."""

DASHES = {False: "───", True: "╌╌╌"}


class Canvas(pg.PlotWidget):  # type: ignore[misc]
    """The plot itself: without pyqtgraph's menus and its zoom, so that the wheel scrolls the dock.

    Signals
    -------
    pointed
        Where on the x axis the mouse is, or None.
    stepped
        -1 or 1 for an arrow key.
    """

    pointed = Signal(object)
    stepped = Signal(int)

    def __init__(self, axes: dict[str, Any]) -> None:
        super().__init__(enableMenu=False, axisItems=axes)
        self.setBackground(None)
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setFrameShape(self.Shape.NoFrame)
        self.setMouseTracking(True)

    def wheelEvent(self, event: Any) -> None:
        """For the scroll area around."""
        event.ignore()

    def mouseMoveEvent(self, event: Any) -> None:
        """Point at what is below the mouse."""
        super().mouseMoveEvent(event)
        self.pointed.emit(self.getPlotItem().vb.mapSceneToView(self.mapToScene(event.pos())).x())

    def leaveEvent(self, event: Any) -> None:
        """Point at nothing."""
        super().leaveEvent(event)
        self.pointed.emit(None)

    def focusOutEvent(self, event: Any) -> None:
        """Point at nothing."""
        super().focusOutEvent(event)
        self.pointed.emit(None)

    def keyPressEvent(self, event: Any) -> None:
        """Left and right go from point to point."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(event.key())
        if step is None:
            event.ignore()
        else:
            self.stepped.emit(step)


class Plot(QWidget):
    """Lines, and what they are called.

    Parameters
    ----------
    title
        Stands before the legend.
    name
        Object name.
    height
        Of the canvas in px.
    axes
        Side -> axis of its own.
    """

    few = 0
    """Of fewer points each has a dot."""

    def __init__(self, title: str, name: str, *, height: int, axes: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.setObjectName(name)
        self.title = title
        self.lines: tuple[Line, ...] = ()
        self.legend = text_label()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.canvas = Canvas(axes or {})
        self.canvas.setFixedHeight(height)
        self.canvas.setObjectName(f"{name}_canvas")
        self.canvas.setAccessibleName(title)
        self.item = self.canvas.getPlotItem()
        self.item.getAxis("left").setWidth(AXIS_WIDTH)
        for side in ("left", "bottom"):
            self.item.getAxis(side).enableAutoSIPrefix(False)
            self.item.getAxis(side).setStyle(maxTickLevel=0)
        # a number at the end of an axis reaches beyond it
        self.item.layout.setContentsMargins(0, 8, 10, 0)
        self._curves: list[Any] = []
        self._look: Look | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.legend)
        column.addWidget(self.canvas)

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Draw these lines in place of the ones before."""
        self.lines = tuple(lines)
        while len(self._curves) < len(lines):
            self._curves.append(self.item.plot(antialias=True))
        while len(self._curves) > len(lines):
            self.item.removeItem(self._curves.pop())
        for curve, line in zip(self._curves, lines, strict=True):
            xs, ys = line.drawn()
            curve.setData(xs, ys, symbol="o" if len(xs) < self.few and not line.faint else None, symbolSize=5)
        self._dress()
        self.write()

    def colour(self, look: Look, font: QFont) -> None:
        """Take the colours of a theme, and a font for the numbers at the axes."""
        self._look = look
        # said outright: what shows through a canvas without one is that of the theme before
        self.canvas.setBackground(look.background)
        for side in ("left", "bottom"):
            axis = self.item.getAxis(side)
            axis.setPen(look.quiet)
            axis.setTextPen(look.text)
            axis.setTickFont(font)
            axis.label.setFont(font)
        self._dress()
        self.write()

    def values(self) -> list[str]:
        """What the legend says of each named line besides its name."""
        return ["" for line in self.lines if line.name]

    def remarks(self) -> tuple[str, str]:
        """What the legend says before the lines, and after them."""
        return "", ""

    def write(self) -> None:
        """Write the legend, and the same for who can't see it."""
        named = [line for line in self.lines if line.name]
        before, after = self.remarks()
        words = [
            f"{'' if line.name == self.title.lower() else line.name} {value}".strip()
            for line, value in zip(named, self.values(), strict=True)
        ]
        self.canvas.setAccessibleDescription(", ".join(filter(None, [before, *words, after])))
        parts = [f"<b>{escape(self.title)}</b>", _together(before)]
        for line, text in zip(named, words, strict=True):
            colour = self._look.line(line.rank) if self._look else "gray"
            parts.append(f'<span style="color:{colour}"><b>{DASHES[line.dashed]}</b></span>&nbsp;{_together(text)}')
        told = " &nbsp;".join(filter(None, [*parts, _together(after)]))
        if told != self.legend.text():
            self.legend.setText(told)

    def _dress(self) -> None:
        if self._look is None:
            return
        for curve, line in zip(self._curves, self.lines, strict=True):
            colour = pg.mkColor(self._look.line(line.rank))
            if line.faint:
                colour.setAlpha(FAINT)
            style = Qt.PenStyle.DashLine if line.dashed else Qt.PenStyle.SolidLine
            # of two that coincide both are seen
            curve.setZValue(1 if line.dashed else 0)
            curve.setPen(pg.mkPen(colour, width=FAINT_WIDTH if line.faint else WIDTH, style=style))
            curve.setSymbolBrush(colour)
            curve.setSymbolPen(None)


def _together(text: str) -> str:
    """What must not be broken into two lines."""
    return escape(text).replace(" ", "&nbsp;")
