"""A picture of a patch with its neighbours and children drawn into it, and what was said of it below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QAbstractButton, QBoxLayout, QLabel, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_wsimil.widgets.words import unbroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QImage

    from napari_wsimil.patches.patch import Patch
    from napari_wsimil.widgets.inspector.content import CardContent, Tile

    Pictures = Callable[[Patch, int], QImage | None]

FRAME = 4
"""Width of the coloured frame in px."""

SPACING = 8
"""Between cards, and between a picture and its words, in px."""

TEXT_WIDTH = 124
"""Room in px for the scores where they stand beside the picture."""

PICTURE_SIDE = 256
"""Side in device px of the picture that is read of a patch."""


def tile_side(card: CardContent, tile: Tile) -> int:
    """Side in device px of the picture that is read of a patch inside another: twice what it has in a picture of 256."""
    if card.patch is None:
        return PICTURE_SIDE
    share = tile.patch.size_level0 / card.patch.size_level0
    return max(16, min(PICTURE_SIDE, round(2 * PICTURE_SIDE * share)))


class PatchPicture(QAbstractButton):
    """Draws a patch; a click chooses it, or the child that was clicked.

    Parameters
    ----------
    pictures
        Gives the picture of a patch at a side in device px, once it was read.

    Signals
    -------
    chosen
        Carries the `Patch` that was clicked.
    wanted
        Carries the `Patch` that was clicked twice.
    """

    chosen = Signal(object)
    wanted = Signal(object)

    def __init__(self, pictures: Pictures) -> None:
        super().__init__()
        self._pictures = pictures
        self._card: CardContent | None = None
        self._pressed: Patch | None = None
        self.setMouseTracking(True)
        self.setToolTip("Click: choose it. Double-click: look at it on the slide")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.clicked.connect(self._choose)

    def show_card(self, card: CardContent) -> None:
        """Draw this one."""
        self._card = card
        self.setAccessibleName(". ".join([card.title, *card.lines]))
        self.setEnabled(card.patch is not None)
        self.update()

    def sizeHint(self) -> QSize:
        """As it was set."""
        return self.size()

    def tile_at(self, point: QPointF | None) -> Tile | None:
        """The child whose picture is drawn at a point."""
        if self._card is None or point is None:
            return None
        found = [tile for tile in self._card.tiles if tile.filled and self._rect(tile.patch).contains(point)]
        return found[-1] if found else None

    def mousePressEvent(self, event: Any) -> None:
        """Remember what was there: after the first of two clicks something else may be."""
        self._pressed = self._patch(event.position())
        super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, _: Any) -> None:
        """Look at it on the slide."""
        if self._pressed is not None:
            self.wanted.emit(self._pressed)

    def keyPressEvent(self, event: Any) -> None:
        """Return looks at it on the slide; the space bar chooses it, as in every button."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._card is not None and self._card.patch is not None:
            self.wanted.emit(self._card.patch)
            return
        self._pressed = self._patch(None)
        super().keyPressEvent(event)

    def event(self, event: Any) -> bool:
        """Tell of the child under the mouse."""
        if event.type() == QEvent.Type.ToolTip:
            tile = self.tile_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), tile.text if tile is not None and tile.text else self.toolTip(), self)
            return True
        return super().event(event)

    def paintEvent(self, _: Any) -> None:
        """Draw the picture, what lies in it, and the frame."""
        painter, card = QPainter(self), self._card
        if card is None:
            return
        inside = self._inside()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(inside, self.palette().mid())
        if card.patch is None:
            return
        picture = self._pictures(card.patch, PICTURE_SIDE)
        if picture is not None:
            painter.drawImage(inside, picture)
        painter.setClipRect(inside)
        for tile in sorted(card.tiles, key=lambda tile: tile.marked):
            self._draw_tile(painter, tile)
        painter.setClipping(False)
        if card.colour is not None:
            _frame(painter, QRectF(self.rect()), QColor.fromRgbF(*card.colour), FRAME)
        if self.hasFocus():
            painter.setPen(QPen(self.palette().text().color(), 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def _draw_tile(self, painter: QPainter, tile: Tile) -> None:
        rect, card = self._rect(tile.patch), self._card
        if tile.filled and card is not None:
            picture = self._pictures(tile.patch, tile_side(card, tile))
            if picture is not None:
                painter.drawImage(rect, picture)
        if tile.colour is not None:
            width = max(1.5, min(FRAME, rect.width() / 12))
            _frame(painter, rect.adjusted(0.5, 0.5, -0.5, -0.5), QColor.fromRgbF(*tile.colour), width)
        if tile.marked or tile.colour is None:
            inner = rect.adjusted(2, 2, -2, -2) if tile.filled else rect
            _frame(painter, inner.adjusted(-1, -1, 1, 1), QColor("black"), 3.5)
            _frame(painter, inner, QColor("white"), 1.5)

    def _choose(self) -> None:
        if self._pressed is not None:
            self.chosen.emit(self._pressed)

    def _patch(self, point: QPointF | None) -> Patch | None:
        tile = self.tile_at(point)
        return tile.patch if tile is not None else self._card.patch if self._card is not None else None

    def _inside(self) -> QRectF:
        return QRectF(self.rect()).adjusted(FRAME, FRAME, -FRAME, -FRAME)

    def _rect(self, patch: Patch) -> QRectF:
        """Where a patch lies in the picture."""
        inside, whole = self._inside(), self._card.patch if self._card is not None else None
        if whole is None:
            return QRectF()
        scale = inside.width() / whole.size_level0
        left, top = inside.left() + (patch.x - whole.x) * scale, inside.top() + (patch.y - whole.y) * scale
        return QRectF(left, top, patch.size_level0 * scale, patch.size_level0 * scale)


class Card(QWidget):
    """A picture with its magnification and its scores."""

    def __init__(self, pictures: Pictures) -> None:
        super().__init__()
        self.picture = PatchPicture(pictures)
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.scores = QLabel()
        self.scores.setWordWrap(True)
        self.scores.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.scores.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._box = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(SPACING)
        words = QVBoxLayout()
        words.addWidget(self.title)
        words.addWidget(self.scores)
        words.addStretch(1)
        self._box.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._box.addLayout(words)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def show_card(self, card: CardContent) -> None:
        """Show this one."""
        font = self.title.font()
        font.setBold(card.meant)
        self.title.setFont(font)
        self.title.setText(unbroken(card.title))
        self.scores.setText("\n".join(card.lines))
        self.picture.show_card(card)

    def resize_to(self, side: int, *, beside: bool) -> None:
        """Give the picture a side in px, with the words below it or beside it."""
        direction = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        self._box.setDirection(direction)
        self.picture.setFixedSize(side, side)
        self.title.setFixedWidth(TEXT_WIDTH if beside else side)
        self.scores.setFixedWidth(TEXT_WIDTH if beside else side)
        self.setFixedWidth(side + TEXT_WIDTH + SPACING if beside else side)


def _frame(painter: QPainter, rect: QRectF, colour: QColor, width: float) -> None:
    """An outline inside a rectangle."""
    pen = QPen(colour, width)
    pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(rect.adjusted(width / 2, width / 2, -width / 2, -width / 2))
