"""Correct and fine-tune: marks on the open slide, a short run, before and after, Keep or Discard."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.docks import open_dock, stay_in_front
from napari_wsimil.widgets.parts import colour_as_error, follow, form, heading, narrow_combo, say, text_label
from napari_wsimil.widgets.slide_chooser import ask_for_slide
from napari_wsimil.widgets.training.correct.attempting import NO_PREDICTION, NO_SLIDE, Attempting
from napari_wsimil.widgets.training.correct.correcting import Correcting
from napari_wsimil.widgets.training.correct.outcome_box import OutcomeBox
from napari_wsimil.widgets.training.correct.planning import usual_for
from napari_wsimil.widgets.training.correct.slides_box import SlidesBox
from napari_wsimil.widgets.training.correct.tuning_box import WIDEST, TuningBox
from napari_wsimil.widgets.words import share

UNKNOWN = "unknown"
BRING_MS, TRIES = 400, 5
"""Until parts that were shown just now have their places."""
TELLS = {
    "idle": "",
    "preparing": "Writing down what is corrected…",
    "running": "",
    "looking": "Looking at this slide with the new model…",
    "judging": "",
    "kept": "Kept as “{name}”, and chosen for the next prediction. Undo takes it off the list again.",
    "discarded": "Discarded: the old model stays. Undo brings the new one back.",
}


class CorrectPanel(QWidget):
    """Marks, Fine-tune, and what came of it.

    Parameters
    ----------
    viewer
        The napari viewer.
    watcher
        The `RunWatcher` of the dock; Fine-tune lets it follow the run.
    """

    def __init__(self, viewer: Any, watcher: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.correcting = Correcting(viewer, self)
        self.attempting = Attempting(viewer, watcher, self.correcting, self)
        self.marking = self.correcting.box
        self.slides = SlidesBox(self.correcting.slides)
        self.tuning = TuningBox()
        self.outcome = OutcomeBox()
        self.label = narrow_combo("correct_label")
        self.model_words, self.status, self.problem = text_label(), text_label(), text_label()
        self.open_button = QPushButton("Open a slide…")
        self.predict_button = QPushButton("Predict this slide…")
        self.tune_button = QPushButton("Fine-tune")
        self.undo_button = QPushButton("Undo")
        self.on_slide, self.listed, self.fine_tuning = QWidget(), QWidget(), QWidget()
        self._asked_for = ""
        self._to_bring, self._tries = False, 0
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._bring)
        self._name_parts()
        self._lay_out()
        self._connect()
        self.show_state()

    def showEvent(self, event: Any) -> None:
        """What is usual for the model is looked up when somebody sees it."""
        super().showEvent(event)
        self.show_state()
        if self._to_bring:
            self._soon.start(BRING_MS)

    def keyPressEvent(self, event: Any) -> None:
        """Ctrl+Z, where the field with the keyboard has no use for it."""
        if event.matches(QKeySequence.StandardKey.Undo):
            self.correcting.undo()
        else:
            super().keyPressEvent(event)

    def show_state(self) -> None:
        """Bring all that can be seen in step."""
        correcting, attempt = self.correcting, self.attempting.attempt
        slide, prediction = correcting.session.slide, correcting.session.prediction
        self.open_button.setVisible(slide is None)
        self.predict_button.setVisible(slide is not None and prediction is None)
        self.on_slide.setVisible(prediction is not None)
        self.listed.setVisible(prediction is not None or bool(correcting.slides.slides))
        self.fine_tuning.setVisible(prediction is not None)
        self._tell_model()
        self._show_label()
        self.slides.show_slides(correcting.fingerprint)
        last = correcting.deeds.last(correcting.fingerprint)
        self.undo_button.setEnabled(last is not None)
        self.undo_button.setText("Undo" if last is None else f"Undo {last.words}")
        self.tune_button.setEnabled(prediction is not None and not attempt.is_busy)
        self.outcome.setVisible(attempt.phase in ("judging", "kept", "discarded"))
        for button in (self.outcome.keep_button, self.outcome.discard_button):
            button.setVisible(attempt.phase == "judging")
        both = self.attempting.before is not None and self.attempting.after is not None
        self.outcome.compare_button.setVisible(attempt.phase in ("judging", "kept") and both)
        self._look_up_usual()

    def _tell_model(self) -> None:
        prediction = self.correcting.session.prediction
        if prediction is None:
            say(self.model_words, NO_SLIDE if self.correcting.session.slide is None else NO_PREDICTION)
            return
        about = prediction.provenance.get("model", {})
        found = prediction.predicted_class
        name = about.get("title") or about.get("id")
        how_sure = share(prediction.probabilities[found]).replace(" ", "\N{NO-BREAK SPACE}")
        say(self.model_words, f"“{name}” sees {found} on this slide ({how_sure}).")

    def _show_label(self) -> None:
        correcting, one = self.correcting, self.correcting.this_slide
        names = list(correcting.classes)
        if one is not None and one.label is not None and one.label not in names:
            names.append(one.label)
        with QSignalBlocker(self.label):
            if [self.label.itemData(row) for row in range(1, self.label.count())] != names:
                self.label.clear()
                self.label.addItem(UNKNOWN, None)
                for name in names:
                    self.label.addItem(name, name)
            self.label.setCurrentIndex(0 if one is None or one.label is None else names.index(one.label) + 1)

    def _look_up_usual(self) -> None:
        """Which slides the model was trained on, found in a worker when another model is meant."""
        source = self.attempting.source
        if source and source != self._asked_for and self.isVisible():
            self._asked_for = source
            self.tuning.show_usual(None)
            read_in_background(source, lambda: usual_for(source), self._show_usual)

    def _show_usual(self, found: tuple[str, Any]) -> None:
        source, usual = found
        if source != self._asked_for:
            return
        if isinstance(usual, Exception):
            self._say("", str(usual))
        else:
            self.tuning.show_usual(usual)

    def _turned(self) -> None:
        """Another phase."""
        attempt = self.attempting.attempt
        say(self.status, TELLS[attempt.phase].format(name=attempt.kept_as))
        if attempt.phase == "judging" and self.attempting.after is not None:
            self._compare()
        self.show_state()
        if attempt.phase in ("running", "judging"):
            self._tries = TRIES
            self._soon.start(BRING_MS)

    def _bring(self) -> None:
        """Scroll to what is new: the run below the buttons, or before and after; later, where another dock is in front."""
        self._to_bring = not self.isVisible()
        if self._to_bring:
            return
        area: Any = self.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None:
            new = self.tune_button if self.outcome.isHidden() else self.outcome
            bar: Any = area.verticalScrollBar()
            bar.setValue(new.mapTo(area.widget(), new.rect().topLeft()).y())
            self._tries -= 1
            if self._tries > 0 and bar.value() == 0:  # a dock that comes to the front takes a while until it knows its height
                self._soon.start(BRING_MS)

    def _compare(self) -> None:
        self.attempting.compare()
        stay_in_front(self)

    def _say(self, note: str, problem: str) -> None:
        attempt = self.attempting.attempt
        say(self.status, note or TELLS[attempt.phase].format(name=attempt.kept_as))
        say(self.problem, problem)

    def _name_parts(self) -> None:
        for label, name in ((self.model_words, "model"), (self.status, "status"), (self.problem, "problem")):
            label.setObjectName(f"correct_{name}")
        say(self.status, "")
        say(self.problem, "")
        self.label.setAccessibleName("The label of this slide is")
        self.open_button.setObjectName("correct_open")
        self.predict_button.setObjectName("correct_predict")
        self.predict_button.setToolTip("Open the dock Slide analysis, and press Predict there")
        self.tune_button.setObjectName("correct_fine_tune")
        self.tune_button.setMinimumHeight(34)
        self.tune_button.setToolTip("Let the model learn from all corrected slides; it stays as it is, a new one comes of it")
        bold = self.tune_button.font()
        bold.setBold(True)
        self.tune_button.setFont(bold)
        self.undo_button.setObjectName("correct_undo")
        self.undo_button.setMinimumHeight(34)
        self.undo_button.setToolTip("Take back what was done last on this page (Ctrl+Z, while the keyboard is in it)")

    def _lay_out(self) -> None:
        _stack(self.on_slide, heading("Mark what is wrong"), self.marking).addLayout(form([(WIDEST, self.label)], WIDEST))
        _stack(self.listed, heading("Corrected slides"), self.slides)
        _stack(self.fine_tuning, heading("Fine-tuning"), self.tuning)
        buttons = QHBoxLayout()
        buttons.addWidget(self.tune_button, 2)
        buttons.addWidget(self.undo_button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for one in (self.model_words, self.open_button, self.predict_button, self.correcting.filing.offer, self.on_slide):
            column.addWidget(one)
        for one in (self.listed, self.fine_tuning):
            column.addWidget(one)
        column.addLayout(buttons)
        for one in (self.status, self.problem, self.outcome):
            column.addWidget(one)

    def _connect(self) -> None:
        correcting, attempting = self.correcting, self.attempting
        self.open_button.clicked.connect(lambda: ask_for_slide(self, self._viewer))
        self.predict_button.clicked.connect(lambda: open_dock(self._viewer, "Slide analysis"))
        self.label.currentIndexChanged.connect(lambda _: correcting.set_label(self.label.currentData()))
        self.slides.chosen.connect(correcting.open)
        self.slides.removed.connect(correcting.remove)
        self.tune_button.clicked.connect(lambda: attempting.fine_tune(self.tuning))
        self.undo_button.clicked.connect(correcting.undo)
        self.outcome.keep_button.clicked.connect(attempting.keep)
        self.outcome.discard_button.clicked.connect(attempting.discard)
        self.outcome.compare_button.clicked.connect(self._compare)
        correcting.changed.connect(self.show_state)
        correcting.said.connect(self._say)
        attempting.changed.connect(self._turned)
        attempting.said.connect(self._say)
        attempting.judged.connect(self.outcome.show_lines)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _colour(self, _: Any = None) -> None:
        colour_as_error(self.problem, self._viewer.theme)


def _stack(around: QWidget, *parts: QWidget) -> QVBoxLayout:
    """Put parts below each other into a widget."""
    column = QVBoxLayout(around)
    column.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        column.addWidget(part)
    return column
