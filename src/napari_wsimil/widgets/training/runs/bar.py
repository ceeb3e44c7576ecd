"""The buttons of a run, what is said of it, and the list of runs that may be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import NarrowButton, colour_as_error, form, say, text_label
from napari_wsimil.widgets.training.runs.combo import RunCombo

if TYPE_CHECKING:
    from napari_wsimil.widgets.training.runs.desk import Desk

START_TIP = (
    "Make features where there are none yet, and train; in a process of its own, which goes on when the window is closed"
)


class RunBar(QWidget):
    """Start, Pause, Resume and Stop, of which those that are of use are enabled.

    Signals
    -------
    asked
        A button was pressed; carries "start", "pause", "resume" or "stop".
    """

    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.start_button = self._button("start", "Start training", START_TIP)
        self.pause_button = self._button("pause", "Pause", "Wait after the step that is being taken")
        self.resume_button = self._button("resume", "Resume", "Go on where it was; nothing is lost")
        self.stop_button = self._button("stop", "Stop", "End it after the step that is being taken; Resume goes on from there")
        self.said = text_label()
        self.said.setObjectName("run_said")
        self.runs = RunCombo()
        self._wrong = False
        bold = self.start_button.font()
        bold.setBold(True)
        self.start_button.setFont(bold)
        self.start_button.setMinimumHeight(34)
        across = QHBoxLayout()
        across.setSpacing(4)
        for button in (self.pause_button, self.resume_button, self.stop_button):
            across.addWidget(button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.start_button)
        column.addLayout(across)
        column.addWidget(self.said)
        column.addLayout(form([("Run", self.runs)], "Run"))

    def show_desk(self, desk: Desk, theme: str) -> None:
        """Enable what is of use, and say how the run is, in a napari theme."""
        for button, useful in (
            (self.start_button, desk.start),
            (self.pause_button, desk.pause),
            (self.resume_button, desk.resume),
            (self.stop_button, desk.stop),
        ):
            button.setEnabled(useful)
        if desk.wrong:
            colour_as_error(self.said, theme)
        elif self._wrong:
            self.said.setStyleSheet("")
        self._wrong = desk.wrong
        say(self.said, desk.said)

    def _button(self, deed: str, text: str, tip: str) -> NarrowButton:
        button = NarrowButton(text)
        button.setObjectName(f"{deed}_button")
        button.setToolTip(tip)
        button.clicked.connect(lambda: self.asked.emit(deed))
        return button
