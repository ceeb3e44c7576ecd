"""Marks, labels and the list of corrected slides, kept in step with the viewer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_wsimil.cohorts.overview import SlideRow
from napari_wsimil.training.background.recent import state_folder
from napari_wsimil.widgets.annotate.board import board_of
from napari_wsimil.widgets.annotate.filing import Filing
from napari_wsimil.widgets.inspector.cursor import CursorPlace
from napari_wsimil.widgets.parts import LayerFollower, follow
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_table.opening import SlideOpener
from napari_wsimil.widgets.training.correct.corrected import FILE, CorrectedSlide, CorrectedSlides, teaches
from napari_wsimil.widgets.training.correct.deeds import Deeds
from napari_wsimil.widgets.training.correct.mark_box import MarkBox
from napari_wsimil.widgets.training.correct.marks import Marks

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_wsimil.patches.patch import Patch

COUNT_MS = 200
"""How long changes are gathered before marks are counted."""

NO_PATCH = "The model looked at no patch there; click where its heatmap is, or draw a region."


class Correcting(QObject):
    """What is marked and said of slides.

    Parameters
    ----------
    viewer
        The napari viewer.
    page
        Clicks on the slide mark patches only while it is seen.

    Signals
    -------
    changed
        Another slide, prediction, mark or label.
    said
        A note and a problem, to be shown; either may be "".
    """

    changed = Signal()
    said = Signal(str, str)

    def __init__(self, viewer: Any, page: QWidget) -> None:
        super().__init__(page)
        self._viewer = viewer
        self._page = page
        self.session = session_of(viewer)
        self.board = board_of(viewer)
        self.deeds = Deeds()
        self.slides = CorrectedSlides(state_folder() / FILE)
        self.marks = Marks(self.board, self.deeds)
        self.filing = Filing(self.board, page)
        self.box = MarkBox(self.board)
        self.opener = SlideOpener(viewer, self.session, page)
        self.opener.close_before = False
        self._cursor = CursorPlace(viewer, self.session, page)
        self._layer: Any = None
        self._waiting: list[Patch] = []
        self._removed: dict[str, dict[str, int]] = {}
        self._count = QTimer(self)
        self._count.setSingleShot(True)
        self._count.setInterval(COUNT_MS)
        self._count.timeout.connect(self.count)
        self._follower = LayerFollower({"data": self._drawn, "features": self._drawn, "mode": self.box.show_state}, page)
        self._brush_follower = LayerFollower({"paint": self._painted, "mode": self.box.show_state}, page)
        self._connect()
        self._show_slide()

    @property
    def fingerprint(self) -> str:
        """Of the open slide, or ""."""
        slide = self.session.slide
        return "" if slide is None else slide.fingerprint

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the model that made the prediction that is meant; none where there is no prediction."""
        prediction = self.session.prediction
        return () if prediction is None else prediction.classes

    @property
    def this_slide(self) -> CorrectedSlide | None:
        """What is known of the open slide, whether it is on the list or not."""
        slide = self.session.slide
        if slide is None:
            return None
        found = self.slides.find(slide.fingerprint)
        if found is not None:
            return found
        mpp = float(slide.mpp[0]) if slide.mpp is not None and slide.mpp_source == "user" else None
        return CorrectedSlide(path=slide.path, fingerprint=slide.fingerprint, mpp=mpp)

    def set_label(self, label: str | None) -> None:
        """Say what the label of the open slide is, None for unknown."""
        one = self.this_slide
        if one is not None and label != one.label:
            self._removed.pop(one.fingerprint, None)
            self.slides.put(one.model_copy(update={"label": label}))
            self.deeds.did("label", partial(self._put_label, one.fingerprint, one.label), one.fingerprint)

    def remove(self, one: CorrectedSlide) -> None:
        """Take a slide off the list; what is drawn on it stays, and another mark brings it back."""
        before = self.slides.slides
        self._removed[one.fingerprint] = dict(one.marks)
        self.slides.remove(one.fingerprint)
        self.deeds.did("removal", partial(self._put_back, one.fingerprint, before))

    def open(self, one: CorrectedSlide) -> None:
        """Bring a slide of the list into view; its marks come with it."""
        self.said.emit("", "")
        self.opener.open(SlideRow(one.name, one.path, one.mpp))

    def undo(self) -> None:
        """Undo what was done last."""
        self.said.emit("", "")
        self.deeds.undo(self.fingerprint)

    def count(self) -> None:
        """Bring the list in step with what is drawn on the open slide."""
        self._count.stop()
        self.board.book.meet(self.classes, self.board.names())
        one = self.this_slide
        if one is None:
            self.changed.emit()
            return
        if self.marks.are_shown:
            counts = self.marks.counts()
            known = self.slides.find(one.fingerprint) is not None
            useful = known or any(teaches(name, self.classes) for name in counts)
            if useful and counts != self._removed.get(one.fingerprint):
                self._removed.pop(one.fingerprint, None)
                file = self.board.files.get(one.fingerprint)
                self.slides.put(one.model_copy(update={"marks": counts, "file": file or one.file}))
        self.changed.emit()

    def _connect(self) -> None:
        session, layers = self.session, self._viewer.layers
        follow(session.slide_changed, self._show_slide, self._page)
        follow(session.prediction_changed, self._show_prediction, self._page)
        follow(session.patch_chosen, self.box.show_patch, self._page)
        for event in (layers.events.inserted, layers.events.removed, layers.selection.events.active):
            follow(event, self._layers_changed, self._page)
        follow(layers.events.removing, self.filing.keep, self._page)
        follow(self.board.class_chosen, self.box.follow_class, self._page)
        follow(self.board.book.changed, self._classes_changed, self._page)
        follow(self.slides.changed, self.changed.emit, self._page)
        follow(self.deeds.changed, self.changed.emit, self._page)
        self._cursor.clicked.connect(self._clicked)
        self.box.mark_chosen.connect(lambda: self._mark(self.session.patch))
        self.box.about_to_mark.connect(self.filing.accept_offer)
        self.filing.offered.connect(self._offered)
        self.filing.put.connect(self._were_put)
        self.filing.said.connect(self.said)
        self.opener.refused.connect(lambda sentence: self.said.emit("", sentence))

    def _show_slide(self, _: Any = None) -> None:
        self._waiting.clear()
        self.filing.show_slide(self.session.slide)
        self._layer = None
        self._layers_changed()
        self._show_prediction()

    def _show_prediction(self, _: Any = None) -> None:
        self.box.show_prediction(self.session.prediction)
        self.count()

    def _classes_changed(self, _: Any = None) -> None:
        self.board.recolour()
        self.box.show_state()

    def _layers_changed(self, _: Any = None) -> None:
        layer = self.board.layer
        self._follower.turn_to(layer)
        self._brush_follower.turn_to(self.board.brush)
        if layer != self._layer or layer is None:
            self._layer = layer
            self.marks.remember()
        if layer is not None:
            self.board.adopt(layer)
        self.box.show_state()
        self._count.start()

    def _drawn(self, event: Any) -> None:
        self.marks.changed(event)
        self.filing.changed()
        self._count.start()

    def _painted(self, _: Any = None) -> None:
        self.marks.painted()
        self.filing.changed()
        self._count.start()

    def _clicked(self, x: float, y: float) -> None:
        prediction = self.session.prediction
        if not self.box.is_patching or prediction is None:
            return
        patch = self.marks.patch_at(prediction, x, y)
        self.said.emit("", "" if patch is not None else NO_PATCH)
        self._mark(patch)

    def _mark(self, patch: Patch | None) -> None:
        """Mark a patch, now or as soon as what was drawn earlier is there."""
        if patch is None:
            return
        self.filing.accept_offer()
        if self.filing.busy:
            self._waiting.append(patch)
        else:
            self.marks.toggle(patch, self.box.name)

    def _offered(self) -> None:
        """What was drawn earlier on a slide of the list comes by itself."""
        if self._page.isVisible() and self.slides.find(self.fingerprint) is not None:
            self.filing.accept_offer()

    def _were_put(self) -> None:
        self.box.again()
        waiting, self._waiting = self._waiting, []
        for patch in waiting:
            self.marks.toggle(patch, self.box.name)
        self._count.start()

    def _put_label(self, fingerprint: str, label: str | None) -> None:
        one = self.slides.find(fingerprint) or self.this_slide
        if one is not None:
            self.slides.put(one.model_copy(update={"label": label}))

    def _put_back(self, fingerprint: str, before: tuple[CorrectedSlide, ...]) -> None:
        self._removed.pop(fingerprint, None)
        self.slides.put_back(before)
