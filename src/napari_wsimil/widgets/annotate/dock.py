"""The dock "Annotate": regions drawn by hand, with a class each; files of QuPath and ASAP; and the prediction beside them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QFrame, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_wsimil.patches.patch import Patch
from napari_wsimil.widgets.annotate.agreement_box import AgreementBox
from napari_wsimil.widgets.annotate.board import Board
from napari_wsimil.widgets.annotate.brush import names_of
from napari_wsimil.widgets.annotate.class_panel import ClassPanel
from napari_wsimil.widgets.annotate.files_panel import FilesPanel, Offer
from napari_wsimil.widgets.annotate.keeping import (
    draft_of,
    drop_draft,
    keep_draft,
    offered_file,
    own_file,
    painted_into_layer,
    read_into_layer,
    write_drawn,
)
from napari_wsimil.widgets.annotate.recipe import agreement_recipe
from napari_wsimil.widgets.annotate.region_layer import drawn_on, is_drawn_on
from napari_wsimil.widgets.annotate.tools import Tools
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.parts import Column, Fold, LayerFollower, colour_as_error, follow, heading, say, text_label
from napari_wsimil.widgets.results import fly_to
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_chooser import ask_for_slide
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.annotate.keeping import Put

NO_SLIDE = "No slide is open."
HOW = "Choose a class and a tool, then draw. With Select or Corners, choosing a class gives it to the selected regions."
NARROWEST = 300
COUNT_MS, KEEP_MS, FIT_MS = 200, 1500, 120
"""How long changes are gathered before regions are counted, kept in the cache, and outlines fitted to the zoom."""


class Annotate(QWidget):
    """Classes, tools, files and the comparison, for the slide that the session means."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        self.board = Board(napari_viewer, self._session)
        self.classes = ClassPanel(self.board)
        self.tools = Tools(self.board)
        self.files = FilesPanel()
        self.offer = Offer()
        self.agreement = AgreementBox(self.board)
        self.note, self.problem = text_label(), text_label()
        self.open_button = QPushButton("Open a slide…")
        self.empty, self.filled = QWidget(), QScrollArea()
        self._slide: Slide | None = None
        self._files: dict[str, Path] = {}
        self._dirty: set[str] = set()
        self._unkept: dict[str, Slide] = {}
        self._waiting: list[Path] = []
        self._busy = False
        self._count, self._keep, self._fit = (_timer(self, *one) for one in self._soon())
        self._lay_out()
        self._connect()
        self._show_slide()
        settle(self, "Annotate")

    def sizeHint(self) -> QSize:
        """Room for the classes and the tools, where the window has it."""
        return QSize(340, 700)

    def open_file(self, path: str | Path) -> None:
        """Add the regions of a file to the slide, in a worker; a sentence where there is no slide, or no region."""
        if self._slide is None:
            self._say("", f"Open the slide of {Path(path).name} first, then drop the file again.")
            return
        self._waiting.append(Path(path))
        self._read_next()

    # -- layout -------------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        empty = QVBoxLayout(self.empty)
        empty.addWidget(text_label(NO_SLIDE))
        empty.addWidget(self.open_button)
        empty.addStretch(1)
        inside = Column()
        how = text_label(HOW)
        parts = (self.offer, heading("Classes"), self.classes, heading("Draw"), self.tools, how, self.note, self.problem)
        for part in (*parts, heading("Files"), self.files, Fold("Compare with the prediction", self.agreement)):
            inside.column.addWidget(part)
        inside.column.addStretch(1)
        self.filled.setWidgetResizable(True)
        self.filled.setFrameShape(QFrame.Shape.NoFrame)
        self.filled.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.filled.setWidget(inside)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.empty)
        whole.addWidget(self.filled)
        self.note.setObjectName("annotate_note")
        self.problem.setObjectName("annotate_problem")
        self.setMinimumWidth(NARROWEST)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _connect(self) -> None:
        self.open_button.clicked.connect(lambda: ask_for_slide(self, self._viewer))
        self.tools.painted.connect(self._turn_into_regions)
        self.tools.deleted.connect(lambda count: None if count else self._say("Select regions first, then delete them."))
        self.files.save_to.connect(self._save)
        self.files.export_to.connect(self._export)
        self.files.import_from.connect(self.open_file)
        self.offer.accepted.connect(self.open_file)
        self.offer.declined.connect(self._decline)
        self.agreement.region_chosen.connect(self._fly)
        self.agreement.compared.connect(self._did_compare)
        follow(self.board.book.changed, self._classes_changed, self)
        follow(self.board.class_chosen, self.classes.show_classes, self)
        follow(self._session.slide_changed, self._show_slide, self)
        follow(self._session.prediction_changed, self._show_prediction, self)
        self._follower = LayerFollower({"data": self._changed, "features": self._changed, "mode": self._mode_changed}, self)
        self._brush_follower = LayerFollower({"paint": self._changed, "mode": self._mode_changed}, self)
        layers = self._viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.selection.events.active):
            follow(event, self._layers_changed, self)
        follow(layers.events.removing, self._keep_drafts, self)
        follow(self._viewer.scene.camera.events.zoom, lambda _: self._fit.start(), self)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _soon(self) -> tuple[tuple[int, Callable[[], None]], ...]:
        return (COUNT_MS, self._show_counts), (KEEP_MS, self._keep_drafts), (FIT_MS, self.board.fit_lines)

    def _colour(self, _: Any = None) -> None:
        for label in (self.problem, self.agreement.problem):
            colour_as_error(label, self._viewer.theme)

    def _say(self, note: str, problem: str = "") -> None:
        say(self.note, note)
        say(self.problem, problem)

    # -- what is meant ------------------------------------------------------------------------------------------------------

    def _show_slide(self, _: Any = None) -> None:
        """Another slide is meant, or the same with another pixel size."""
        self._keep_drafts()
        slide, before = self._session.slide, self._slide
        self._slide = slide
        self.empty.setVisible(slide is None)
        self.filled.setVisible(slide is not None)
        if slide is not None and before is not None and slide.fingerprint == before.fingerprint:
            self.board.fit_slide()
            return
        self._say("")
        self.files.show_slide(slide, self._files.get(slide.fingerprint) if slide is not None else None)
        self._show_prediction()
        self._layers_changed()
        self.offer.show_file(None, None)
        if slide is not None and self.board.layer is None:
            read_in_background(slide, partial(offered_file, slide), self._show_offer)

    def _show_offer(self, found: tuple[Any, Any]) -> None:
        slide, path = found
        if slide is self._slide and isinstance(path, Path) and self.board.layer is None:
            self.offer.show_file(path, slide)

    def _decline(self, path: Path) -> None:
        if self._slide is not None and path == draft_of(self._slide):
            drop_draft(self._slide)
            read_in_background(self._slide, partial(offered_file, self._slide), self._show_offer)

    def _show_prediction(self, _: Any = None) -> None:
        prediction = self._session.prediction
        self.agreement.show_prediction(prediction)
        self._meet()
        self.tools.show_state()

    def _meet(self) -> None:
        prediction = self._session.prediction
        self.board.book.meet(prediction.classes if prediction is not None else (), self.board.names())
        if self.board.book.find(self.board.current) is None:
            self.board.choose(self.board.book.classes[0].name)

    def _layers_changed(self, _: Any = None) -> None:
        layer, brush = self.board.layer, self.board.brush
        self._follower.turn_to(layer)
        self._brush_follower.turn_to(brush)
        if layer is not None:
            self.board.adopt(layer)
        self.tools.show_state()
        self._count.start()

    def _mode_changed(self, _: Any = None) -> None:
        self.board.draw_next()
        self.tools.show_state()

    def _classes_changed(self) -> None:
        self.board.recolour()
        self.classes.show_classes()

    # -- what is drawn ------------------------------------------------------------------------------------------------------

    def _changed(self, _: Any = None) -> None:
        """Something was drawn, changed or deleted."""
        if self._slide is not None:
            self._dirty.add(self._slide.fingerprint)
            self._unkept[self._slide.fingerprint] = self._slide
            self._keep.start()
            self._count.start()
            self.agreement.drawn_changed()

    def _show_counts(self) -> None:
        self._meet()
        self.classes.model.show_counts(self.board.counts())
        self._show_saved()

    def _show_saved(self) -> None:
        slide = self._slide
        brush = self.board.brush
        drawn = bool(self.board.names()) or (brush is not None and bool(brush.data.any()))
        self.files.show_state(drawn=drawn, dirty=slide is not None and slide.fingerprint in self._dirty)

    def _keep_drafts(self, _: Any = None) -> None:
        """Keep what is not saved in the user's cache, so that it is there when the slide is opened again."""
        self._keep.stop()
        while self._unkept:
            _, slide = self._unkept.popitem()
            if is_drawn_on(self._viewer, slide):  # layers that were closed are not empty
                drawn = drawn_on(self._viewer, slide)
                read_in_background("kept", partial(keep_draft, drawn, slide, self.board.book), self._kept)

    def _kept(self, done: tuple[Any, Any]) -> None:
        if isinstance(done[1], Exception):
            self._say("", f"What you draw can't be kept until it is saved: {done[1]}")

    # -- files --------------------------------------------------------------------------------------------------------------

    def _read_next(self) -> None:
        slide = self._slide
        if self._busy or not self._waiting or slide is None:
            return
        path = self._waiting.pop(0)
        self.offer.show_file(None, None)
        self._say(f"Reading {path.name}…")
        book, rows, width = self.board.book, self.board.rows(), self.board.line_width()
        self._start((slide, path), partial(read_into_layer, path, slide, rows, book.colour, width))

    def _turn_into_regions(self) -> None:
        slide, brush = self._slide, self.board.brush
        if self._busy or slide is None or brush is None:
            return
        self._say("Turning into regions…")
        book, rows, width = self.board.book, self.board.rows(), self.board.line_width()
        mask, names, step = brush.data.copy(), names_of(brush), facts(brush)["step"]
        task = partial(painted_into_layer, mask, names, step, slide, rows, book.colour, width)
        self._start((slide, None), task)

    def _start(self, key: Any, task: Callable[[], Put]) -> None:
        self._busy = True
        for button in (self.files.import_button, self.tools.convert_button):
            button.setEnabled(False)
        read_in_background(key, task, self._put)

    def _put(self, done: tuple[Any, Any]) -> None:
        """Show what was read or painted, as regions."""
        (slide, path), put = done
        self._busy = False
        self.files.import_button.setEnabled(True)
        self.tools.show_state()
        if isinstance(put, Exception):
            self._say("", str(put))
        elif slide is self._slide:
            self._show_put(put, path)
        self._read_next()

    def _show_put(self, put: Put, path: Path | None) -> None:
        layer, brush, slide = self.board.layer, self.board.brush, self._slide
        if layer is not None and len(layer.data) != put.before:
            self._say("", "Regions were drawn meanwhile, so nothing was added; try again.")
            return
        was_empty = not self.board.names()
        self.board.put(put.layer)
        if path is None and brush is not None:
            self._viewer.layers.remove(brush)
        self._say(put.note)
        self._meet()
        self._layers_changed()
        if slide is not None and was_empty and path == own_file(slide):
            self._files[slide.fingerprint] = path
            self.files.show_slide(slide, path)
        else:
            self._changed()

    def _save(self, path: Path) -> None:
        slide, drawn = self._slide, self.board.drawn()
        if slide is not None and drawn is not None:
            self._keep_drafts()
            self._dirty.discard(slide.fingerprint)
            read_in_background((slide, drawn), partial(write_drawn, drawn, path, slide, self.board.book), self._saved)

    def _saved(self, done: tuple[Any, Any]) -> None:
        (slide, _), path = done
        if isinstance(path, Exception):
            self._dirty.add(slide.fingerprint)
            self._say("", str(path))
        else:
            self._files[slide.fingerprint] = path
            if slide.fingerprint not in self._dirty:
                drop_draft(slide)
            self._say("")
        self.files.show_slide(self._slide, self._files.get(self._slide.fingerprint) if self._slide is not None else None)
        self._show_saved()

    def _export(self, path: Path) -> None:
        slide, drawn = self._slide, self.board.drawn()
        if slide is not None and drawn is not None:
            read_in_background("export", partial(write_drawn, drawn, path, slide, self.board.book), self._exported)

    def _exported(self, done: tuple[Any, Any]) -> None:
        path = done[1]
        self._say(*("", str(path)) if isinstance(path, Exception) else (f"Exported to {path.name}.",))

    # -- the prediction -----------------------------------------------------------------------------------------------------

    def _did_compare(self, result: Any, prediction: Any) -> None:
        slide = self._slide
        if slide is not None:
            path = self._files.get(slide.fingerprint) or own_file(slide)
            self._session.did(agreement_recipe(result, prediction, path, slide.origin))

    def _fly(self, bounds: tuple[float, float, float, float]) -> None:
        """Show a region, with as much around it."""
        layer = self._session.slide_layer
        if layer is not None:
            x0, y0, x1, y1 = bounds
            side = max(x1 - x0, y1 - y0) / 2
            fly_to(self._viewer, layer, Patch(0.0, (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side))


def _timer(parent: QWidget, wait: int, call: Callable[[], None]) -> QTimer:
    """Calls once, a while after it was started last."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(wait)
    timer.timeout.connect(call)
    return timer
