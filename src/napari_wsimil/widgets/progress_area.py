"""How far a job is, what limits it, and that its heatmap is not the last word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_wsimil.inference.progress import rates_text
from napari_wsimil.widgets.parts import say, text_label
from napari_wsimil.widgets.words import progress_text

if TYPE_CHECKING:
    from napari_wsimil.inference import Progress

RATES_TIP = "Patches per second that each part of the work could do by itself; the slowest sets the pace of all"
PROVISIONAL = "heatmap\N{NO-BREAK SPACE}provisional"


class ProgressArea(QWidget):
    """Bar and lines of text; hidden while there is nothing to tell."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(12)
        self.label = text_label()
        self.rates = text_label()
        self.rates.setObjectName("rates")
        self.rates.setToolTip(RATES_TIP)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for part in (self.bar, self.label, self.rates):
            column.addWidget(part)
        self.tell("")

    def start(self) -> None:
        """A job begins."""
        self._wait("Starting")

    def show_progress(self, progress: Progress, provisional: bool) -> None:
        """Say how far the job is, and whether the heatmap on the slide is provisional."""
        self._fill(progress.done, progress.total)
        self.label.setText(" · ".join([progress_text(progress), *([PROVISIONAL] if provisional else [])]))
        say(self.rates, rates_text(progress.rates))

    def stop(self) -> None:
        """The job was told to end, and has not yet."""
        self._wait("Stopping")

    def tell(self, text: str) -> None:
        """Say something else than progress, or nothing."""
        say(self.label, text)
        for part in (self.bar, self.rates):
            part.hide()
        self.setVisible(bool(text))

    def _wait(self, text: str) -> None:
        self.tell(text)
        self._fill(0, 0)

    def _fill(self, done: int, total: int) -> None:
        """Empty where the total is not known: a bar that swings makes Qt draw the canvas with it, which takes a core."""
        self.bar.setRange(0, max(total, 1))
        self.bar.setValue(done if total else 0)
        self.bar.show()
