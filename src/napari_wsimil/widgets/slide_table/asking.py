"""What the dock asks the user, in dialogs that do not stop the window, and what the user drops onto it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_wsimil.widgets.asking import file_dialog

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.widgets.asking import Taken


class FileTarget(QWidget):
    """A widget onto which files and folders can be dropped.

    Signals
    -------
    dropped
        A path, or a tuple of several.
    """

    dropped = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)

    def dragEnterEvent(self, event: Any) -> None:
        """Files and folders are welcome."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Take what was dropped."""
        paths = tuple(Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile())
        if paths:
            event.acceptProposedAction()
            self.dropped.emit(paths[0] if len(paths) == 1 else paths)


def ask_manifest(parent: QWidget, take: Taken) -> None:
    """Ask for a table, or a list, of slides."""
    dialog = file_dialog(parent, "Open a manifest or a list of slides", take)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setNameFilters(["Manifests and lists (*.csv *.tsv *.txt)", "All files (*)"])
    dialog.open()


def ask_where_labels(parent: QWidget, beside: str, take: Taken) -> None:
    """Ask where to save labels."""
    dialog = file_dialog(parent, "Save slides and labels", take)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilters(["Manifests (*.csv)"])
    dialog.setDefaultSuffix("csv")
    dialog.setDirectory(beside)
    dialog.selectFile("labels.csv")
    dialog.open()


def sure_to_lose_labels(parent: QWidget, go_on: Callable[[], object]) -> None:
    """Ask whether labels that were not saved may be lost."""
    box = QMessageBox(QMessageBox.Icon.Question, "Slides", "Labels were changed and not saved.", parent=parent)
    box.setInformativeText("Opening other slides loses them; save them first under More, Save labels….")
    box.addButton(QMessageBox.StandardButton.Cancel)
    lose: Any = box.addButton("Lose labels", QMessageBox.ButtonRole.DestructiveRole)
    lose.clicked.connect(go_on)
    box.finished.connect(box.deleteLater)
    box.open()
