"""The dock "Training" as a whole: its pages, and the run that it shows."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.training.correct import CorrectPanel
from napari_wsimil.widgets.training.data import DataPanel
from napari_wsimil.widgets.training.live import LiveView
from napari_wsimil.widgets.training.result import ResultPanel
from napari_wsimil.widgets.training.settings import SettingsPanel
from napari_wsimil.widgets.training.watcher import RunWatcher


class Training(QWidget):
    """Two pages, "New model" and "Correct", above what the run does."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.watcher = RunWatcher(self)
        self.data = DataPanel(napari_viewer)
        self.settings = SettingsPanel()
        self.live = LiveView(napari_viewer, self.watcher)
        self.result = ResultPanel(napari_viewer)
        self.correct = CorrectPanel(napari_viewer, self.watcher)
        column = QVBoxLayout(self)
        for part in (self.data, self.settings, self.correct, self.live, self.result):
            column.addWidget(part)
        settle(self, "Training")
