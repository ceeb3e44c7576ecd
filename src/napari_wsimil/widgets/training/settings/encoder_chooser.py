"""Which encoder makes features of patches: the bundled one, those that others made and that are here, or a folder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_wsimil.widgets.asking import ask_folder
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import combo_item, narrow_combo
from napari_wsimil.widgets.training.settings.number_box import slim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.encoders.foreign.listing import EncoderChoice

FOLDER = "choose-folder"
TIP = "What turns patches into features; of feature files, the encoder that made them"
FOLDER_TIP = "A folder with an encoder of this program, or a copy of a model of transformers or timm"


def _look_at(folder: str) -> EncoderChoice:
    from napari_wsimil.encoders.foreign.listing import encoder_choice

    return encoder_choice(folder)


class EncoderChooser(QWidget):
    """A list of encoders, of which those that can't be loaded say why.

    Signals
    -------
    changed
        Another encoder was chosen.
    refused
        A folder was chosen that holds no encoder; carries one sentence.
    """

    changed = Signal()
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.combo = narrow_combo("encoder")
        self.combo.currentTextChanged.disconnect(self.combo.setToolTip)
        self.combo.setToolTip(TIP)
        self.combo.setAccessibleName("Encoder")
        slim(self.combo)
        self._known: dict[str, EncoderChoice] = {}
        self._chosen = "bundled"
        self.combo.addItem("Bundled encoder", "bundled")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.combo)
        self.combo.currentIndexChanged.connect(self._picked)

    @property
    def name(self) -> str:
        """What `load_encoder` takes."""
        return self._chosen

    @property
    def choice(self) -> EncoderChoice | None:
        """What is known of it; None while nobody has looked around."""
        return self._known.get(self._chosen)

    def take(self, choices: Sequence[EncoderChoice]) -> None:
        """Fill the list; what was chosen stays chosen."""
        with QSignalBlocker(self.combo):
            self.combo.clear()
            for choice in choices:
                self._add(choice)
            self.combo.addItem("Choose folder…", FOLDER)
            combo_item(self.combo, self.combo.count() - 1).setToolTip(FOLDER_TIP)
            self.combo.setCurrentIndex(max(self.combo.findData(self._chosen), 0))
        self.changed.emit()

    def add_folder(self, folder: str) -> None:
        """Add the encoder in a folder and choose it, as soon as a worker has loaded it; `refused` where it is none."""
        read_in_background(folder, partial(_look_at, folder), self._looked)

    def _looked(self, result: tuple[str, Any]) -> None:
        folder, found = result
        if isinstance(found, Exception):
            self.refused.emit(str(found))
            return
        row = self.combo.findData(folder)
        if row < 0:
            row = self.combo.count() - 1
            with QSignalBlocker(self.combo):
                self._add(found, row)
        self.combo.setCurrentIndex(row)

    def _add(self, choice: EncoderChoice, row: int | None = None) -> None:
        self._known[choice.name] = choice
        row = self.combo.count() if row is None else row
        self.combo.insertItem(row, choice.title, choice.name)
        item = combo_item(self.combo, row)
        item.setEnabled(not choice.problem)
        item.setToolTip(choice.problem or f"{choice.title}\n{choice.patch_size} px at {choice.mpp:g} µm per pixel")

    def _picked(self, row: int) -> None:
        name = self.combo.itemData(row)
        if name != FOLDER:
            self._chosen = name
            self.changed.emit()
            return
        with QSignalBlocker(self.combo):
            self.combo.setCurrentIndex(self.combo.findData(self._chosen))
        ask_folder(self, "Choose the folder of an encoder", self.add_folder)
