"""What the short training may change, and what keeps the model from forgetting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QSpinBox, QVBoxLayout, QWidget

from napari_wsimil.widgets.parts import Fold, form, narrow_combo, say, text_label

if TYPE_CHECKING:
    from napari_wsimil.widgets.training.correct.planning import Usual

WIDEST = "Slide label"
TUNES = {
    "all": ("Whole model", "Everything but the encoder may change, also where the model looks. Best against a wrong focus."),
    "head": ("Last layers", "Only how evidence is weighed changes, most models keep looking where they looked. Changes least."),
    "adapter": ("Small layer in front", "The model stays as it is; a new layer before it learns to see the tissue otherwise."),
}
AUTO, MANIFEST, NONE = "auto", "manifest", "none"
OLD = {AUTO: "Its old slides", MANIFEST: "A manifest…", NONE: "None"}
NO_OLD = "Nothing is shown again: the model may forget what it learned before."
OF_FILE = "The slides of {name} are shown again, so that the model does not forget."
STRENGTHS = {"Gentle": 0.3, "Usual": 1.0, "Strong": 3.0}


class TuningBox(QWidget):
    """Two lists with a sentence each, and settings folded in below.

    Signals
    -------
    asked
        A dialog was opened; for tests, which can't see it.
    """

    asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.tune = narrow_combo("correct_tune")
        self.old = narrow_combo("correct_rehearsal")
        self.epochs = QSpinBox()
        self.strength = narrow_combo("correct_strength")
        self.tune_words, self.old_words = text_label(), text_label()
        self._manifest: Path | None = None
        self._usual: Usual | None = None
        self._before = AUTO
        self._tune_chosen = False
        self._fill()
        inside = QWidget()
        rows = QVBoxLayout(inside)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addLayout(form([("Epochs", self.epochs), ("Strength", self.strength)], WIDEST))
        self.fold = Fold("Settings", inside)
        self.fold.button.setObjectName("correct_settings")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(form([("Change", self.tune)], WIDEST))
        column.addWidget(self.tune_words)
        column.addLayout(form([("Rehearse", self.old)], WIDEST))
        column.addWidget(self.old_words)
        column.addWidget(self.fold)
        self.tune.currentIndexChanged.connect(self._tell)
        self.tune.activated.connect(self._choose_tune)
        self.old.currentIndexChanged.connect(self._turned)
        self._tell()

    @property
    def chosen_tune(self) -> str:
        """What `correction_plan` takes as `tune`."""
        return str(self.tune.currentData())

    @property
    def rehearsal(self) -> Path | str | None:
        """What `correction_plan` takes as `rehearsal`."""
        return {AUTO: AUTO, MANIFEST: self._manifest, NONE: None}[self.old.currentData()]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that differ from the usual ones."""
        chosen: dict[str, Any] = {"epochs": self.epochs.value()} if self.epochs.value() else {}
        strength = STRENGTHS[self.strength.currentText()]
        return chosen if strength == 1.0 else {**chosen, "strength": strength}

    def show_usual(self, usual: Usual | None) -> None:
        """Another model is corrected: what is usual for it, None while that is looked for."""
        self._usual = usual
        if usual is not None:
            self.epochs.setSpecialValueText(f"usual ({usual.epochs})")
            if not self._tune_chosen:
                self.tune.setCurrentIndex(self.tune.findData(usual.tune))
        self._tell()

    def take_manifest(self, path: str) -> None:
        """Show the slides of this manifest again."""
        self._manifest = Path(path)
        self.old.setItemText(self.old.findData(MANIFEST), f"{self._manifest.name}…")
        with QSignalBlocker(self.old):
            self.old.setCurrentIndex(self.old.findData(MANIFEST))
        self._before = MANIFEST
        self._tell()

    def _choose_tune(self, _: int) -> None:
        """The user chose: no other model changes that."""
        self._tune_chosen = True

    def _turned(self, _: int = 0) -> None:
        chosen = str(self.old.currentData())
        if chosen != MANIFEST:
            self._before = chosen
            self._tell()
            return
        with QSignalBlocker(self.old):
            self.old.setCurrentIndex(self.old.findData(self._before))
        dialog = QFileDialog(self, "Slides that the model does well on")
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilters(["Manifests (*.csv *.tsv)", "All files (*)"])
        dialog.fileSelected.connect(self.take_manifest)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
        self.asked.emit(dialog)

    def _tell(self, _: int = 0) -> None:
        say(self.tune_words, TUNES[self.chosen_tune][1])
        chosen = self.old.currentData()
        usual = "" if self._usual is None else self._usual.words
        name = "" if self._manifest is None else self._manifest.name
        say(self.old_words, {AUTO: usual, MANIFEST: OF_FILE.format(name=name), NONE: NO_OLD}[chosen])

    def _fill(self) -> None:
        for tune, (text, hint) in TUNES.items():
            self.tune.addItem(text, tune)
            self.tune.setToolTip(hint)
        for old, text in OLD.items():
            self.old.addItem(text, old)
        self.old.setAccessibleName("Old slides that are shown again")
        self.epochs.setObjectName("correct_epochs")
        self.epochs.setRange(0, 1000)
        self.epochs.setSpecialValueText("usual")
        self.epochs.setToolTip("How often every slide is seen; training ends before where it gets no better")
        self.strength.addItems(list(STRENGTHS))
        self.strength.setCurrentText("Usual")
        self.strength.currentTextChanged.disconnect(self.strength.setToolTip)
        self.strength.setToolTip("How large the changes are: gentle where the model changes too much, strong where too little")
        self.tune_words.setObjectName("correct_tune_words")
        self.old_words.setObjectName("correct_rehearsal_words")
