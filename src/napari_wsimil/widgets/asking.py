"""Asking for a folder in a dialog that does not stop the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    Taken = Callable[[str], object]


def ask_folder(parent: QWidget, title: str, take: Taken) -> None:
    """Ask for a folder; `take` gets its path, unless the user cancels."""
    dialog = file_dialog(parent, title, take)
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    dialog.open()


def file_dialog(parent: QWidget, title: str, take: Taken) -> QFileDialog:
    """A dialog that looks the same everywhere, is gone when it is closed, and hands over what was chosen; open it."""
    dialog = QFileDialog(parent, title)
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.fileSelected.connect(take)
    dialog.finished.connect(dialog.deleteLater)
    return dialog
