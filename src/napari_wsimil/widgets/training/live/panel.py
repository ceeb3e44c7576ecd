"""What a run does: curves, figures of the validation slides, and what it sees on the open slide."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QFont
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import follow, heading, narrow_combo, say, text_label
from napari_wsimil.widgets.training.live.colours import look_of
from napari_wsimil.widgets.training.live.confusion import ConfusionMatrix
from napari_wsimil.widgets.training.live.lines import figure_lines, loss_lines, rate_lines
from napari_wsimil.widgets.training.live.redrawing import Redrawing
from napari_wsimil.widgets.training.live.stage_list import StageList
from napari_wsimil.widgets.training.live.watching import WatchBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.training.evaluation.judgement import Judgement
    from napari_wsimil.widgets.training.watcher import RunWatcher

NOTHING = "No training is shown here. Start one, or choose one that was started before."
PLOTS: dict[str, tuple[str, int, tuple[float, float] | None]] = {
    "loss": ("Loss", 130, None),
    "figures": ("Metrics of the validation slides", 130, (0.0, 1.0)),
    "rate": ("Learning rate", 80, None),
    "drift": ("Zoomed regions kept", 80, (0.0, 1.0)),
}
"""Name -> title, height in px, least and greatest y."""

CURVES = {"loss": loss_lines, "figures": figure_lines, "rate": rate_lines}
MARKED = ("loss", "figures")
"""Where the best epoch is marked."""

SMALLER = 0.85
"""Size of the numbers at the axes, as a share of the dock's font."""


class LiveView(QWidget):
    """Follows the watcher's run.

    Parameters
    ----------
    viewer
        The napari viewer.
    watcher
        Tells what the run does.
    """

    def __init__(self, viewer: Any, watcher: RunWatcher) -> None:
        super().__init__()
        self.setObjectName("live_view")
        self._viewer, self._watcher = viewer, watcher
        self._judged: Judgement | None = None
        self._ready = False
        self.plots: dict[str, Any] = {}
        self.nothing = text_label(NOTHING)
        self.stages, self.watch, self.matrix = StageList(), WatchBox(viewer, watcher), ConfusionMatrix()
        self.choice = narrow_combo("curves_of")
        self.choice.setAccessibleName("Training whose curves are shown")
        self.verdict = text_label()
        self.verdict.setObjectName("verdict")
        self._curves = Group(self.choice)
        self._answers = Group(heading("Validation slides"), self.verdict, self.matrix)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.nothing, self.stages, self.watch, self._curves, self._answers):
            column.addWidget(widget)
        parts: dict[str, Callable[[], Any]] = {
            "stages": self._draw_stages,
            **{name: partial(self._draw_curves, name) for name in PLOTS},
        }
        self._redrawing = Redrawing(self, {**parts, "matrix": self._draw_matrix, "roc": self._draw_roc})
        self._connect()
        self._attach(watcher.run)

    def showEvent(self, event: Any) -> None:
        """Draw what happened while nobody looked."""
        super().showEvent(event)
        self._redrawing.go_on()

    def _connect(self) -> None:
        watcher = self._watcher
        watcher.attached.connect(self._attach)
        watcher.events.connect(lambda _: self._redrawing.ask("stages", *PLOTS))
        watcher.state_changed.connect(lambda _: self._redrawing.ask("stages"))
        watcher.sighted.connect(lambda _: self._redrawing.ask("drift"))
        watcher.judged.connect(self._judge)
        watcher.ready.connect(self._begin_plots)
        self.choice.activated.connect(lambda _: self._redrawing.ask(*PLOTS))
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _attach(self, run: Any) -> None:
        self._judged = None
        self.watch.forget()
        self.choice.clear()
        self.nothing.setVisible(run is None)
        for widget in (self.stages, self.watch):
            widget.setVisible(run is not None)
        self._curves.hide()
        self._answers.hide()
        self._redrawing.ask("stages")

    def _begin_plots(self, _: Any = None) -> None:
        """What they need was imported."""
        self._ready = True
        self._redrawing.ask(*PLOTS)

    def _judge(self, told: Judgement) -> None:
        self._judged = told
        self._redrawing.ask("matrix", "roc")

    def _draw_stages(self) -> None:
        if self._watcher.run is not None:
            self.stages.show_history(self._watcher.history, self._watcher.state)
            self._offer_trainings()

    def _offer_trainings(self) -> None:
        """Where several were trained, the last one is followed unless another one was chosen."""
        history = self._watcher.history
        names = list(history.trainings)
        followed = self.choice.currentIndex() == self.choice.count() - 1
        for name in names[self.choice.count() :]:
            self.choice.addItem(f"Curves of: {history.title_of(name)}", name)
        if followed and names:
            self.choice.setCurrentIndex(len(names) - 1)
        self.choice.setVisible(len(names) > 1)

    def _draw_curves(self, name: str) -> None:
        history, stage = self._watcher.history, self.choice.currentData()
        if not self._ready or self._watcher.run is None or not history.trainings:
            return
        self._curves.show()
        lines = self.watch.drift.lines() if name == "drift" else CURVES[name](history, stage)
        if lines or name in self.plots:
            training = history.trainings.get(stage) if stage else history.training
            plot = self._plot(name)
            plot.show_curves(lines, training.best_epoch if training and name in MARKED else None)
            plot.setVisible(bool(lines))

    def _draw_matrix(self) -> None:
        told = self._judged
        if told is not None:
            when = f"after epoch {told.epoch + 1}" if told.epoch >= 0 else "before the first epoch"
            history = self._watcher.history
            which = f"{history.title_of(told.stage)}, {when}" if len(history.trainings) > 1 else when[:1].upper() + when[1:]
            say(self.verdict, f"{which}: {told.correct} of {told.slides} right.")
            self.matrix.show_judgement(told)
            self._answers.show()

    def _draw_roc(self) -> None:
        if self._judged is not None:
            plot = self._plot("roc")
            plot.show_judgement(self._judged)
            plot.setVisible(bool(self._judged.curves))

    def _plot(self, name: str) -> Any:
        """A plot, made when it is first needed: each takes a hundredth of a second."""
        if name not in self.plots:
            self.plots[name] = made = _made(name)
            made.colour(look_of(self._viewer.theme), self._small_font())
            (self._answers if name == "roc" else self._curves).column.addWidget(made)
        return self.plots[name]

    def _colour(self, _: Any = None) -> None:
        look = look_of(self._viewer.theme)
        self.watch.colour(self._viewer.theme)
        self.matrix.colour(look)
        for plot in self.plots.values():
            plot.colour(look, self._small_font())

    def _small_font(self) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(max(6.0, SMALLER * font.pointSizeF()))
        return font


def _made(name: str) -> Any:
    # pyqtgraph takes long to be imported; the watcher's reader has done so by the time a run tells something
    if name == "roc":
        from napari_wsimil.widgets.training.live.roc_plot import RocPlot

        return RocPlot()
    from napari_wsimil.widgets.training.live.epoch_plot import EpochPlot

    title, height, within = PLOTS[name]
    return EpochPlot(title, f"{name}_plot", height=height, within=within)


class Group(QWidget):
    """What is shown and hidden together."""

    def __init__(self, *parts: QWidget) -> None:
        super().__init__()
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        for part in parts:
            self.column.addWidget(part)
