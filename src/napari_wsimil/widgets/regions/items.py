"""The regions as a list for Qt: a picture with the rank in its corner, and a caption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QIcon, QPainter, QPen, QPixmap

from napari_wsimil.exports.colours import TOP_COLOUR
from napari_wsimil.widgets.pictures import pixmap_for
from napari_wsimil.widgets.regions.keys import BEFORE, NEXT
from napari_wsimil.widgets.regions.words import caption, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QImage

    from napari_wsimil.inference.ranking import RankedPatch
    from napari_wsimil.patches.patch import Patch
    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.thumbnails import Thumbnails

NOT_READ = QColor(128, 128, 128)
"""In place of a picture that is on its way."""


FRAME = 4
"""Width in px of the frame around the chosen picture."""

HOW = f"Click: go there · double-click: full resolution · {NEXT}, {BEFORE}: next, previous"


class RegionItems(QAbstractListModel):
    """Ranked patches and their pictures.

    Parameters
    ----------
    thumbnails
        Where the pictures come from.
    """

    def __init__(self, thumbnails: Thumbnails) -> None:
        super().__init__(thumbnails)
        self._thumbnails = thumbnails
        self._slide: Slide | None = None
        self._images: dict[Patch, QImage] = {}
        self._drawn: dict[int, QIcon] = {}
        self._side, self._density = 96, 1.0
        self.regions: list[RankedPatch] = []
        thumbnails.ready.connect(self._take)

    def show(self, slide: Slide | None, regions: Sequence[RankedPatch]) -> None:
        """List these regions of a slide."""
        self.beginResetModel()
        known = self._images if slide is self._slide else {}
        self._slide, self.regions, self._drawn = slide, list(regions), {}
        self._images = {one.patch: known[one.patch] for one in regions if one.patch in known}
        self.endResetModel()
        self._ask()

    def resize(self, side: int, density: float) -> None:
        """Draw pictures `side` logical px wide on a screen of `density` device px per logical px."""
        if (side, density) == (self._side, self._density):
            return
        self._side, self._density, self._drawn = side, density, {}
        if self.regions:
            self.dataChanged.emit(self.index(0), self.index(len(self.regions) - 1))
        self._ask()

    def row_of(self, patch: Patch | None) -> int | None:
        """Where a patch stands in the list, if it does."""
        return next((row for row, region in enumerate(self.regions) if region.patch == patch), None)

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """How many regions there are."""
        return 0 if parent.isValid() else len(self.regions)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What the view shows of a region."""
        if not index.isValid() or index.row() >= len(self.regions):
            return None
        region = self.regions[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return caption(region)
        if role == Qt.ItemDataRole.DecorationRole:
            return self._picture(index.row())
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return told(region)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{told(region)}\n{HOW}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        return region if role == Qt.ItemDataRole.UserRole else None

    def _ask(self) -> None:
        """Have the pictures read that are not there in this size yet."""
        if self._slide is None:
            return
        pixels, patches = round(self._side * self._density), [region.patch for region in self.regions]
        for patch in patches:
            image = self._thumbnails.picture(self._slide, patch, pixels)
            if image is not None:
                self._images[patch] = image
        self._thumbnails.forget()
        self._thumbnails.ask(self._slide, patches, pixels)

    def _take(self, patch: Patch, image: QImage) -> None:
        row = self.row_of(patch)
        if row is not None:
            self._images[patch] = image
            self._drawn.pop(row, None)
            self.dataChanged.emit(self.index(row), self.index(row), [Qt.ItemDataRole.DecorationRole])

    def _picture(self, row: int) -> QIcon:
        if row not in self._drawn:
            region = self.regions[row]
            picture = numbered(self._images.get(region.patch), region.rank, self._side, self._density)
            icon = self._drawn[row] = QIcon(picture)
            # else Qt tints the selected one, and colours matter here
            icon.addPixmap(framed(picture), QIcon.Mode.Selected)
        return self._drawn[row]


def numbered(image: QImage | None, rank: int, side: int, density: float) -> QPixmap:
    """A picture with its rank on a plate in the corner, in the colour of the boxes on the slide."""
    # A pixmap of its own: those made of one image have one key in Qt's cache of icons, whatever is drawn on them.
    picture = QPixmap(QSize(side, side) * density)
    picture.setDevicePixelRatio(density)
    picture.fill(NOT_READ)
    painter = QPainter(picture)
    if image is not None:
        painter.drawPixmap(0, 0, pixmap_for(image, side, side, density))
    font = QFont(painter.font())
    font.setBold(True)
    font.setPixelSize(max(11, side // 9))
    painter.setFont(font)
    text = str(rank)
    room = painter.fontMetrics().boundingRect(text)
    plate = QRectF(0, 0, max(room.width() + 8, room.height() + 2), room.height() + 2)
    painter.fillRect(plate, QColor(TOP_COLOUR))
    painter.setPen(QColor("white"))
    painter.drawText(plate, int(Qt.AlignmentFlag.AlignCenter), text)
    painter.end()
    return picture


def framed(picture: QPixmap) -> QPixmap:
    """A copy of a picture with a frame in the colour of the boxes on the slide."""
    copy = picture.copy()
    painter = QPainter(copy)
    painter.setPen(QPen(QColor(TOP_COLOUR), 2 * FRAME))
    painter.drawRect(QRectF(0, 0, copy.width() / copy.devicePixelRatio(), copy.height() / copy.devicePixelRatio()))
    painter.end()
    return copy
