"""The whole slide as a small picture, with the part marked that the canvas shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wsimil.widgets.pictures import pixmap_for

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QImage

    Floats = NDArray[np.float64]

HIGHEST = 280
"""Height in px of the picture at most; a slide that lies across is limited by the width of the dock."""

SMALLEST_MARK = 8.0
"""A view whose mark would be smaller than this, in px, is marked with a cross."""

CROSS = 9.0
"""Half the length in px of the arms of the cross."""

MARK, HALO = QColor("#1446ff"), QColor(255, 255, 255, 220)
"""Seen on stained tissue and on glass alike, whatever the theme: the mark lies on the picture."""

WHEEL_STEP = 1.25
"""How far one notch of the wheel, or one press of + or -, zooms."""

KEY_STEP = 0.25
"""How far an arrow key goes, as a share of the view."""

ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}


class OverviewMap(QWidget):
    """The picture; it knows level-0 pixels and no viewer.

    Signals
    -------
    asked_for
        The level-0 pixel (x, y) to look at.
    zoomed
        A factor, and the level-0 pixel (x, y) to zoom about, or None for the middle of the view.
    fit_asked
        The whole slide is to be seen.
    """

    asked_for = Signal(float, float)
    zoomed = Signal(float, object)
    fit_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._size = (1.0, 1.0)
        self._aspect = 1.0
        self._image: QImage | None = None
        self._drawn: tuple[Any, QPixmap] | None = None
        self._corners: Floats | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setAccessibleName("Overview of the slide")
        self.setToolTip("Click or drag to go there, turn the wheel to zoom\nKeys: arrows, + and −, Home for the whole slide")

    @property
    def corners(self) -> Floats | None:
        """The marked view: (4, 2) level-0 pixels (x, y), or None."""
        return self._corners

    @property
    def has_image(self) -> bool:
        """Whether the picture of the slide is there."""
        return self._image is not None

    def set_slide(self, width: int, height: int, mpp: tuple[float, float] | None) -> None:
        """Make room for a slide of width x height level-0 pixels; its picture and its view come later."""
        mx, my = mpp or (1.0, 1.0)
        self._size, self._aspect = (float(width), float(height)), width * mx / (height * my)
        self.updateGeometry()
        self.update()

    def set_image(self, image: QImage | None) -> None:
        """Show this picture of the whole slide; None takes it away."""
        self._image, self._drawn = image, None
        self.update()

    def mark(self, corners: Floats | None) -> None:
        """Mark the view with these corners, (4, 2) level-0 pixels (x, y); None marks nothing."""
        self._corners = corners
        self.update()

    def place(self) -> QRectF:
        """Where the slide lies in the widget, in px."""
        width = min(float(self.width()), self.height() * self._aspect)
        height = width / self._aspect
        return QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)

    def to_widget(self, points: Floats) -> Floats:
        """(n, 2) level-0 pixels (x, y) to px of the widget."""
        place = self.place()
        return points * (place.width() / self._size[0], place.height() / self._size[1]) + (place.x(), place.y())

    def to_slide(self, x: float, y: float) -> tuple[float, float]:
        """A point of the widget in px to the level-0 pixel (x, y) below it, or the nearest one of the slide."""
        place = self.place()
        across, down = (x - place.x()) / place.width(), (y - place.y()) / place.height()
        return min(max(across, 0.0), 1.0) * self._size[0], min(max(down, 0.0), 1.0) * self._size[1]

    def sizeHint(self) -> QSize:
        """The largest picture."""
        return QSize(round(HIGHEST * min(self._aspect, 1.0)), HIGHEST)

    def hasHeightForWidth(self) -> bool:
        """Yes: the aspect of the slide is kept."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Height in px of the slide at `width` px."""
        return max(24, min(HIGHEST, round(width / self._aspect)))

    def paintEvent(self, _: Any) -> None:
        """Draw the picture, the mark, and a frame while the widget has the keyboard."""
        painter = QPainter(self)
        place = self.place()
        if self._image is not None:
            key = (place.width(), place.height(), self.devicePixelRatioF())
            if self._drawn is None or self._drawn[0] != key:
                self._drawn = (key, pixmap_for(self._image, *key))
            painter.drawPixmap(place.topLeft(), self._drawn[1])
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._corners is not None:
            painter.setClipRect(place)
            self._draw_mark(painter, self.to_widget(self._corners), place)
            painter.setClipping(False)
        if self.hasFocus():
            painter.setPen(QPen(self.palette().text().color(), 1.5))
            painter.drawRect(place.adjusted(0.75, 0.75, -0.75, -0.75))

    def _draw_mark(self, painter: QPainter, corners: Floats, place: QRectF) -> None:
        """Outline the view, or point at it with a cross where the outline would be a speck."""
        outline = QPolygonF([QPointF(x, y) for x, y in corners])
        x, y = corners.mean(axis=0)
        tiny = np.ptp(corners, axis=0).max() < SMALLEST_MARK
        for colour, width in ((HALO, 4.0), (MARK, 2.0)):
            painter.setPen(QPen(colour, width))
            if tiny:
                painter.drawLine(QPointF(x - CROSS, y), QPointF(x + CROSS, y))
                painter.drawLine(QPointF(x, y - CROSS), QPointF(x, y + CROSS))
            else:
                painter.drawPolygon(outline)

    def mousePressEvent(self, event: Any) -> None:
        """Go to where the mouse is."""
        self._go(event)

    def mouseMoveEvent(self, event: Any) -> None:
        """Go along with the mouse while its button is held."""
        self._go(event)

    def _go(self, event: Any) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            at = event.position()
            self.asked_for.emit(*self.to_slide(at.x(), at.y()))

    def wheelEvent(self, event: Any) -> None:
        """Zoom about the point below the mouse."""
        notches = event.angleDelta().y() / 120
        if notches:
            at = event.position()
            self.zoomed.emit(WHEEL_STEP**notches, self.to_slide(at.x(), at.y()))
        event.accept()

    def keyPressEvent(self, event: Any) -> None:
        """Arrows move the view, + and - zoom it, Home shows the whole slide."""
        key = event.key()
        if key in ARROWS and self._corners is not None:
            step = KEY_STEP * np.ptp(self._corners, axis=0) * ARROWS[key]
            x, y = np.clip(self._corners.mean(axis=0) + step, 0, self._size)
            self.asked_for.emit(float(x), float(y))
        elif key in {Qt.Key.Key_Plus, Qt.Key.Key_Equal}:
            self.zoomed.emit(WHEEL_STEP, None)
        elif key == Qt.Key.Key_Minus:
            self.zoomed.emit(1 / WHEEL_STEP, None)
        elif key == Qt.Key.Key_Home:
            self.fit_asked.emit()
        else:
            super().keyPressEvent(event)
