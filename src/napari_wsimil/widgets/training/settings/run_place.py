"""The folder of the next run: a fresh one beside the slides, or where somebody says."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QToolButton, QWidget

from napari_wsimil.widgets.asking import ask_folder
from napari_wsimil.widgets.training.settings.places import fresh_run, runs_folder

TIP = "Model, report and curves are written here; a new folder for each run"


class RunPlace(QWidget):
    """A line with the folder, and a button to choose the one that runs are made in.

    Signals
    -------
    changed
        Another folder is meant.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.field = QLineEdit()
        self.field.setObjectName("run_folder")
        self.field.setAccessibleName("Run folder")
        self.button = QToolButton()
        self.button.setObjectName("choose_run_folder")
        self.button.setText("…")
        self.button.setToolTip("Choose the folder that runs are made in")
        self.button.setAccessibleName("Choose the folder of runs")
        self._beside: Path | None = None
        self._chosen: Path | None = None
        self._method = "run"
        across = QHBoxLayout(self)
        across.setContentsMargins(0, 0, 0, 0)
        across.setSpacing(2)
        across.addWidget(self.field, 1)
        across.addWidget(self.button)
        self.field.textEdited.connect(lambda _: self.changed.emit())
        self.field.textChanged.connect(lambda text: self.field.setToolTip(f"{TIP}\n{text}"))
        self.button.clicked.connect(lambda: ask_folder(self, "Folder that runs are made in", self.choose))
        self.suggest()

    @property
    def folder(self) -> Path:
        """The folder of the next run."""
        return Path(self.field.text().strip() or str(self._suggested())).expanduser().absolute()

    @property
    def base(self) -> Path:
        """The folder that runs are made in."""
        return self.folder.parent

    def choose(self, folder: str | Path) -> None:
        """Make runs in this folder from now on."""
        self._chosen = Path(folder)
        self.suggest()

    def look_beside(self, folder: Path | None) -> None:
        """Say where the slides are; a folder that was chosen or typed stays."""
        if folder != self._beside:
            self._beside = folder
            self._follow()

    def set_method(self, method: str) -> None:
        """Say what is trained: the folder is called so."""
        if method != self._method:
            self._method = method
            self._follow()

    def suggest(self) -> None:
        """A fresh folder; what was typed is gone."""
        self.field.setText(str(self._suggested()))
        self.field.setCursorPosition(len(self.field.text()))
        self.changed.emit()

    def _follow(self) -> None:
        if not self.field.isModified():
            self.suggest()

    def _suggested(self) -> Path:
        return fresh_run(self._chosen or runs_folder(self._beside), self._method)
