"""Images of a slide on the screen: sharp at every size and pixel density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QAbstractButton, QDialog, QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_KEPT = 2048
"""Longest side in px of an image kept for the panel; no screen shows more of it in a dialog."""

SCREEN_SHARE = 0.8
"""The most that an enlarged image takes of the screen."""


def to_image(pixels: NDArray[np.uint8]) -> QImage:
    """A `QImage` of its own memory from (rows, columns, 3) uint8, shrunk to `LARGEST_KEPT`; safe in any thread."""
    pixels = np.ascontiguousarray(pixels)
    rows, columns = pixels.shape[:2]
    memory: Any = pixels.data
    image = QImage(memory, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    if max(rows, columns) > LARGEST_KEPT:
        image = _shrunk(image, QSize(LARGEST_KEPT, LARGEST_KEPT), Qt.AspectRatioMode.KeepAspectRatio)
    # What Qt draws and scales fastest; always a copy, since it differs from what came.
    return image.convertToFormat(QImage.Format.Format_RGB32)


def pixmap_for(image: QImage, width: float, height: float, density: float) -> QPixmap:
    """The image drawn for a place of width x height logical px on a screen with `density` device px per logical px."""
    size = QSize(max(1, round(width * density)), max(1, round(height * density)))
    pixmap = QPixmap.fromImage(_shrunk(image, size, Qt.AspectRatioMode.IgnoreAspectRatio))
    pixmap.setDevicePixelRatio(density)
    return pixmap


def _shrunk(image: QImage, size: QSize, aspect: Qt.AspectRatioMode) -> QImage:
    return image.scaled(size, aspect, Qt.TransformationMode.SmoothTransformation)


class Picture(QAbstractButton):
    """An image as wide as there is room, at most `highest` px high; a click enlarges it."""

    def __init__(self, image: QImage, title: str, highest: int | None = None) -> None:
        super().__init__()
        self.image = image
        self.title = title
        self._highest = highest
        self._drawn: tuple[Any, QPixmap] | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName(title)

    def sizeHint(self) -> QSize:
        """The size of the image itself, kept to its highest."""
        return self.image.size().scaled(self.image.width(), self._limit(), Qt.AspectRatioMode.KeepAspectRatio)

    def hasHeightForWidth(self) -> bool:
        """Yes: the aspect of the image is kept."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Height of the image in a place of `width` px."""
        return self._shown_size(width, self._limit()).height()

    def paintEvent(self, _: Any) -> None:
        """Draw the image at the left of the widget, and a frame while it has the keyboard."""
        painter = QPainter(self)
        size = self._shown_size(self.width(), self.height())
        key = (size, self.devicePixelRatioF())
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = (key, pixmap_for(self.image, size.width(), size.height(), key[1]))
        painter.drawPixmap(0, 0, self._drawn[1])
        if self.hasFocus():
            painter.setPen(QPen(self.palette().text().color(), 2))
            painter.drawRect(1, 1, size.width() - 2, size.height() - 2)

    def _limit(self) -> int:
        return self._highest or self.image.height()

    def _shown_size(self, width: int, height: int) -> QSize:
        """The image in a place of width x height, never larger than it is."""
        room = QSize(max(1, min(width, self.image.width())), max(1, min(height, self.image.height())))
        return self.image.size().scaled(room, Qt.AspectRatioMode.KeepAspectRatio)


def enlarge(picture: Picture, parent: QWidget) -> QDialog:
    """Show a picture in a window of its own, as large as it is or as the screen allows; a click or Escape closes it."""
    dialog = QDialog(parent)
    dialog.setWindowTitle(picture.title)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    large = Picture(picture.image, picture.title)
    large.setToolTip("Click to close")
    large.clicked.connect(dialog.close)
    column = QVBoxLayout(dialog)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(large)
    screen = parent.screen()
    room = picture.image.size() if screen is None else screen.availableSize() * SCREEN_SHARE
    dialog.resize(picture.image.size().boundedTo(picture.image.size().scaled(room, Qt.AspectRatioMode.KeepAspectRatio)))
    dialog.show()
    return dialog
