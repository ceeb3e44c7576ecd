"""Save, import and export of what is drawn; and what was found of an earlier time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_wsimil.annotations.writing import WRITTEN
from napari_wsimil.widgets.annotate.keeping import draft_of, own_file
from napari_wsimil.widgets.parts import say, text_label

if TYPE_CHECKING:
    from napari_wsimil.slides import Slide

READ_FILTER = "QuPath GeoJSON or ASAP XML (*.geojson *.json *.xml *.geojson.gz *.json.gz *.xml.gz)"


class Offer(QWidget):
    """What was found of an earlier time: open it, or not.

    Signals
    -------
    accepted, declined
        With the path.
    """

    accepted = Signal(object)
    declined = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.path: Path | None = None
        self.words = text_label()
        self.words.setObjectName("offer_words")
        self.open_button = QPushButton("Open")
        self.open_button.setObjectName("offer_open")
        self.open_button.setToolTip("Put these regions on the slide")
        self.decline_button = QPushButton("Not now")
        self.decline_button.setObjectName("offer_decline")
        row = QHBoxLayout()
        row.addWidget(self.open_button)
        row.addWidget(self.decline_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        column.addLayout(row)
        self.open_button.clicked.connect(lambda: self._answer(self.accepted))
        self.decline_button.clicked.connect(lambda: self._answer(self.declined))
        self.hide()

    def show_file(self, path: Path | None, slide: Slide | None) -> None:
        """Offer a file of a slide, or nothing."""
        self.path = path
        self.setVisible(path is not None)
        if path is None or slide is None:
            return
        unsaved = path == draft_of(slide)
        say(
            self.words,
            f"Regions that you drew on {slide.path.name} were not saved."
            if unsaved
            else f"There are regions of this slide in {path.name}.",
        )
        self.decline_button.setText("Discard" if unsaved else "Not now")
        self.decline_button.setToolTip("Forget them for good" if unsaved else "Leave the file as it is")

    def _answer(self, signal: Any) -> None:
        path, self.path = self.path, None
        self.hide()
        signal.emit(path)


class FilesPanel(QWidget):
    """Three buttons, and a line that says what is saved where.

    Signals
    -------
    save_to, export_to, import_from
        With the path that was chosen.
    asked
        A dialog was opened; for tests, which can't see it.
    """

    save_to = Signal(object)
    export_to = Signal(object)
    import_from = Signal(object)
    asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._slide: Slide | None = None
        self.file: Path | None = None
        self.state = text_label()
        self.state.setObjectName("saved_state")
        self.save_button = _button("save_regions", "Save", "Save the regions as a file that QuPath opens, too")
        self.import_button = _button("import_regions", "Import…", "Add regions from QuPath (GeoJSON) or ASAP (XML)")
        self.export_button = _button("export_regions", "Export…", "Write the regions for QuPath (GeoJSON) or ASAP (XML)")
        row = QHBoxLayout()
        row.setSpacing(4)
        for button in (self.save_button, self.import_button, self.export_button):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.state)
        self.save_button.clicked.connect(self._save)
        self.import_button.clicked.connect(self._import)
        self.export_button.clicked.connect(self._export)

    def show_slide(self, slide: Slide | None, file: Path | None) -> None:
        """The slide that is meant, and the file that its regions were saved to or opened from."""
        self._slide, self.file = slide, file
        self.import_button.setEnabled(slide is not None)

    def show_state(self, *, drawn: bool, dirty: bool) -> None:
        """Whether there is anything to save, and whether it was."""
        for button in (self.save_button, self.export_button):
            button.setEnabled(drawn and self._slide is not None)
        name = self.file.name if self.file is not None else ""
        if dirty and drawn:
            say(self.state, f"Changes are not saved to {name} yet." if name else "Not saved to a file yet.")
        else:
            say(self.state, f"Saved as {name}." if name and drawn else "")

    def _save(self) -> None:
        if self.file is not None:
            self.save_to.emit(self.file)
        elif self._slide is not None:
            self._ask_where("Save regions", own_file(self._slide).name, self.save_to)

    def _export(self) -> None:
        if self._slide is not None:
            self._ask_where("Export regions", f"{self._slide.path.stem}.xml", self.export_to)

    def _import(self) -> None:
        if self._slide is None:
            return
        dialog = QFileDialog(self, "Import regions", str(self._slide.path.parent))
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilters([READ_FILTER, "All files (*)"])
        dialog.fileSelected.connect(lambda path: self.import_from.emit(Path(path)))
        self._open(dialog)

    def _ask_where(self, title: str, name: str, signal: Any) -> None:
        folder = self._slide.path.parent if self._slide is not None else Path.home()
        dialog = QFileDialog(self, title, str(folder if os.access(folder, os.W_OK) else Path.home()))
        # the same dialog on every system, as for predictions
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        suffixes = {f"{reader} (*{suffix})": suffix for suffix, reader in WRITTEN.items()}
        dialog.setNameFilters(list(suffixes))
        wanted = next(text for text, suffix in suffixes.items() if name.endswith(suffix))
        dialog.selectNameFilter(wanted)
        dialog.selectFile(name)

        def rename(chosen: str) -> None:
            typed = Path(dialog.selectedFiles()[0]) if dialog.selectedFiles() else Path(name)
            stem = typed.stem if typed.suffix in WRITTEN else typed.name
            dialog.selectFile(stem + suffixes[chosen])

        def accept(path: str) -> None:
            known = Path(path).suffix.lower() in WRITTEN
            signal.emit(Path(path) if known else Path(path + suffixes[dialog.selectedNameFilter()]))

        dialog.filterSelected.connect(rename)
        dialog.fileSelected.connect(accept)
        self._open(dialog)

    def _open(self, dialog: QFileDialog) -> None:
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
        self.asked.emit(dialog)


def _button(name: str, text: str, hint: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(hint)
    return button
