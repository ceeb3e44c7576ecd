"""The card of a model: what it was trained on, how well it does, and what it is not for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QTextCharFormat, QTextCursor
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QHBoxLayout, QPushButton, QTextBrowser, QVBoxLayout

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.job import Failure
from napari_wsimil.widgets.model_list import attempt, models_changed, take_out
from napari_wsimil.widgets.parts import say, text_label
from napari_wsimil.widgets.sharing_buttons import SharingButtons

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_wsimil.packages import Calibration

SIZE = (620, 640)
REMOVE = "Take out of the list"
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


def _calibrated(calibration: Calibration | None) -> str:
    return f"on {calibration.cases:,} slides" if calibration is not None and calibration.scales else "no"


def read_card(name: str) -> tuple[str, bool, str]:
    """The text of a card, whether the model is one of the user's own, and its name for files; loads torch."""
    from napari_wsimil.packages import installed_models
    from napari_wsimil.packages.places import safe_name

    found = next((model for model in installed_models() if model.name == name), None)
    title = Path(name).name if found is None else found.title
    return card_text(name), found is not None and found.origin == "library", safe_name(title)


class ModelCard(QDialog):
    """A window beside the viewer that shows one card, and from which a model is shared or removed; it may stay open.

    Parameters
    ----------
    name
        For `load_model`.
    parent
        The dock.
    """

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._name = name
        self._removed: Any = None
        self.setWindowTitle("Model card")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("model_card")
        self.resize(*SIZE)
        self.text = QTextBrowser()
        self.text.setOpenExternalLinks(True)
        self.text.setAccessibleName("Model card")
        self.text.setPlainText("Reading the card…")
        self.sharing = SharingButtons()
        self.sharing.setEnabled(False)
        self.remove_button = QPushButton(REMOVE)
        self.remove_button.setObjectName("remove_model")
        self.remove_button.setToolTip("Take this model out of your own models; it can be brought back")
        self.remove_button.hide()
        self.message = text_label()
        self.message.setObjectName("card_message")
        say(self.message, "")
        self._lay_out()
        self.remove_button.clicked.connect(self._remove_or_restore)
        for told in (self.sharing.said, self.sharing.failed):
            told.connect(lambda text: say(self.message, text))
        read_in_background(name, lambda: attempt(lambda: read_card(name)), self._take)

    def _lay_out(self) -> None:
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(self.text, 1)
        column.addWidget(self.message)
        row = QHBoxLayout()
        row.addWidget(self.remove_button)
        row.addWidget(self.sharing)
        row.addStretch(1)
        row.addWidget(close)
        column.addLayout(row)

    def _take(self, told: tuple[str, Any]) -> None:
        _, found = told
        if isinstance(found, Failure):
            self.text.setPlainText(found.sentence)
            return
        markdown, own, name = found
        self.show_text(markdown)
        self.remove_button.setVisible(own)
        self.sharing.turn_to(self._name, name)
        self.sharing.setEnabled(True)

    def show_text(self, markdown: str) -> None:
        """Show a card; its links in the colour of its text, since Qt's blue is not readable on dark backgrounds."""
        self.text.setMarkdown(markdown)
        document: Any = self.text.document()
        colour = QTextCharFormat()
        colour.setForeground(self.text.palette().text())
        colour.setFontUnderline(True)
        block = document.begin()
        while block.isValid():
            for part in block.textFormats():
                if part.format.isAnchor():
                    cursor = QTextCursor(document)
                    cursor.setPosition(block.position() + part.start)
                    cursor.setPosition(block.position() + part.start + part.length, QTextCursor.MoveMode.KeepAnchor)
                    cursor.mergeCharFormat(colour)
            block = block.next()

    def _remove_or_restore(self) -> None:
        self.remove_button.setEnabled(False)
        name, removed = self._name, self._removed
        deed = removed.restore if removed is not None else lambda: take_out(name)
        read_in_background(name, lambda: attempt(deed), self._end)

    def _end(self, told: tuple[str, Any]) -> None:
        """It was taken out, or brought back."""
        _, outcome = told
        self.remove_button.setEnabled(True)
        if isinstance(outcome, Failure):
            say(self.message, outcome.sentence)
            return
        out = self._removed is None
        self._removed = outcome if out else None
        if not out:
            self._name = outcome.name
        self.sharing.setEnabled(not out)
        self.remove_button.setText("Undo" if out else REMOVE)
        say(self.message, f"Taken out of the list; it is kept until {outcome.until:%d %B %Y}." if out else "")
        models_changed.emit()
