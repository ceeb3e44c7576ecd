"""The list of runs that were started lately, to look at one again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_wsimil.widgets.asking import ask_folder
from napari_wsimil.widgets.parts import NarrowCombo, combo_item
from napari_wsimil.widgets.training.runs.listing import name_of
from napari_wsimil.widgets.training.settings.number_box import slim

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.widgets.training.runs.listing import ListedRun

NONE, OPEN = "No run shown", "Open a run's folder…"
TIP = "Runs that were started lately, and how they are; a run that goes on is shown by itself when this dock is opened"


class RunCombo(NarrowCombo):
    """No run, the runs of the list, and a way to others.

    Signals
    -------
    chosen
        A `BackgroundRun`, or None.
    folder_chosen
        The path of a folder that is said to hold a run.
    """

    chosen = Signal(object)
    folder_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("runs")
        self.setAccessibleName("Run")
        self.setToolTip(TIP)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        slim(self)
        self._runs: dict[str, Any] = {}
        self._shown = ""
        self._fill(())
        self.activated.connect(self._picked)

    def take(self, runs: Sequence[ListedRun]) -> None:
        """Fill the list; the run that is shown stays."""
        self._fill(runs)

    def show_run(self, run: Any | None) -> None:
        """Say which run is shown now."""
        self._shown = "" if run is None else str(run.folder)
        if run is not None:
            self._runs.setdefault(self._shown, run)
            if self.findData(self._shown) < 0:
                self.insertItem(1, name_of(run), self._shown)
        self._turn()

    def _fill(self, runs: Sequence[ListedRun]) -> None:
        shown = self._runs.get(self._shown)
        self._runs = {str(entry.folder): entry.run for entry in runs}
        with QSignalBlocker(self):
            self.clear()
            self.addItem(NONE, "")
            for entry in runs:
                self._add(entry.text(), entry.folder)
            if shown is not None and self._shown not in self._runs:
                self._runs[self._shown] = shown
                self._add(name_of(shown), shown.folder)
            self.addItem(OPEN, OPEN)
        self._turn()

    def _add(self, text: str, folder: Path) -> None:
        self.addItem(text, str(folder))
        combo_item(self, self.count() - 1).setToolTip(f"{text}\n{folder}")

    def _turn(self) -> None:
        with QSignalBlocker(self):
            self.setCurrentIndex(max(self.findData(self._shown), 0))
        self.setToolTip(f"{TIP}\n{self._shown}" if self._shown else TIP)

    def _picked(self, row: int) -> None:
        data = self.itemData(row)
        if data == OPEN:
            self._turn()
            ask_folder(self, "Open the folder of a run", self.folder_chosen.emit)
        elif data != self._shown:
            self.chosen.emit(self._runs.get(data))
