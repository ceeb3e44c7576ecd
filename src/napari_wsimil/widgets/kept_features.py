"""The choice to keep features, how much of them there is, and the way to get rid of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QMessageBox, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import WIDEST_OPTION, follow, form, heading
from napari_wsimil.widgets.preferences import feature_preferences
from napari_wsimil.widgets.slide_words import size_text

if TYPE_CHECKING:
    from pathlib import Path

GB = 10**9
TIP = "Predicting this slide again, also with another model on the same encoder, then takes seconds"


def kept() -> tuple[Path, int]:
    """Where the window keeps features, and how many bytes they are; reads folders, so call it off the GUI thread."""
    from napari_wsimil.bags.store import FeatureStore, default_store_folder

    folder = default_store_folder()
    return folder, FeatureStore(folder).size() if folder.is_dir() else 0


def clear() -> tuple[Path, int]:
    """Delete what is kept, and tell what is left: what another program is writing stays."""
    from napari_wsimil.bags.store import FeatureStore

    folder, size = kept()
    if size:
        FeatureStore(folder).trim(0)
    return kept()


class KeptFeatures(QWidget):
    """Check box, limit, size and a button; what is chosen is one of napari's preferences and outlives the window."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = QCheckBox("Keep features for the next prediction")
        self.keep.setObjectName("keep_features")
        self.most = QSpinBox()
        self.most.setRange(1, 10_000)
        self.most.setSuffix(" GB")
        self.most.setKeyboardTracking(False)
        self.most.setToolTip("Before a prediction, the features that were used longest ago are deleted beyond this")
        self.amount = QLabel()
        self.clear_button = QPushButton("Clear…")
        self.clear_button.setObjectName("clear_features")
        self.clear_button.setToolTip("Delete all features that are kept; they are computed again when they are needed")
        self.clear_button.setEnabled(False)
        row = QHBoxLayout()
        row.addWidget(self.amount, 1)
        row.addWidget(self.clear_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Features"))
        column.addWidget(self.keep)
        column.addLayout(form([("At most", self.most), ("Kept now", row)], WIDEST_OPTION))
        self._running = False
        self._connect()

    @property
    def keep_bytes(self) -> int | None:
        """How much is kept at most; None where nothing is to be kept."""
        return self.most.value() * GB if self.keep.isChecked() else None

    def set_running(self, running: bool) -> None:
        """While a job runs, which may be reading them, features stay; afterwards there are more."""
        if running != self._running:
            self._running = running
            self.clear_button.setEnabled(False)
            if not running:
                self.measure()

    def measure(self) -> None:
        """Find out how much is kept."""
        read_in_background("kept", kept, self._tell)

    def showEvent(self, event: Any) -> None:
        """Other windows and other programs keep features as well: look anew."""
        super().showEvent(event)
        self.measure()

    def ask_and_clear(self) -> None:
        """Delete what is kept, if the user is sure."""
        box = QMessageBox(
            QMessageBox.Icon.Question, "Clear features", f"Delete {self.amount.text()} of kept features?", parent=self
        )
        box.setInformativeText("The next prediction of a slide encodes its patches again.")
        box.addButton(QMessageBox.StandardButton.Cancel)
        delete: Any = box.addButton("Delete", QMessageBox.ButtonRole.AcceptRole)
        delete.clicked.connect(self._clear)
        box.finished.connect(box.deleteLater)
        box.open()

    def _clear(self) -> None:
        self.clear_button.setEnabled(False)
        read_in_background("kept", clear, self._tell)

    def _tell(self, found: tuple[Any, Any]) -> None:
        _, known = found
        if isinstance(known, Exception):
            self.amount.setText("not known")
            self.amount.setToolTip(str(known))
            return
        folder, size = known
        self.amount.setText(size_text(size) if size else "nothing")
        self.amount.setToolTip(f"In {folder}")
        self.clear_button.setEnabled(size > 0 and not self._running)

    def _connect(self) -> None:
        chosen = feature_preferences().events
        self._read_preferences()
        self.keep.setToolTip(TIP)
        self.keep.toggled.connect(lambda on: setattr(feature_preferences(), "keep", on))
        self.most.valueChanged.connect(lambda most: setattr(feature_preferences(), "most_gb", most))
        self.clear_button.clicked.connect(self.ask_and_clear)
        for event in (chosen.keep, chosen.most_gb):
            follow(event, self._read_preferences, self)

    def _read_preferences(self, _: Any = None) -> None:
        chosen = feature_preferences()
        with QSignalBlocker(self.keep), QSignalBlocker(self.most):
            self.keep.setChecked(chosen.keep)
            self.most.setValue(chosen.most_gb)
