"""The dock "Annotate": regions drawn by hand, with a class each; files of QuPath and ASAP; and the prediction beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QFrame, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_wsimil.patches.patch import Patch
from napari_wsimil.widgets.annotate.agreement_box import AgreementBox
from napari_wsimil.widgets.annotate.board import board_of
from napari_wsimil.widgets.annotate.class_panel import ClassPanel
from napari_wsimil.widgets.annotate.filing import Filing
from napari_wsimil.widgets.annotate.recipe import agreement_recipe
from napari_wsimil.widgets.annotate.tools import Tools
from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.parts import Column, Fold, LayerFollower, colour_as_error, follow, heading, say, text_label
from napari_wsimil.widgets.results import fly_to
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_chooser import ask_for_slide

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_wsimil.slides import Slide

NO_SLIDE = "No slide is open."
HOW = "Choose a class and a tool, then draw. With Select or Corners, choosing a class gives it to the selected regions."
NARROWEST = 300
COUNT_MS, FIT_MS = 200, 120
"""How long changes are gathered before regions are counted, and outlines fitted to the zoom."""


class Annotate(QWidget):
    """Classes, tools, files and the comparison, for the slide that the session means."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        self.board = board_of(napari_viewer)
        self.classes = ClassPanel(self.board)
        self.tools = Tools(self.board)
        self.filing = Filing(self.board, self)
        self.agreement = AgreementBox(self.board)
        self.note, self.problem = text_label(), text_label()
        self.open_button = QPushButton("Open a slide…")
        self.empty, self.filled = QWidget(), QScrollArea()
        self._slide: Slide | None = None
        self._count = _timer(self, COUNT_MS, self._show_counts)
        self._fit = _timer(self, FIT_MS, self.board.fit_lines)
        self._follower = LayerFollower({"data": self._changed, "features": self._changed, "mode": self._mode_changed}, self)
        self._brush_follower = LayerFollower({"paint": self._changed, "mode": self._mode_changed}, self)
        self._lay_out()
        self._connect()
        self._show_slide()
        settle(self, "Annotate")

    def sizeHint(self) -> QSize:
        """Room for the classes and the tools, where the window has it."""
        return QSize(340, 700)

    def open_file(self, path: str | Path) -> None:
        """Add the regions of a file to the slide, in a worker; a sentence where there is no slide, or no region."""
        self.filing.open_file(path)

    def _lay_out(self) -> None:
        empty = QVBoxLayout(self.empty)
        empty.addWidget(text_label(NO_SLIDE))
        empty.addWidget(self.open_button)
        empty.addStretch(1)
        inside = Column()
        drawing = (heading("Draw"), self.tools, text_label(HOW), self.note, self.problem)
        compare = Fold("Compare with the prediction", self.agreement)
        for part in (
            self.filing.offer,
            heading("Classes"),
            self.classes,
            *drawing,
            heading("Files"),
            self.filing.panel,
            compare,
        ):
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
        self.tools.painted.connect(self.filing.turn_into_regions)
        self.tools.deleted.connect(lambda count: None if count else self._say("Select regions first, then delete them."))
        self.filing.said.connect(self._say)
        self.filing.put.connect(self._layers_changed)
        self.agreement.region_chosen.connect(self._fly)
        self.agreement.compared.connect(self._did_compare)
        follow(self.board.book.changed, self._classes_changed, self)
        follow(self.board.class_chosen, self.classes.show_classes, self)
        follow(self._session.slide_changed, self._show_slide, self)
        follow(self._session.prediction_changed, self._show_prediction, self)
        layers = self._viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.selection.events.active):
            follow(event, self._layers_changed, self)
        follow(layers.events.removing, self.filing.keep, self)
        follow(self._viewer.scene.camera.events.zoom, self._zoomed, self)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _colour(self, _: Any = None) -> None:
        for label in (self.problem, self.agreement.problem):
            colour_as_error(label, self._viewer.theme)

    def _say(self, note: str, problem: str = "") -> None:
        say(self.note, note)
        say(self.problem, problem)

    def _show_slide(self, _: Any = None) -> None:
        """Another slide is meant, or the same with another pixel size."""
        slide, before = self._session.slide, self._slide
        self._slide = slide
        self.empty.setVisible(slide is None)
        self.filled.setVisible(slide is not None)
        self._say("")
        self.filing.show_slide(slide)
        if slide is not None and before is not None and slide.fingerprint == before.fingerprint:
            self.board.fit_slide()
        self._show_prediction()
        self._layers_changed()

    def _show_prediction(self, _: Any = None) -> None:
        self.agreement.show_prediction(self._session.prediction)
        self._meet()
        self.tools.show_state()

    def _meet(self) -> None:
        """Take in the classes that there are now."""
        prediction, board = self._session.prediction, self.board
        board.book.meet(prediction.classes if prediction is not None else (), board.names())
        if board.book.find(board.current) is None:
            board.choose(board.book.classes[0].name)

    def _layers_changed(self, _: Any = None) -> None:
        layer = self.board.layer
        self._follower.turn_to(layer)
        self._brush_follower.turn_to(self.board.brush)
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

    def _changed(self, _: Any = None) -> None:
        """Something was drawn, changed or deleted."""
        self.filing.changed()
        self.agreement.drawn_changed()
        self._count.start()

    def _show_counts(self) -> None:
        self._meet()
        self.classes.model.show_counts(self.board.counts())
        self.filing.show_state()

    def _zoomed(self, _: Any = None) -> None:
        self._fit.start()

    def _did_compare(self, result: Any, prediction: Any) -> None:
        slide, path = self._slide, self.filing.file
        if slide is not None and path is not None:
            self._session.did(agreement_recipe(result, prediction, path, slide.origin, self.agreement.rest))

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
