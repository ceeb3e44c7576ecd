"""Which model, and on which device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from napari_wsimil.widgets.model_card import ModelCard
from napari_wsimil.widgets.parts import combo_item, form, narrow_combo, text_label

if TYPE_CHECKING:
    from collections.abc import Sequence

CHOOSE = "choose-folder"
CAVEATS = {True: "For demonstration, not for diagnosis.", False: "For research, not for diagnosis."}


def survey() -> tuple[Sequence[Any], str]:
    """The installed models, and which device "auto" is; imports torch and what Predict needs, so call it off the GUI thread."""
    from napari_wsimil.inference import choose_device, job  # noqa: F401 - the first prediction begins the sooner
    from napari_wsimil.packages import installed_models

    return installed_models(), choose_device("auto").type


class ModelChooser(QWidget):
    """Model and device; both lists are complete as soon as a worker has looked around.

    Signals
    -------
    refused
        A folder was chosen that is no model package; carries one sentence.
    """

    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.model_combo = narrow_combo("model")
        self.device_combo = narrow_combo("device")
        self.card_button = QToolButton()
        self.card_button.setObjectName("card")
        self.card_button.setText("Card")
        self.card_button.setToolTip("What the model was trained on, how well it does, and what it is not for")
        self.card_button.clicked.connect(lambda: ModelCard(self.model, self).show())
        self.caveat = text_label()
        self._chosen = 0
        self._ids: dict[str, str] = {}
        self._lay_out()
        self._fill_models([("Bundled model", "bundled", None)])
        self._fill_devices()
        self.model_combo.currentIndexChanged.connect(self._picked)
        worker = create_worker(survey, _ignore_errors=True)
        worker.returned.connect(self._found)
        worker.start()

    @property
    def model(self) -> str:
        """Name or folder of the chosen model, for `load_model`."""
        return str(self.model_combo.currentData())

    @property
    def model_id(self) -> str:
        """What the chosen model calls itself, as its layers do; its title in the list where that is not known yet."""
        return self._ids.get(self.model) or _id_in(self.model) or self.model_combo.currentText()

    @property
    def device(self) -> str:
        """What `predict` takes: "auto", "cpu", "cuda" or "mps"."""
        return str(self.device_combo.currentData())

    def add_folder(self, folder: str) -> None:
        """Add a model package by its folder and choose it; `refused` is emitted where it is none."""
        if not (Path(folder) / "model.json").is_file():
            self.refused.emit(f"{folder} is not a model package: it has no model.json. Choose a folder that has one.")
            return
        index = self.model_combo.findData(folder)
        if index < 0:
            index = self.model_combo.count() - 1
            self.model_combo.insertItem(index, Path(folder).name, folder)
        self.model_combo.setCurrentIndex(index)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        first = QHBoxLayout()
        first.addWidget(self.model_combo, 1)
        first.addWidget(self.card_button)
        column.addLayout(form([("Model", first), ("", self.caveat), ("Device", self.device_combo)]))

    def _fill_models(self, entries: Sequence[tuple[str, str, str | None]]) -> None:
        """Entries: what is shown, what `load_model` takes, and why it can't be used (or None)."""
        before = self.model_combo.currentData()
        with QSignalBlocker(self.model_combo):
            self.model_combo.clear()
            for text, name, problem in entries:
                self.model_combo.addItem(text, name)
                item = combo_item(self.model_combo, self.model_combo.count() - 1)
                item.setEnabled(problem is None)
                item.setToolTip(problem or f"{text}\n{name}")
            self.model_combo.addItem("Choose folder…", CHOOSE)
            self.model_combo.setCurrentIndex(max(self.model_combo.findData(before), 0))
        self._chosen = self.model_combo.currentIndex()
        self._tell_caveat()

    def _fill_devices(self) -> None:
        for text, device in (("Automatic", "auto"), ("CPU", "cpu"), ("GPU", "cuda")):
            self.device_combo.addItem(text, device)
        self._offer_gpu(None, "Looking for a GPU…")

    def _offer_gpu(self, kind: str | None, why_not: str = "") -> None:
        """Let the GPU of a kind ("cuda", "mps") be chosen, or grey it out and tell why."""
        row = self.device_combo.findText("GPU")
        self.device_combo.setItemData(row, kind or "cuda")
        item = combo_item(self.device_combo, row)
        item.setEnabled(kind is not None)
        item.setToolTip(why_not)

    def _found(self, result: tuple[Sequence[Any], str]) -> None:
        """Complete both lists with what the survey found."""
        models, kind = result
        self._ids = {model.name: model.spec.id for model in models if model.spec is not None}
        if kind == "cpu":
            self._offer_gpu(None, "PyTorch finds no GPU on this computer.")
        else:
            self._offer_gpu(kind)
        if models:
            extra = [(Path(name).name, name, None) for name in self._folders() if name not in {model.name for model in models}]
            self._fill_models([(_title(model), model.name, model.problem) for model in models] + extra)

    def _folders(self) -> list[str]:
        names = [str(self.model_combo.itemData(row)) for row in range(self.model_combo.count())]
        return [name for name in names if name not in {"bundled", CHOOSE}]

    def _picked(self, index: int) -> None:
        if self.model_combo.itemData(index) != CHOOSE:
            self._chosen = index
            self._tell_caveat()
            return
        with QSignalBlocker(self.model_combo):
            self.model_combo.setCurrentIndex(self._chosen)
        dialog = QFileDialog(self, "Choose a model package")
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(self.add_folder)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _tell_caveat(self) -> None:
        self.model_combo.setToolTip(self.model_combo.currentText())
        self.caveat.setText(CAVEATS[self.model == "bundled"])


def _title(model: Any) -> str:
    return str((model.spec.title or model.spec.id) if model.spec is not None else Path(model.name).name)


def _id_in(folder: str) -> str:
    """What a package in a folder calls itself; "" where it is broken, which Predict tells."""
    try:
        return str(json.loads((Path(folder) / "model.json").read_text("utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
