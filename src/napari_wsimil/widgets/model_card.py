"""The card of a model: what it was trained on, how well it does, and what it is not for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.qt.threading import create_worker
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout

from napari_wsimil.errors import WsimilError

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

SIZE = (620, 640)
NO_CARD = "This model has no card: whoever made it did not say what it was trained on or how well it does."


def card_text(name: str) -> str:
    """Markdown: a model's card and the settings that decide whether it fits a slide; else a sentence that says why not."""
    # Both load torch: not in the thread of the window.
    from napari_wsimil.packages import load_model

    try:
        model = load_model(name)
    except WsimilError as error:
        return str(error)
    spec = model.spec
    classes = ", ".join(spec.classes)
    mpps = ", ".join(f"{mpp:g}" for mpp in spec.mpps)
    facts = (
        f"| | |\n| --- | --- |\n| Method | {spec.method} |\n| Classes | {classes} |\n| Encoder | {spec.encoder.id} |\n"
        f"| Looks at | {spec.patch_size}-px patches at {mpps} µm/px |\n"
        f"| Calibrated | {_calibrated(spec.calibration)} |\n| Weights | `{model.digest[:16]}` |\n| From | {model.source} |\n"
    )
    return f"{model.card.strip() or NO_CARD}\n\n---\n\n{facts}"


def _calibrated(calibration: object) -> str:
    cases = getattr(calibration, "cases", None)
    return f"on {cases:,} slides" if cases else "no"


class ModelCard(QDialog):
    """A window beside the viewer that shows one card; it may stay open.

    Parameters
    ----------
    name
        For `load_model`.
    parent
        The dock.
    """

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Model card")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("model_card")
        self.resize(*SIZE)
        self.text = QTextBrowser()
        self.text.setOpenExternalLinks(True)
        self.text.setAccessibleName("Model card")
        self.text.setPlainText("Reading the card…")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(self.text)
        column.addWidget(buttons)
        worker = create_worker(card_text, name, _ignore_errors=True)
        worker.returned.connect(self.text.setMarkdown)
        self.destroyed.connect(lambda *_: worker.returned.disconnect())
        worker.start()
