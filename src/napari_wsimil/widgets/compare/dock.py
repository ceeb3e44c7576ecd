"""The dock "Compare": two predictions of a slide."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_wsimil.errors import PredictionError
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.compare.choices import Choices
from napari_wsimil.widgets.compare.figures import Figures
from napari_wsimil.widgets.compare.recipe import comparing
from napari_wsimil.widgets.compare.views import OnTheSlide
from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.parts import Column, colour_as_error, follow, heading, say, scrolled, text_label
from napari_wsimil.widgets.recipes import PREDICTION_SUFFIX, note_file
from napari_wsimil.widgets.session import session_of

if TYPE_CHECKING:
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.comparison import Comparison
    from napari_wsimil.widgets.compare.choices import Request

NO_SLIDE = "Open a slide and predict it to compare."
TOO_FEW = "Predict the slide with a second model, or add a saved prediction, to compare."
NOTHING_SHARED = "These two have nothing in common that could be compared."
NARROWEST = 300
"""Width in px at which no text of the dock is cut."""

VIEWS = {
    "off": ("Nothing", "Take the comparison off the slide and show what was shown before"),
    "blend": ("One on top of the other", "Both heatmaps in the same place; the slider fades from one to the other"),
    "side by side": ("Side by side", "Two views of the slide that move together, each with its heatmap"),
    "difference": ("Difference map", "Orange where the first is higher, blue where the second is"),
}


class ComparePredictions(QWidget):
    """Two predictions of the slide that is meant, or two magnifications of one: on the slide, and in numbers."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        self._added: list[SlidePrediction] = []
        self._request: Request | None = None
        self._comparison: Comparison | None = None
        self.choices = Choices()
        self.add_button = QPushButton("Add a saved prediction…")
        self.message = text_label()
        self.hint = text_label()
        self.views = {view: QRadioButton(text) for view, (text, _) in VIEWS.items()}
        self._group = QButtonGroup(self)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.blending = QWidget()
        self.compared = QWidget()
        self.figures = Figures()
        self._ending = QTimer(self)  # gone with the dock, should that be gone before
        self._ending.setSingleShot(True)
        self._ending.timeout.connect(self._end_in_time)
        self._shown = shown = OnTheSlide(napari_viewer, self._end_soon)
        self._name_parts()
        self._lay_out()
        self._connect()
        self.destroyed.connect(lambda *_: shown.close())
        self._offer()
        settle(self, "Compare")

    @property
    def comparison(self) -> Comparison | None:
        """What was found, once it is."""
        return self._comparison

    @property
    def view(self) -> Any:
        """How it is shown on the slide: "off", "blend", "side by side" or "difference"."""
        return next(view for view, button in self.views.items() if button.isChecked())

    def sizeHint(self) -> QSize:
        """Room for all of it without scrolling, where the window has it."""
        return QSize(340, 600)

    def event(self, event: Any) -> bool:
        """Out of its dock: napari takes a widget out before it is gone."""
        done = super().event(event)
        if event.type() == QEvent.Type.ParentChange and self.parentWidget() is None and self._shown.left:
            self._end()
        return done

    def add_file(self, path: str) -> None:
        """Offer a saved prediction of the slide as well; its layers do not come into the viewer."""

        def read() -> SlidePrediction:
            from napari_wsimil.inference import load_prediction

            return load_prediction(path)

        read_in_background(path, read, self._take_file)

    def compare(self, first: SlidePrediction, second: SlidePrediction, view: str) -> None:
        """Compare these two of the slide's predictions, and show it on the slide as `view` says, see `view`."""
        self._offer()
        self.choices.choose(first, second)
        self.views[view].setChecked(True)

    def end(self) -> None:
        """Take the comparison off the slide."""
        self._end()

    def _take_file(self, found: tuple[str, Any]) -> None:
        path, outcome = found
        if isinstance(outcome, Exception):
            say(self.message, str(outcome))
            return
        slide = self._session.slide
        told = outcome.provenance.get("slide", {})
        if slide is None or told.get("fingerprint") != slide.fingerprint:
            say(self.message, f"{path} is a prediction of another slide ({told.get('path', 'not named')}); choose one of this.")
            return
        say(self.message, "")
        note_file(outcome, path)
        self._added.append(outcome)
        self._offer()
        self.choices.choose_second(outcome)

    def _ask_for_file(self) -> None:
        dialog = QFileDialog(self, "Add a saved prediction of this slide")
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilters([f"Predictions (*{PREDICTION_SUFFIX})", "All files (*)"])
        dialog.fileSelected.connect(self.add_file)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _offer(self, _: Any = None) -> None:
        """Other predictions are there."""
        here, slide = self._session.predictions, self._session.slide
        prints = slide.fingerprint if slide is not None else None
        added = [one for one in self._added if one.provenance.get("slide", {}).get("fingerprint") == prints]
        self.choices.offer(
            [*here, *(one for one in added if not any(one is other for other in here))], self._session.prediction
        )

    def _turn_to_slide(self, _: Any = None) -> None:
        """Another slide is meant, or the same one got another pixel size."""
        self._end_soon()
        self._request = None
        self._offer()

    def _compare(self) -> None:
        """Something else is to be compared."""
        request = self.choices.request
        if request is not None and request == self._request:
            return
        self._request, self._comparison = request, None
        self.compared.setVisible(request is not None)
        self.add_button.setEnabled(self._session.slide is not None)
        self.choices.setVisible(self.choices.enough)
        hint = NO_SLIDE if self._session.slide is None else NOTHING_SHARED if self.choices.enough else TOO_FEW
        say(self.hint, "" if request is not None else hint)
        if request is None:
            self._end_soon()
            return
        read_in_background(request, request.run, self._take)

    def _take(self, found: tuple[Request, Any]) -> None:
        request, outcome = found
        if request is not self._request:
            return
        if isinstance(outcome, PredictionError):
            say(self.message, str(outcome))
            self.compared.hide()
            self._end()
            return
        say(self.message, "")
        self._comparison = outcome
        self.figures.show_comparison(outcome)
        self._show()

    def _show(self) -> None:
        """Bring the slide in line with the view that is chosen."""
        layer = self._session.slide_layer
        self.blending.setVisible(self.view == "blend")
        if self._comparison is None or self._request is None or layer is None:
            return
        if self.view == "off" and not self._shown.shown:
            return
        with self._session.at_once():
            self._shown.show(self.view, self._comparison, layer, self.slider.value() / 100)
        if self.view != "off":
            self._session.did(comparing(self._request))

    def _turned(self, button: Any, on: bool) -> None:
        if on:
            self._show()

    def _end_soon(self) -> None:
        """When the layers that are being removed just now are gone."""
        self._ending.start(0)

    def _end_in_time(self) -> None:
        window: Any = self.window()
        if window.isVisible():  # napari's canvas can't be changed any more once its window is closed
            self._end()

    def _end(self) -> None:
        self._shown.end()
        self.views["off"].setChecked(True)

    def _name_parts(self) -> None:
        self.add_button.setObjectName("compare_add")
        self.add_button.setToolTip("Choose a prediction of this slide that was saved before, by any model")
        self.message.setObjectName("compare_message")
        self.hint.setObjectName("compare_hint")
        for view, button in self.views.items():
            button.setObjectName(f"compare_{view.replace(' ', '_')}")
            button.setToolTip(VIEWS[view][1])
            self._group.addButton(button)
        self.views["off"].setChecked(True)
        self.slider.setObjectName("compare_fade")
        self.slider.setAccessibleName("Fade from the first to the second")
        self.slider.setToolTip("Left: only the first; right: only the second")
        self.slider.setRange(0, 100)
        self.slider.setValue(50)

    def _lay_out(self) -> None:
        fading = QVBoxLayout(self.blending)
        fading.setContentsMargins(20, 0, 0, 0)
        fading.addWidget(self.slider)
        ends = QHBoxLayout()
        ends.addWidget(QLabel("First"))
        ends.addStretch(1)
        ends.addWidget(QLabel("Second"))
        fading.addLayout(ends)
        column = QVBoxLayout(self.compared)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Shown on the slide"))
        for view, button in self.views.items():
            column.addWidget(button)
            if view == "blend":
                column.addWidget(self.blending)
        column.addWidget(self.figures)
        column.addStretch(1)
        inside = Column()
        for part in (self.choices, self.add_button, self.hint, self.message, self.compared):
            inside.column.addWidget(part)
        inside.column.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolled(inside))
        self.setMinimumWidth(NARROWEST)
        controls = [*self.choices.controls, self.add_button, *self.views.values(), self.figures.table]
        controls.insert(controls.index(self.views["blend"]) + 1, self.slider)
        for one, other in pairwise(controls):
            self.setTabOrder(one, other)

    def _connect(self) -> None:
        self.choices.changed.connect(self._compare)
        self.add_button.clicked.connect(self._ask_for_file)
        self._group.buttonToggled.connect(self._turned)
        self.slider.valueChanged.connect(lambda value: self._shown.fade(value / 100))
        follow(self._session.predictions_changed, self._offer, self)
        follow(self._session.slide_changed, self._turn_to_slide, self)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _colour(self, _: Any = None) -> None:
        colour_as_error(self.message, self._viewer.theme)
