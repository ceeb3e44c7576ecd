"""Which model, and on which device."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.model_card import ModelCard
from napari_wsimil.widgets.model_list import models_changed
from napari_wsimil.widgets.parts import combo_item, follow, form, narrow_combo, text_label

if TYPE_CHECKING:
    from collections.abc import Sequence

CHOOSE = ":choose-folder"
"""No name that a model can have."""
CAVEATS = {True: "For demonstration, not for diagnosis.", False: "For research, not for diagnosis."}


def survey() -> tuple[Sequence[Any], str]:
    """The installed models, and which device "auto" is; imports torch and what Predict needs, so call it off the GUI thread."""
    from napari_wsimil.inference import choose_device, job  # noqa: F401 - the first prediction begins the sooner
    from napari_wsimil.packages import installed_models

    return installed_models(), choose_device("auto").type


class ModelChooser(QWidget):
    """Model and device; both lists are complete as soon as a worker has looked around, and whenever the library changed.

    Signals
    -------
    refused
        A folder was chosen that is no model package, or the chosen model is gone; carries one sentence, or "" once it is back.
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
        self._wanted = ""
        self._lost = ""
        self._round = 0
        self._ids: dict[str, str] = {}
        self._lay_out()
        self._fill_models([("Bundled model", "bundled", None)])
        self._fill_devices()
        self.model_combo.currentIndexChanged.connect(self._picked)
        follow(models_changed, self.refresh, self)
        self.refresh()

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

    def refresh(self) -> None:
        """Look around for models again, in a worker; what is chosen stays chosen."""
        self._round += 1
        read_in_background(self._round, survey, self._found)

    def choose(self, name: str) -> None:
        """Choose a model by what `load_model` takes: at once where it is listed, or when the list has it."""
        index = self.model_combo.findData(name)
        if index >= 0:
            self.model_combo.setCurrentIndex(index)
        elif (Path(name) / "model.json").is_file():
            self.add_folder(name)
        else:
            self._wanted = name
            self.refresh()

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

    def _found(self, told: tuple[int, Any]) -> None:
        """Complete both lists with what the newest survey found."""
        number, result = told
        if number != self._round or isinstance(result, Exception):
            return
        models, kind = result
        self._ids = {model.name: model.spec.id for model in models if model.spec is not None}
        if kind == "cpu":
            self._offer_gpu(None, "PyTorch finds no GPU on this computer.")
        else:
            self._offer_gpu(kind)
        if models:
            self._list(models)
        wanted, self._wanted = self._wanted, ""
        if wanted and self.model_combo.findData(wanted) >= 0:
            self.model_combo.setCurrentIndex(self.model_combo.findData(wanted))
        elif wanted:
            self.refused.emit(f"There is no model {wanted!r} any more; choose another.")

    def _list(self, models: Sequence[Any]) -> None:
        """List these; a chosen model that is gone is told, and chosen again when it is brought back."""
        name, title = self.model, self.model_combo.currentText()
        extra = [(Path(folder).name, folder, None) for folder in self._folders() if folder not in {one.name for one in models}]
        self._fill_models([(shown, model.name, model.problem) for shown, model in _titled(models)] + extra)
        if self._wanted:
            return
        if name != self.model:
            self._lost = name
            self.refused.emit(f"{title} is gone from the list of models; {self.model_combo.currentText()} is chosen now.")
        elif self._lost and self.model_combo.findData(self._lost) >= 0:
            self._wanted = self._lost
            self.refused.emit("")

    def _folders(self) -> list[str]:
        """Packages that were chosen by their folder, and are there still."""
        names = [str(self.model_combo.itemData(row)) for row in range(self.model_combo.count())]
        return [name for name in names if Path(name).is_absolute() and Path(name).is_dir()]

    def _picked(self, index: int) -> None:
        if self.model_combo.itemData(index) != CHOOSE:
            self._chosen, self._lost = index, ""
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


def _titled(models: Sequence[Any]) -> list[tuple[str, Any]]:
    """Models with what the list calls them: their titles, and their names too where two have one title."""
    often = Counter(model.title for model in models)
    return [(f"{model.title} ({model.folder.name})" if often[model.title] > 1 else model.title, model) for model in models]


def _id_in(folder: str) -> str:
    """What a package in a folder calls itself; "" where it is broken, which Predict tells."""
    try:
        return str(json.loads((Path(folder) / "model.json").read_text("utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
