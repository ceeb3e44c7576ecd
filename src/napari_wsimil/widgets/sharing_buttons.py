"""The buttons "Share…" and "Push to hub…" of a model: what they ask, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari import current_viewer
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QWidget

from napari_wsimil.widgets.asking import ask_folder, file_dialog
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.model_list import attempt, sentence_of
from napari_wsimil.widgets.parts import NarrowButton
from napari_wsimil.widgets.push_dialog import PushDialog

if TYPE_CHECKING:
    from napari_wsimil.widgets.push_dialog import PushWish

LEFT_OUT = "Paths of this computer, the command and remarks that name slides are left out"
WITH_PATHS = "Include file paths and the command"


class SharingButtons(QWidget):
    """Two buttons for one model.

    Parameters
    ----------
    viewer
        The napari viewer whose theme dialogs have; None: the newest one.

    Signals
    -------
    said
        What is being done, or was; one sentence.
    failed
        Why it was not; one sentence.
    """

    said = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: Any = None) -> None:
        super().__init__()
        self._viewer = viewer or current_viewer()
        self._package, self._name = "", ""
        self._dialog: PushDialog | None = None
        self.share_button, self.push_button = NarrowButton("Share…"), NarrowButton("Push to hub…")
        self.share_button.setObjectName("share_model")
        self.share_button.setToolTip(f"Write the model for others: as a folder, or as one file. {LEFT_OUT}")
        self.push_button.setObjectName("push_model")
        self.push_button.setToolTip(f"Upload the model to the Hugging Face hub. {LEFT_OUT}")
        self.menu = QMenu(self)
        self.with_paths = QAction(WITH_PATHS, self)
        self._fill_menu()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.share_button, 1)
        row.addWidget(self.push_button, 1)
        self.push_button.clicked.connect(self.ask_where_to_push)

    def turn_to(self, package: str, name: str) -> None:
        """Share another model.

        Parameters
        ----------
        package
            What `load_model` takes.
        name
            Offered for files and repositories.
        """
        self._package, self._name = package, name

    def share(self, target: str) -> None:
        """Write the model to a folder or a .zip, in a worker."""
        package, keep = self._package, self.with_paths.isChecked()
        self._work(f"Writing {Path(target).name}…")
        read_in_background(target, lambda: attempt(lambda: _share(package, target, keep)), self._shared)

    def ask_where_to_push(self) -> None:
        """Open the dialog, or bring it to the front."""
        if self._dialog is None:
            theme = "dark" if self._viewer is None else self._viewer.theme
            self._dialog = PushDialog(self._name, self, theme)
            self._dialog.wished.connect(self._push)
            self._dialog.destroyed.connect(self._forget_dialog)
        self._dialog.show()
        self._dialog.raise_()

    def _fill_menu(self) -> None:
        folder: Any = self.menu.addAction("To a folder…")
        archive: Any = self.menu.addAction("To one file (.zip)…")
        self.menu.addSeparator()
        self.menu.addAction(self.with_paths)
        self.with_paths.setCheckable(True)
        self.with_paths.setToolTip("For yourself: otherwise they stay on this computer")
        self.menu.setToolTipsVisible(True)
        folder.triggered.connect(lambda: ask_folder(self, "Where to put the model's folder", self._share_to_folder))
        archive.triggered.connect(self._ask_for_file)
        self.share_button.setMenu(self.menu)

    def _ask_for_file(self) -> None:
        dialog = file_dialog(self, "Share the model as one file", self.share)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters(["Model packages (*.zip)"])
        dialog.setDefaultSuffix("zip")
        dialog.selectFile(f"{self._name}.zip")
        dialog.open()

    def _share_to_folder(self, parent: str) -> None:
        """The model gets a folder of its own in the one that was chosen."""
        self.share(str(Path(parent) / self._name))

    def _shared(self, told: tuple[Any, Any]) -> None:
        _, outcome = told
        self._work("")
        if isinstance(outcome, Path):
            self.said.emit(f"Written to {outcome}.")
        else:
            self.failed.emit(sentence_of(outcome))

    def _push(self, wish: PushWish) -> None:
        package = self._package
        if self._dialog is not None:
            self._dialog.show_working()
        self._work("Uploading the model…")
        read_in_background(wish, lambda: attempt(lambda: _pushed(package, wish)), self._end_push)

    def _end_push(self, told: tuple[Any, Any]) -> None:
        _, outcome = told
        self._work("")
        address = outcome if isinstance(outcome, str) else None
        problem = "" if address else sentence_of(outcome)
        if self._dialog is not None and self._dialog.isVisible():
            self._dialog.show_outcome(address, problem)
        elif problem:
            self.failed.emit(problem)
        if address:
            self.said.emit(f"Uploaded to {address}.")

    def _forget_dialog(self, _: Any = None) -> None:
        self._dialog = None

    def _work(self, what: str) -> None:
        """Something is being done, or nothing any more."""
        self.share_button.setEnabled(not what)
        self.push_button.setEnabled(not what)
        self.said.emit(what)


def _share(package: str, target: str, keep_paths: bool) -> Path:
    from napari_wsimil.packages import share_model

    return share_model(package, target, keep_paths=keep_paths)


def _pushed(package: str, wish: PushWish) -> str:
    from napari_wsimil.packages import push_model

    return push_model(
        package,
        wish.repository,
        private=wish.private,
        licence=wish.licence,
        token=wish.token,
        keep_paths=wish.keep_paths,
    )
