"""The shown regions as files, where the user wants them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget


def ask_folder(parent: QWidget, slide: Path, chosen: Callable[[str], None]) -> QFileDialog:
    """Ask for a folder, at first the one of the slide, without waiting; `chosen` gets it."""
    folder = slide.parent if os.access(slide.parent, os.W_OK) else Path.home()
    dialog = QFileDialog(parent, "Save pictures of the regions and a table in a folder", str(folder))
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.fileSelected.connect(chosen)
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
    return dialog
