"""The pictures in rows, or as a strip where there is height for one row only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QItemSelectionModel, QModelIndex, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QListView

if TYPE_CHECKING:
    from napari_wsimil.inference.ranking import RankedPatch
    from napari_wsimil.widgets.regions.items import RegionItems

SMALLEST, USUAL, LARGEST = 48, 112, 256
"""Sides of a picture in px."""

MARGIN = 6


class RegionView(QListView):
    """Shows `RegionItems`, and tells what is done with them.

    Signals
    -------
    chosen
        Carries the `RankedPatch` that was clicked, or reached with the arrow keys.
    opened
        Carries the one that was double-clicked, or on which Return was pressed.
    hovered
        Carries the one under the mouse, or None.
    """

    chosen = Signal(object)
    opened = Signal(object)
    hovered = Signal(object)

    def __init__(self, items: RegionItems) -> None:
        super().__init__()
        self._items = items
        self._wanted = USUAL
        self._quiet = False
        self.setModel(items)
        self.setObjectName("regions")
        self.setAccessibleName("Regions")
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setMouseTracking(True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setMinimumSize(2 * SMALLEST, SMALLEST)
        self.entered.connect(lambda index: self.hovered.emit(self._region(index)))
        self.viewportEntered.connect(lambda: self.hovered.emit(None))
        self.doubleClicked.connect(lambda index: self.opened.emit(self._region(index)))
        self.pressed.connect(self._choose_again)
        self._selection.selectionChanged.connect(self._choose)
        items.modelReset.connect(self.fit)

    @property
    def current(self) -> RankedPatch | None:
        """The selected region."""
        rows = self._selection.selectedIndexes()
        return self._region(rows[0]) if rows else None

    def set_side(self, side: int) -> None:
        """Make the pictures so wide, in px, where there is room."""
        self._wanted = side
        self.fit()

    def step(self, by: int) -> None:
        """Choose the next region, or the one before; the first one where none is chosen."""
        count, rows = self._items.rowCount(), self._selection.selectedIndexes()
        row = rows[0].row() + by if rows else 0
        if 0 <= row < count:
            self.setCurrentIndex(self._items.index(row))

    def select_quietly(self, row: int | None) -> None:
        """Select a region that was chosen elsewhere: nobody is told."""
        self._quiet = True
        if row is None:
            self._selection.clear()
        else:
            self.setCurrentIndex(self._items.index(row))
        self._quiet = False

    def fit(self) -> None:
        """Fit the pictures to the room: in rows, or as one strip with pictures no higher than it."""
        text = self._text_size()
        below = text.height() + 2 * MARGIN
        room = self.height()
        strip = room < 2 * (self._wanted + below)
        bar: Any = self.horizontalScrollBar()
        side = max(SMALLEST, min(self._wanted, room - below - bar.sizeHint().height() * strip, self.width() - 3 * MARGIN))
        self.setWrapping(not strip)
        unused = self.setVerticalScrollBarPolicy if strip else self.setHorizontalScrollBarPolicy
        used = self.setHorizontalScrollBarPolicy if strip else self.setVerticalScrollBarPolicy
        unused(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        used(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setIconSize(QSize(side, side))
        self.setGridSize(QSize(max(side, text.width()) + 2 * MARGIN, side + below))
        self._items.resize(side, self.devicePixelRatioF())

    def keyPressEvent(self, event: Any) -> None:
        """Return opens, N steps as it does in the viewer; the rest is Qt's."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current is not None:
            self.opened.emit(self.current)
        elif event.key() == Qt.Key.Key_N:
            self.step(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: Any) -> None:
        """Another room."""
        super().resizeEvent(event)
        self.fit()

    def viewportEvent(self, event: Any) -> bool:
        """See the mouse leave."""
        if event.type() == QEvent.Type.Leave:
            self.hovered.emit(None)
        return bool(super().viewportEvent(event))

    @property
    def _selection(self) -> QItemSelectionModel:
        model: Any = self.selectionModel()
        return model

    def _text_size(self) -> QSize:
        """Room for each of the captions."""
        captions = [str(self._items.index(row).data()) for row in range(self._items.rowCount())] or [""]
        wide = max(self.fontMetrics().horizontalAdvance(line) for caption in captions for line in caption.split("\n"))
        lines = max(caption.count("\n") for caption in captions) + 1
        return QSize(min(wide, LARGEST), lines * self.fontMetrics().lineSpacing())

    def _choose(self) -> None:
        if self.current is not None and not self._quiet:
            self.chosen.emit(self.current)

    def _choose_again(self, index: QModelIndex) -> None:
        """A press on the region that is selected already; others are told of by the selection."""
        if self._selection.isSelected(index):
            self.chosen.emit(self._region(index))

    def _region(self, index: QModelIndex) -> RankedPatch | None:
        region: RankedPatch | None = index.data(Qt.ItemDataRole.UserRole)
        return region
