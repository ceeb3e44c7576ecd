"""The dock "Slide analysis": choose, Predict, watch, look, export."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import Notification, notification_manager
from qtpy.QtCore import QSize, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.copying import CopyButton
from napari_wsimil.widgets.docks import open_dock, settle
from napari_wsimil.widgets.export_dialog import ask_for_report, ask_where, chosen_for, save_as
from napari_wsimil.widgets.figures import figure_dialog
from napari_wsimil.widgets.job import Failure, Job, prediction_steps
from napari_wsimil.widgets.kept_features import KeptFeatures
from napari_wsimil.widgets.layers import TOP_REGIONS
from napari_wsimil.widgets.live import LIVE_SECONDS, LiveHeatmap
from napari_wsimil.widgets.looking import Looking
from napari_wsimil.widgets.model_chooser import ModelChooser
from napari_wsimil.widgets.overlays.panel import OverlayPanel
from napari_wsimil.widgets.parts import (
    WIDEST_OPTION,
    Column,
    Fold,
    colour_as_error,
    follow,
    form,
    heading,
    say,
    scrolled,
    text_label,
)
from napari_wsimil.widgets.progress_area import ProgressArea
from napari_wsimil.widgets.recipes import PREDICTION_SUFFIX, exporting, note_file, predicting
from napari_wsimil.widgets.result_panel import ResultPanel
from napari_wsimil.widgets.results import showing
from napari_wsimil.widgets.run_options import RunOptions
from napari_wsimil.widgets.saving import Saving
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_chooser import SlideChooser
from napari_wsimil.widgets.slide_view import watch

if TYPE_CHECKING:
    from napari_wsimil.inference import Progress, SlidePrediction
    from napari_wsimil.widgets.job import Report

TELL_SECONDS = 0.25
"""Time between two reports: each makes Qt compose the window anew with its canvas, which takes cores from the encoder."""

PREDICT_KEY = "Ctrl+Return"

NARROWEST = 300
"""Width in px at which no text of the dock is cut."""


class SlideAnalysis(QWidget):
    """Predict a slide that is open in napari and show what the model saw.

    Signals
    -------
    progressed
        How far the running job is; carries a `Progress`.
    ended
        A job came to its end; carries the `SlidePrediction`, a `Failure`, or None after Cancel.
    """

    progressed = Signal(object)
    ended = Signal(object)
    steps = staticmethod(prediction_steps)
    """What Predict runs: a generator function of slide, model name and the keywords of `prediction_steps`."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        self._job: Job | None = None
        self._running_on = ""
        self._live = LiveHeatmap(napari_viewer)
        self._looking = Looking(napari_viewer, self)
        self._told = (0.0, "")
        self._shown: SlidePrediction | None = None
        self.slides = SlideChooser(napari_viewer)
        self.models = ModelChooser()
        self.options = RunOptions(napari_viewer)
        self.kept = KeptFeatures()
        self.top = QSpinBox()
        self.share = QSpinBox()
        self.predict_button = QPushButton("Predict")
        self.cancel_button = QPushButton("Cancel")
        self._escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self)
        self._escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self.progress = ProgressArea()
        self.message = text_label()
        self.result = ResultPanel()
        self.overlays = OverlayPanel(napari_viewer)
        self.copy_button = CopyButton(self._session)
        self._asked: dict[str, Any] = {}
        self._presented: tuple[Any, Any] = (None, None)
        self._next_layer = QTimer(self)
        self._next_layer.setSingleShot(True)
        self._next_layer.timeout.connect(self._show_next_layer)
        self._name_parts()
        self._lay_out()
        watch(napari_viewer)
        self._connect()
        self._follow_slide()
        settle(self, "Slide analysis")

    @property
    def running(self) -> bool:
        """Whether a prediction is running."""
        return self._job is not None

    @property
    def prediction(self) -> SlidePrediction | None:
        """The prediction of the chosen slide whose layers lie on top, whether made here or read from a file; or None."""
        return self._session.prediction

    @property
    def threshold(self) -> float | None:
        """The attention percentile from which patches are exported; None: those above an even share of the attention."""
        # A hair more, since a patch that just reaches a percentile is exported: of 30 patches, 20 % are 6 and not 7.
        return 1 - self.share.value() / 100 + 1e-6 if self.share.value() else None

    def sizeHint(self) -> QSize:
        """Room for the result without scrolling, where the window has it."""
        return QSize(340, 640)

    def predict(self) -> None:
        """Start predicting the chosen slide with the chosen model."""
        self.slides.mpp_field.interpretText()
        layer, slide = self.slides.layer, self.slides.slide
        if layer is None or slide is None or self.running:
            return
        try:
            settings = {**self.options.settings(layer), "keep_bytes": self.kept.keep_bytes}
        except WsimilError as error:
            self._complain(str(error))
            return
        say(self.message, "")
        self.progress.start()
        self._running_on, self._told = str(layer.unique_id), (0.0, "")
        self._live.begin(layer, self.models.model_id)
        self._asked = {**settings, "device": self.models.device}
        settings |= {"device": self.models.device, "focus": self._looking.begin(layer), "provisional": LIVE_SECONDS}
        self._job = Job(self.steps(slide, self.models.model, **settings), slide.mpp, self._show_report, self._end, self)
        self._follow_state()

    def cancel(self) -> None:
        """Stop the running prediction; the layers of an earlier one stay."""
        if self._job is not None:
            self._job.cancel()
            self.cancel_button.setEnabled(False)
            self.progress.stop()
            self._live.end()

    def export(self, path: str) -> None:
        """Save the chosen slide's prediction, in the background; the suffix of `path` chooses the format."""
        prediction = self.prediction
        if prediction is None:
            return
        say(self.message, "")
        self.progress.tell(f"Saving {Path(path).name}…")
        chosen = {"threshold": self.threshold, "top": self.top.value()}
        saving = Saving(partial(save_as, prediction, path, slide=self._session.slide, **chosen), self)
        saving.ended.connect(partial(self._end_export, prediction, chosen))

    def _end_export(self, prediction: SlidePrediction, chosen: dict[str, Any], outcome: Path | Failure) -> None:
        if isinstance(outcome, Failure):
            self.progress.tell("")
            self._complain(outcome.sentence)
            return
        self.progress.tell(f"Saved {outcome.name}")
        self._session.did(exporting(prediction, outcome, **chosen_for(outcome, chosen)))
        if outcome.name.endswith(PREDICTION_SUFFIX):
            note_file(prediction, outcome)

    def _name_parts(self) -> None:
        self.predict_button.setObjectName("predict")
        self.predict_button.setMinimumHeight(34)
        self.predict_button.setShortcut(PREDICT_KEY)
        self.predict_button.setToolTip(f"Look at the slide with the model ({PREDICT_KEY})")
        self.cancel_button.setToolTip("Stop; what was computed is kept (Esc, while the keyboard is in this dock)")
        self._escape.setEnabled(False)
        bold = self.predict_button.font()
        bold.setBold(True)
        self.predict_button.setFont(bold)
        self.cancel_button.setObjectName("cancel")
        self.cancel_button.setMinimumHeight(34)
        self.message.setObjectName("message")
        self.top.setRange(0, 100)
        self.top.setValue(TOP_REGIONS)
        self.share.setRange(0, 100)
        self.share.setPrefix("top ")
        self.share.setSuffix(" %")
        self.share.setSpecialValueText("above average")
        self.share.setToolTip("Patches in a GeoJSON: those above the average attention, or the most attended share")
        self.top.setToolTip("How many of the most attended patches are listed and get a numbered box")

    def _lay_out(self) -> None:
        inside = Column()
        column = inside.column
        column.setSpacing(8)
        column.addWidget(self.slides)
        column.addWidget(self.models)
        column.addWidget(self._options())
        buttons = QHBoxLayout()
        buttons.addWidget(self.predict_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        column.addLayout(buttons)
        for part in (self.progress, self.message, self.result, self.overlays):
            column.addWidget(part)
        self.result.buttons.addWidget(self.copy_button)
        self.setTabOrder(self.result.export_button, self.copy_button)
        column.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolled(inside))
        self.setMinimumWidth(NARROWEST)

    def _options(self) -> Fold:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.options)
        column.addWidget(self.kept)
        column.addWidget(heading("Result"))
        column.addLayout(form([("Top regions", self.top), ("Exported patches", self.share)], WIDEST_OPTION))
        return Fold("Options", inside)

    def _connect(self) -> None:
        self.predict_button.clicked.connect(self.predict)
        self._escape.activated.connect(self.cancel)
        self.cancel_button.clicked.connect(self.cancel)
        self.slides.changed.connect(self._choose_slide)
        follow(self._session.slide_changed, self._take_slide, self)
        follow(self._session.prediction_changed, self._show_result, self)
        self.models.refused.connect(self._complain)
        self.result.closer.connect(lambda name: open_dock(self._viewer, name))
        self.result.export_button.clicked.connect(self._ask_where)
        self.result.report_button.clicked.connect(self._ask_for_report)
        self.result.figure_button.clicked.connect(lambda: figure_dialog(self, self._viewer, self._session))
        follow(self._viewer.layers.events.removed, self._stop_without_slide, self)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _colour(self, _: Any = None) -> None:
        colour_as_error(self.message, self._viewer.theme)
        self.result.bars.colour(self._viewer.theme)

    def _choose_slide(self) -> None:
        """The user chose a slide in the list."""
        layer = self.slides.layer
        if layer is not None and layer != self._session.slide_layer:
            self._session.choose_slide(layer)
        self._follow_slide()

    def _take_slide(self, layer: Any) -> None:
        """Another slide is meant: that of the layer that was selected."""
        if layer is not None:
            self.slides.choose(layer)

    def _follow_slide(self) -> None:
        """Another slide, or another pixel size: its result, and whether it can be predicted."""
        self._show_result()
        self._follow_state()

    def _follow_state(self) -> None:
        slide = self.slides.slide
        self.predict_button.setEnabled(slide is not None and slide.mpp is not None and not self.running)
        self.cancel_button.setEnabled(self.running)
        self._escape.setEnabled(self.running)
        self.kept.set_running(self.running)

    def _show_result(self, _: Any = None) -> None:
        """Fill the result panel, where it shows something else."""
        prediction = self.prediction
        self.result.setVisible(prediction is not None)
        if prediction is not None and prediction is not self._shown:
            self.result.show_prediction(prediction)
        self._shown = prediction

    def _show_report(self, report: Report) -> None:
        """Show a new heatmap at once, and a new stage, and more of the same a few times a second."""
        if not self.cancel_button.isEnabled():
            return
        if report.drawn is not None:
            self._live.show(report.drawn)
        self._show_progress(report.progress)

    def _show_progress(self, progress: Progress) -> None:
        told, stage = self._told
        now = monotonic()
        if progress.stage != stage or now - told >= TELL_SECONDS:
            self._told = (now, progress.stage)
            self.progress.show_progress(progress, self._live.shown)
            self.progressed.emit(progress)

    def _stop_without_slide(self, _: Any = None) -> None:
        if self.running and not self._has_slide():
            self.cancel()

    def _has_slide(self) -> bool:
        """Whether the slide that is predicted is still in the viewer."""
        return any(str(layer.unique_id) == self._running_on for layer in self._viewer.layers)

    def _end(self, outcome: Any) -> None:
        """Take the result of a job that has ended, on the GUI thread."""
        self._looking.end()
        self.cancel_button.setEnabled(False)
        if outcome is None or isinstance(outcome, Failure):
            self._finish(outcome)
        else:
            self.progress.tell("Showing the result")
            self._presented = (outcome, showing(self._viewer, outcome, self.top.value()))
            self._next_layer.start(0)

    def _show_next_layer(self) -> None:
        """Add one more layer of the result and let the window draw; the provisional ones go in a turn of its own."""
        outcome, layers = self._presented
        if layers is None:
            self._finish(outcome)
            return
        try:
            if self._has_slide():
                next(layers)
            else:
                layers.close()
                self._presented = (None, None)
        except StopIteration:
            self._session.did(predicting(outcome, **self._how()))
            self._presented = (outcome, None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the dock must get its Predict button back
            self._presented = (Failure(f"The result can't be shown: {error or type(error).__name__}.", error), None)
        self._next_layer.start(0)

    def _finish(self, outcome: Any) -> None:
        """All is done: say so."""
        self._job, self._presented = None, (None, None)
        self._follow_state()
        self.progress.tell("Stopped." if outcome is None else "")
        if isinstance(outcome, Failure):
            self._complain(outcome.sentence)
            if outcome.error is not None:
                notification_manager.dispatch(Notification.from_exception(outcome.error))
        self._live.end()
        self.ended.emit(outcome)

    def _how(self) -> dict[str, Any]:
        """How the job that has ended was run, in the words of `ws.predict`."""
        from napari_wsimil.bags.store import default_store_folder  # with torch, which the job has loaded

        store = None if self._asked["keep_bytes"] is None else default_store_folder()
        return {**{name: self._asked[name] for name in ("device", "precision", "compiled")}, "store": store}

    def _complain(self, sentence: str) -> None:
        say(self.message, sentence)

    def _ask_where(self) -> None:
        slide = self.slides.slide
        if slide is not None:
            ask_where(self, slide.path, self.export)

    def _ask_for_report(self) -> None:
        slide = self.slides.slide
        if slide is not None:
            ask_for_report(self, slide.path, self.export)
