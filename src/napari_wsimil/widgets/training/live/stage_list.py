"""Where a run is: its stages in plain words, how far the one at work is, and how long it will take."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import say, text_label
from napari_wsimil.widgets.words import duration

if TYPE_CHECKING:
    from napari_wsimil.training.history import History

SIGNS = {"waiting": "○", "running": "▶", "done": "✓"}
SAID = {"waiting": "waits", "running": "at work", "done": "done"}
STEPS = 1000
STANDS_STILL = {
    "paused": "Paused",
    "stopped": "Stopped: it can be gone on with",
    "failed": "Failed",
    "lost": "Ended without a word",
}
IN_WORDS = {"lessons of train": "what the teacher says of training", "lessons of": "what the teacher says of"}
IN_WORDS |= {"train slides": "training slides"}
"""What events say -> what people say."""

READING = "Reading what the run did so far…"
LOADING = "Loading the features…"
BEGINS = {"starting": "The training is being started…"}


class StageList(QWidget):
    """The stages below each other, the one at work with its epoch; then a bar, and a line on what is being done."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = text_label()
        self.fold.setObjectName("fold")
        self.stages = text_label()
        self.stages.setObjectName("stages")
        self.stages.setTextFormat(Qt.TextFormat.RichText)
        self.bar = QProgressBar()
        self.bar.setObjectName("training_progress")
        self.bar.setAccessibleName("Progress of the stage at work")
        self.bar.setRange(0, STEPS)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.doing = text_label()
        self.doing.setObjectName("doing")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for part in (self.fold, self.stages, self.bar, self.doing):
            column.addWidget(part)

    def show_history(self, history: History, state: Any) -> None:
        """Say where the run is.

        Parameters
        ----------
        state
            Its `RunState`, or None while it is not known.
        """
        phase = "" if state is None else state.phase
        say(self.fold, f"Fold {history.fold} of {history.folds}" if history.folds else "")
        rows = []
        for stage in history.stages:
            told = f"{SIGNS[stage.state]} {stage.name}"
            if stage.state == "running":
                about = _epoch(history)
                told = f"<b>{escape(told)}</b>{escape(about)}"
            rows.append(told if stage.state == "running" else escape(told))
        _set(self.stages, "<br>".join(rows))
        self.stages.setAccessibleName("; ".join(f"{stage.name} {SAID[stage.state]}" for stage in history.stages))
        _, done, total = history.progress
        self.bar.setValue(round(STEPS * min(done / total, 1.0)) if total else 0)
        self.bar.setVisible(phase != "finished")
        say(self.doing, _doing(history, phase))


def _epoch(history: History) -> str:
    return f"  ·  epoch {history.epoch} of {history.epochs}" if history.trains and history.epochs else ""


def _doing(history: History, phase: str) -> str:
    """What is done now, and how long it will take."""
    if not phase and not history.version:
        return READING
    if phase == "finished":
        return _ended(history)
    if phase in STANDS_STILL:
        return f"{STANDS_STILL[phase]}."
    what, done, total = history.progress
    parts = []
    if what:
        for told, meant in IN_WORDS.items():
            what = what.replace(told, meant)
        parts.append(f"{what} ({min(int(done) + 1, int(total))} of {int(total)})" if total else what)
    elif history.trains and history.phase in ("teacher", "student"):
        parts.append(f"The {history.phase} learns")
    if history.seconds_left:
        steps = sum(stage.state != "done" for stage in history.stages) > 1 or history.folds
        parts.append(f"{duration(history.seconds_left)} left{' for this step' if steps and not history.trains else ''}")
    if not parts:
        return BEGINS.get(phase, LOADING if history.stage == "train" else "")
    return " · ".join(parts)


def _ended(history: History) -> str:
    training = history.training
    if training is None:
        return "Finished."
    why = ", since it got no better" if training.stopped == "patience" else ""
    best = f"; the best was epoch {training.best_epoch}" if training.best_epoch else ""
    return f"Finished after {training.ended} epochs{why}{best}."


def _set(label: Any, text: str) -> None:
    if label.text() != text:
        label.setText(text)
