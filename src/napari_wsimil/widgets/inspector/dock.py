"""The dock "Zoom inspector": one place at all magnifications, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QBoxLayout, QCheckBox, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from napari_wsimil.inference.levels import Levels
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.inspector.card import PICTURE_SIDE, SPACING, TEXT_WIDTH, Card, tile_side
from napari_wsimil.widgets.inspector.colours import overlay_colour
from napari_wsimil.widgets.inspector.content import cards_of
from napari_wsimil.widgets.inspector.cursor import CursorPlace
from napari_wsimil.widgets.parts import follow, text_label
from napari_wsimil.widgets.results import fly_to
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.thumbnails import Thumbnails

if TYPE_CHECKING:
    from qtpy.QtGui import QImage

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.levels import Family, SeenPatch
    from napari_wsimil.patches.patch import Patch
    from napari_wsimil.widgets.inspector.content import CardContent

NO_PREDICTION = "Predict the slide to see each place at the magnifications that the model looked at."
MOVE = "Move the cursor over the slide; a click holds the place."
HELD = "The place is held; click another one, or follow the cursor again."
NO_PATCH = "The model looked at no patch here."

SMALLEST, LARGEST = 84, 320
"""Sides of a picture in px."""

LOW = 290
"""Height in px of the dock below which the scores stand beside the pictures."""

WORDS_HEIGHT = 92
"""Room in px for the title and the scores below a picture."""


class ZoomInspector(QWidget):
    """The patch under the cursor, its parents and its children, each at its own magnification, with its scores."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        self._levels: tuple[SlidePrediction, Levels] | None = None
        self._place: tuple[float, float, float | None] | None = None
        self._family: Family | None = None
        self._cards: list[CardContent] = []
        self._thumbnails = Thumbnails(self)
        self._cursor = CursorPlace(napari_viewer, self._session, self)
        self.follow_button = QCheckBox("Follow the cursor")
        self.hint = text_label()
        self.cards: list[Card] = []
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._area = QScrollArea()
        self._lay_out()
        self._connect()
        self._turn_to(self._session.prediction)
        settle(self, "Zoom inspector")

    @property
    def family(self) -> Family | None:
        """The patches that are shown."""
        return self._family

    def sizeHint(self) -> QSize:
        """A strip below the slide."""
        return QSize(340, 230)

    def minimumSizeHint(self) -> QSize:
        """One small picture."""
        return QSize(280, 150)

    def resizeEvent(self, event: Any) -> None:
        """Other room: larger or smaller pictures."""
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: Any) -> None:
        """Seen again: show what was pointed out meanwhile."""
        super().showEvent(event)
        if self._place is not None:
            self._look_at(*self._place)

    def _lay_out(self) -> None:
        self.follow_button.setObjectName("inspector_follow")
        self.follow_button.setChecked(True)
        self.follow_button.setToolTip("Show what is under the cursor; a click on the slide or a chosen region holds a place")
        self.hint.setObjectName("inspector_hint")
        head = QHBoxLayout()
        head.addWidget(self.follow_button)
        head.addWidget(self.hint, 1)
        inside = QWidget()
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(SPACING)
        self._row.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        inside.setLayout(self._row)
        self._area.setObjectName("inspector_pictures")
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setWidget(inside)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 2, 6, 2)
        column.addLayout(head)
        column.addWidget(self._area, 1)

    def _connect(self) -> None:
        self._cursor.moved.connect(self._look)
        self._cursor.clicked.connect(self._hold)
        self.follow_button.toggled.connect(self._follow)
        self._thumbnails.ready.connect(self._arrived)
        follow(self._session.prediction_changed, self._turn_to, self)
        follow(self._session.patch_chosen, self._take_patch, self)

    def _turn_to(self, prediction: SlidePrediction | None) -> None:
        """Another prediction is meant; its patches are sorted in the background."""
        self._levels = None
        self._show([])
        self._say()
        if prediction is not None:
            read_in_background(prediction, lambda: Levels(prediction), self._take_levels)

    def _take_levels(self, found: tuple[SlidePrediction, Levels]) -> None:
        prediction, _ = found
        if prediction is not self._session.prediction:
            return
        self._levels = found
        patch = self._session.patch
        if self._place is None and patch is not None:
            self._take_patch(patch)
        elif self._place is not None:
            self._look_at(*self._place)

    def _follow(self, on: bool) -> None:
        self._cursor.following = on
        self._say()

    def _take_patch(self, patch: Patch | None) -> None:
        """A patch was pointed out in a dock."""
        if patch is None:
            return
        self.follow_button.setChecked(False)
        self._look_at(*patch.centre, patch.mpp)

    def _hold(self, x: float, y: float) -> None:
        """The slide was clicked."""
        self.follow_button.setChecked(False)
        self._look(x, y)

    def _look(self, x: float, y: float) -> None:
        """Show this place, at the magnification of the layer that is selected."""
        self._look_at(x, y, self._selected_mpp())

    def _look_at(self, x: float, y: float, mpp: float | None) -> None:
        self._place = (x, y, mpp)
        if self._levels is None or not self.isVisible():
            return
        prediction, levels = self._levels
        # The finest has no children: those of its parent tell more, and it is one of them.
        family = levels.family(x, y, None if mpp == levels.mpps[-1] else mpp)
        if family.patch is None:
            self._say(NO_PATCH)
            return
        self._say()
        self._family = family
        cards = cards_of(prediction, family, (x, y), self._colour, mpp)
        if cards != self._cards:
            self._show(cards)

    def _selected_mpp(self) -> float | None:
        active = self._viewer.layers.selection.active
        about = facts(active) if active is not None else {}
        found: float | None = about.get("mpp") if about.get("prediction") is self._session.prediction else None
        return found

    def _colour(self, prediction: SlidePrediction, seen: SeenPatch) -> tuple[float, float, float] | None:
        return overlay_colour(self._viewer, prediction, seen)

    def _show(self, cards: list[CardContent]) -> None:
        """Show these cards, in widgets that stay."""
        if not cards:
            self._family = None
        before, self._cards = len(self._cards), cards
        while len(self.cards) < len(cards):
            self._add_card()
        if len(cards) != before:
            self._fit()
        for place, card in enumerate(self.cards):
            card.setVisible(place < len(cards))
            if place < len(cards):
                card.show_card(cards[place])
        self._ask()

    def _add_card(self) -> None:
        card = Card(self._picture)
        card.picture.setObjectName(f"inspector_picture_{len(self.cards)}")
        card.picture.chosen.connect(self._session.choose_patch)
        card.picture.wanted.connect(self._fly)
        self.cards.append(card)
        self._row.addWidget(card)

    def _fit(self) -> None:
        """Make the pictures as large as there is room for all: in a row, or below each other in a tall dock."""
        count, room = max(1, len(self._cards)), self._area.size()
        tall = room.height() > room.width()
        beside = tall or self.height() < LOW
        self._row.setDirection(QBoxLayout.Direction.TopToBottom if tall else QBoxLayout.Direction.LeftToRight)
        width = room.width() if tall else (room.width() - SPACING * (count - 1)) // count
        height = (room.height() - SPACING * (count - 1)) // count if tall else room.height()
        side = min(width - (TEXT_WIDTH + SPACING if beside else 0), height - (0 if beside else WORDS_HEIGHT))
        for card in self.cards:
            card.resize_to(max(SMALLEST, min(LARGEST, side - 2)), beside=beside)

    def _ask(self) -> None:
        """Have what is not there yet read: the patch that is meant first."""
        slide = self._session.slide
        if slide is None or not self._cards:
            return
        self._thumbnails.forget()
        for card in self._cards:
            inside = [tile for tile in card.tiles if tile.filled]
            if inside:
                self._thumbnails.ask(slide, [tile.patch for tile in inside], tile_side(card, inside[0]))
        patches = [card.patch for card in sorted(self._cards, key=lambda card: not card.meant) if card.patch is not None]
        self._thumbnails.ask(slide, patches, PICTURE_SIDE)

    def _picture(self, patch: Patch, side: int) -> QImage | None:
        slide = self._session.slide
        return None if slide is None else self._thumbnails.picture(slide, patch, side)

    def _arrived(self, *_: Any) -> None:
        for card in self.cards:
            card.picture.update()

    def _fly(self, patch: Patch) -> None:
        if self._session.slide_layer is not None:
            fly_to(self._viewer, self._session.slide_layer, patch)

    def _say(self, words: str = "") -> None:
        if self._session.prediction is None:
            words = NO_PREDICTION
        self.hint.setText(words or (MOVE if self.follow_button.isChecked() else HELD))
