"""The dock "Regions": the patches that matter most, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QMenu, QVBoxLayout, QWidget

from napari_wsimil.errors import WsimilError
from napari_wsimil.exports.regions import save_regions
from napari_wsimil.inference.ranking import rank_patches, rankings
from napari_wsimil.inference.similar import Appearance, appearance
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.parts import colour_as_error, follow, say, text_label
from napari_wsimil.widgets.regions.controls import RankingControls
from napari_wsimil.widgets.regions.deeds import ranking_recipe, saving_recipe
from napari_wsimil.widgets.regions.items import RegionItems
from napari_wsimil.widgets.regions.keys import StepKeys
from napari_wsimil.widgets.regions.marks import RegionMarks
from napari_wsimil.widgets.regions.saving import ask_folder
from napari_wsimil.widgets.regions.view import RegionView
from napari_wsimil.widgets.regions.words import layer_text, told
from napari_wsimil.widgets.results import fly_to
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.thumbnails import Thumbnails
from napari_wsimil.widgets.view_geometry import screen_pixel, zoom_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.ranking import RankedPatch
    from napari_wsimil.widgets.regions.controls import Choice

NO_SLIDE = "Open a slide and predict it, or open a saved prediction: the regions that mattered most appear here."
NO_SCORES = "This model gives no score for patches, so there are none to rank."
SETTLE_MS = 500
"""A choice that stays so long is remembered as something that was done."""


class RegionGallery(QWidget):
    """Pictures of the patches of a prediction, ranked; the way to each of them on the slide."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        self._similar_to: RankedPatch | None = None
        self._known: dict[float, Appearance] = {}
        self._asked: Any = None
        self._behind = True
        self.controls = RankingControls()
        self.items = RegionItems(Thumbnails(self))
        self.view = RegionView(self.items)
        self.message, self.note = text_label(), text_label()
        self.marks = RegionMarks(napari_viewer)
        self._keys = StepKeys(napari_viewer, self.view.step)
        self._boxes: tuple[SlidePrediction, list[RankedPatch], str] | None = None
        self._settled = _timer(self, SETTLE_MS, self._remember)
        # a reader adds the layers of a prediction one by one, and the boxes come last
        self._turn = _timer(self, 0, self._number)
        self._lay_out()
        self._connect()
        settle(self, "Regions")

    @property
    def prediction(self) -> SlidePrediction | None:
        """The prediction whose regions are shown."""
        return self._session.prediction

    @property
    def regions(self) -> list[RankedPatch]:
        """What is shown, in order."""
        return self.items.regions

    def sizeHint(self) -> QSize:
        """A strip of pictures below the slide."""
        return QSize(340, 220)

    def rank_by(self, *wanted: str) -> None:
        """Rank by the first of these (`Ranking.by`) that the prediction offers."""
        if self._behind and self.isVisible():
            self._follow_prediction(self.prediction)
        self._similar_to = None
        any(self.controls.choose(by) for by in wanted)
        self.refill()

    def find_similar(self) -> None:
        """Show the patches that look most like the chosen one."""
        if self.view.current is not None:
            self._similar_to = self.view.current
            self.refill()

    def back(self) -> None:
        """Show the ranking again, with the region chosen for which similar ones were shown."""
        region, self._similar_to = self._similar_to, None
        self.refill()
        if region is not None:
            self.view.select_quietly(self.items.row_of(region.patch))
            self._follow_chosen()

    def refill(self) -> None:
        """Rank anew."""
        say(self.message, "")
        say(self.note, "")
        prediction, choice = self.prediction, self.controls.choice
        reference, self._asked = self._similar_to, None
        self.controls.set_similar(*((None,) if reference is None else (reference.rank, told(reference))))
        if prediction is None:
            self._show([], NO_SLIDE)
        elif reference is not None:
            self._search(prediction, reference, choice)
        elif choice.ranking is None:
            self._show([], NO_SCORES)
        else:
            ranked = rank_patches(prediction, choice.ranking, count=choice.count, lowest=choice.lowest)
            self._show(ranked, layer=layer_text(choice.ranking, lowest=choice.lowest))

    def save(self, folder: str) -> None:
        """Write the pictures and the table of what is shown, in the background."""
        slide, regions = self._session.slide, list(self.regions)
        if slide is None or self.prediction is None or not regions:
            return
        self.controls.save_button.setEnabled(False)
        say(self.message, "")
        say(self.note, "Saving…")
        recipe = saving_recipe(self.prediction, self.controls.choice, self._similar_to, str(slide.path), Path(folder))
        read_in_background((folder, recipe), lambda: save_regions(slide, regions, folder), self._saved)

    def showEvent(self, event: Any) -> None:
        """Listen to the keys as long as the dock is open, and catch up with the prediction."""
        super().showEvent(event)
        self._keys.hold()
        if self._behind:
            self._follow_prediction(self.prediction)

    def hideEvent(self, event: Any) -> None:
        """Give the keys back, and take the mark away."""
        super().hideEvent(event)
        self._keys.let_go()
        self.marks.mark(None, None)

    def _lay_out(self) -> None:
        self.message.setObjectName("message")
        self.note.setObjectName("note")
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(4)
        for part in (self.controls, self.message, self.note):
            column.addWidget(part)
        column.addWidget(self.view, 100)
        column.addStretch(1)

    def _connect(self) -> None:
        follow(self._session.prediction_changed, self._follow_prediction, self)
        follow(self._session.patch_chosen, self._follow_patch, self)
        follow(self._viewer.events.theme, self._colour, self)
        self.destroyed.connect(lambda *_, keys=self._keys: keys.let_go())
        self.controls.changed.connect(self._choice_changed)
        self.controls.side_changed.connect(self.view.set_side)
        self.controls.similar_button.clicked.connect(self.find_similar)
        self.controls.back_button.clicked.connect(self.back)
        self.controls.save_button.clicked.connect(self._ask_folder)
        self.view.chosen.connect(self._go)
        self.view.opened.connect(self._open)
        self.view.hovered.connect(self._mark)
        self.view.customContextMenuRequested.connect(self._offer)
        self._colour()

    def _colour(self, _: Any = None) -> None:
        colour_as_error(self.message, self._viewer.theme)

    def _follow_prediction(self, prediction: SlidePrediction | None) -> None:
        """Another prediction: its rankings, and the same choice of them where it has it; a closed dock waits."""
        self._behind = not self.isVisible()
        if self._behind:
            return
        self._similar_to, self._known = None, {}
        self.marks.forget()
        self.controls.offer(rankings(prediction) if prediction is not None else [])
        self.refill()

    def _follow_patch(self, patch: Any) -> None:
        """A patch was pointed out, here or in another dock."""
        self.view.select_quietly(self.items.row_of(patch))
        self._follow_chosen()

    def _follow_chosen(self) -> None:
        self.controls.similar_button.setEnabled(self.view.current is not None)

    def _choice_changed(self) -> None:
        self.refill()
        self._settled.start()

    def _show(self, regions: list[RankedPatch], note: str = "", layer: str = "") -> None:
        self.items.show(self._session.slide, regions)
        say(self.note, note)
        self.controls.setVisible(self.prediction is not None)
        self.controls.save_button.setEnabled(bool(regions))
        self._follow_patch(self._session.patch)
        self.view.setVisible(bool(regions))
        self._boxes = None if self.prediction is None or not layer else (self.prediction, regions, layer)
        self._turn.start()

    def _number(self) -> None:
        """Draw the boxes on the slide."""
        if self._boxes is not None and self._boxes[0] is self.prediction:
            self.marks.number(*self._boxes)

    def _search(self, prediction: SlidePrediction, reference: RankedPatch, choice: Choice) -> None:
        """Compare features in the background; the first time on a slide they are read from the disk."""
        known, mpp = self._known.get(reference.patch.mpp), reference.patch.mpp
        self._asked = (prediction, reference, choice)

        def search() -> tuple[Appearance, list[RankedPatch]]:
            found = known or appearance(prediction, mpp)
            return found, found.similar_to(reference.patch, count=choice.count, lowest=choice.lowest)

        read_in_background(self._asked, search, self._found)

    def _found(self, found: tuple[Any, Any]) -> None:
        asked, outcome = found
        if asked is not self._asked:
            return
        if isinstance(outcome, Exception):
            self.back()
            self._complain(outcome)
            return
        _, reference, choice = asked
        self._known[reference.patch.mpp], regions = outcome
        self._show(regions, layer="Least similar regions" if choice.lowest else "Similar regions")
        self._settled.start()

    def _go(self, region: RankedPatch) -> None:
        """Fly to a region and point it out."""
        if self._session.slide_layer is not None:
            fly_to(self._viewer, self._session.slide_layer, region.patch)
            self._session.choose_patch(region.patch)

    def _open(self, region: RankedPatch) -> None:
        """Show a region with one level-0 pixel on each pixel of the screen."""
        layer, slide = self._session.slide_layer, self._session.slide
        if layer is None or slide is None:
            return
        self._go(region)
        across = screen_pixel(self._viewer, layer, slide.mpp)
        if across is not None:
            wanted = slide.mpp[0] if slide.mpp else 1.0
            zoom_by(self._viewer, layer, across / (wanted * self.devicePixelRatioF()))

    def _mark(self, region: RankedPatch | None) -> None:
        self.marks.mark(self._session.slide_layer, region.patch if region is not None else None)

    def _offer(self, place: Any) -> None:
        """Show what can be done with the region under the mouse."""
        region: RankedPatch | None = self.view.indexAt(place).data(Qt.ItemDataRole.UserRole)
        if region is None:
            return
        menu = QMenu(self)
        menu.setObjectName("region_menu")
        for text, do in (("Open at full resolution", lambda: self._open(region)), ("Find similar patches", self.find_similar)):
            action: Any = menu.addAction(text)
            action.triggered.connect(lambda _=False, do=do: do())
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.view.mapToGlobal(place))

    def _ask_folder(self) -> None:
        slide = self._session.slide
        if slide is not None:
            ask_folder(self, slide.path, self.save)

    def _saved(self, found: tuple[Any, Any]) -> None:
        (folder, recipe), outcome = found
        self.controls.save_button.setEnabled(bool(self.regions))
        say(self.note, "")
        if isinstance(outcome, Exception):
            self._complain(outcome)
            return
        say(self.note, f"Saved {len(outcome) - 1} pictures and {outcome[-1].name} in {folder}")
        self._session.did(recipe)

    def _complain(self, error: Exception) -> None:
        say(self.message, str(error) if isinstance(error, WsimilError) else f"That did not work: {error}.")

    def _remember(self) -> None:
        if self.prediction is not None and self.regions:
            self._session.did(ranking_recipe(self.prediction, self.controls.choice, self._similar_to))


def _timer(parent: QWidget, wait: int, callback: Callable[[], None]) -> QTimer:
    """Calls back once, `wait` ms after it was last started, unless its parent is gone by then."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(wait)
    timer.timeout.connect(callback)
    return timer
