"""How the dock "Training" is laid out: two pages, the run below, all in one scroll area."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTabBar, QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import Column, Fold, scrolled
from napari_wsimil.widgets.training.correct import CorrectPanel
from napari_wsimil.widgets.training.data import DataPanel
from napari_wsimil.widgets.training.live import LiveView
from napari_wsimil.widgets.training.result import ResultPanel
from napari_wsimil.widgets.training.runs import RunBar
from napari_wsimil.widgets.training.settings import SettingsPanel
from napari_wsimil.widgets.training.watcher import RunWatcher

NARROWEST = 300
MARGINS = (8, 6, 8, 6)
NEW, CORRECT = range(2)
PAGES = (
    ("New model", "Train a model on labelled slides"),
    ("Correct", "Mark what the model got wrong on the open slide, and train it a little further"),
)


class TrainingFrame(QWidget):
    """Makes the parts and puts them into their places.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.watcher = RunWatcher(self)
        self.pages = QTabBar()
        self.data = DataPanel(viewer)
        self.settings = SettingsPanel()
        self.correct = CorrectPanel(viewer, self.watcher)
        self.bar = RunBar()
        self.live = LiveView(viewer, self.watcher)
        self.result = ResultPanel(viewer)
        self.slides_fold = _open_fold("Slides", self.data, "Which slides teach, and what they are")
        self.settings_fold = _open_fold("Settings", self.settings, "What is trained, and how")
        self.pages.setObjectName("pages")
        self.pages.setAccessibleName("What to train")
        self.pages.setExpanding(False)
        self.pages.setDrawBase(False)
        for number, (title, tip) in enumerate(PAGES):
            self.pages.addTab(title)
            self.pages.setTabToolTip(number, tip)
        inside = Column()
        inside.column.setContentsMargins(*MARGINS)
        new = (self.slides_fold, self.settings_fold)
        inside.column.addWidget(self.pages, 0, Qt.AlignmentFlag.AlignLeft)
        self._ended = QWidget()
        ended = QVBoxLayout(self._ended)
        ended.setContentsMargins(0, 0, 0, 0)
        ended.addWidget(self.result)
        for part in (*new, self.correct, self.bar, self._ended, self.live):
            inside.column.addWidget(part)
        inside.column.addStretch(1)
        self.area = scrolled(inside)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.area)
        self.setMinimumWidth(NARROWEST)
        self.pages.currentChanged.connect(self._turned)
        self._turned(NEW)
        self.live.hide()

    def turn_to(self, page: int) -> None:
        """Show a page."""
        self.pages.setCurrentIndex(page)

    def fold_away(self) -> None:
        """Make room for what a run does: what it was started with is one click away."""
        for fold in (self.slides_fold, self.settings_fold):
            fold.button.setChecked(False)
        self.area.verticalScrollBar().setValue(0)  # type: ignore[union-attr]

    def go_to(self, part: QWidget) -> None:
        """Unfold what a part of the page "New model" stands in, and scroll to it."""
        self.turn_to(NEW)
        for fold in (self.slides_fold, self.settings_fold):
            if fold.isAncestorOf(part):
                fold.button.setChecked(True)
        self.area.ensureWidgetVisible(part, 0, 20)

    def _turned(self, page: int) -> None:
        # a fine-tuning shows what came of it on its own page
        for part in (self.slides_fold, self.settings_fold, self.bar.start_button, self._ended):
            part.setVisible(page == NEW)
        self.correct.setVisible(page == CORRECT)


def _open_fold(title: str, inside: QWidget, tip: str) -> Fold:
    fold = Fold(title, inside)
    fold.button.setObjectName(f"fold_{title.lower()}")
    fold.button.setToolTip(tip)
    bold = fold.button.font()
    bold.setBold(True)
    fold.button.setFont(bold)
    fold.button.setChecked(True)
    return fold
