"""What the page asks, in dialogs that do not stop the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_wsimil.widgets.asking import ask_folder, file_dialog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_wsimil.training.data.drafting import Draft

__all__ = ["ask_folder", "ask_manifest", "ask_mpp", "ask_text", "ask_where_to_save"]

USUAL_MPP = 0.25


def ask_manifest(parent: QWidget, take: Callable[[str], object]) -> None:
    """Ask for a table of slides."""
    dialog = file_dialog(parent, "Add the slides of a manifest", take)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setNameFilters(["Manifests (*.csv *.tsv)", "All files (*)"])
    dialog.open()


def ask_where_to_save(parent: QWidget, draft: Draft, take: Callable[[str], object]) -> None:
    """Ask where to save a manifest; a file that is there is not written over without being asked."""
    dialog = file_dialog(parent, "Save the slides as a manifest", take)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilters(["Manifests (*.csv)"])
    dialog.setDefaultSuffix("csv")
    if draft.manifest is not None:
        dialog.setDirectory(str(draft.manifest.parent))
        dialog.selectFile(draft.manifest.name)
    else:
        if draft.rows:
            dialog.setDirectory(str(draft.rows[0].path.parent))
        dialog.selectFile("slides.csv")
    dialog.open()


def ask_mpp(parent: QWidget, take: Callable[[float], object]) -> None:
    """Ask how many µm a pixel of the slides measures."""
    dialog: Any = QInputDialog(parent)
    dialog.setInputMode(QInputDialog.InputMode.DoubleInput)
    dialog.setWindowTitle("Pixel size")
    dialog.setLabelText("µm per pixel of these slides (20x: 0.5, 40x: 0.25)")
    dialog.setDoubleDecimals(4)
    dialog.setDoubleRange(0.01, 100)
    dialog.setDoubleStep(0.05)
    dialog.setDoubleValue(USUAL_MPP)
    dialog.doubleValueSelected.connect(take)
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


def ask_text(parent: QWidget, title: str, question: str, known: Sequence[str], take: Callable[[str], object]) -> None:
    """Ask for a word, which may be one of those that are known."""
    dialog: Any = QInputDialog(parent)
    dialog.setWindowTitle(title)
    dialog.setLabelText(question)
    dialog.setComboBoxItems(["", *known])
    dialog.setComboBoxEditable(True)
    dialog.textValueSelected.connect(take)
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
