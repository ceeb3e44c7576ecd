"""The buttons of the page: where slides come from, what is done with the list, and with the selected rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QMenu, QPushButton, QSizePolicy, QWidget

from napari_wsimil.training.data.drafting import SIDES
from napari_wsimil.widgets.parts import NarrowButton
from napari_wsimil.widgets.training.data.editors import box_to_type_in
from napari_wsimil.widgets.training.data.problem_list import Buttons

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_wsimil.training.data.drafting import Draft

SIDE = "Split"


class AddButtons(Buttons):
    """One button for each place that slides come from."""

    def __init__(self) -> None:
        super().__init__(0)
        self.folder = self.add("Folder…", "Add the slides of a folder, or feature files, or folders of patch images")
        self.manifest = self.add("Manifest…", "Add the slides of a table (CSV) with their labels, patients and splits")
        self.listed = self.add("From “Slides”", "Add the slides of the dock “Slides”, with the labels that they have there")
        self.open_slide = self.add("Open slide", "Add the slide that is open, with the regions saved beside it")
        for name, button in vars(self).items():
            if isinstance(button, QPushButton):
                button.setObjectName(f"add_{name}")


class ListTools(QWidget):
    """Search, undo and redo, the larger window, and what is needed less often."""

    def __init__(self) -> None:
        super().__init__()
        self.search = search_field()
        self.undo = _small("undo_data", "↶", "Undo: take the last change back (Ctrl+Z)")
        self.redo = _small("redo_data", "↷", "Redo what was taken back (Ctrl+Shift+Z)")
        self.larger = _small("larger", "Larger", "The same table in a window of its own")
        self.more = NarrowButton("More")
        self.more.setObjectName("more_data")
        self.more.setToolTip("Save, copy, start over")
        menu: Any = QMenu(self.more)
        menu.setToolTipsVisible(True)
        self.save: Any = menu.addAction("Save manifest…")
        self.save.setToolTip("Save the slides that take part as a table (CSV), to train from or to share")
        self.copy: Any = menu.addAction("Copy table")
        self.copy.setToolTip("Copy the slides for a spreadsheet; pasted again, they find their rows by name")
        menu.addSeparator()
        self.clear: Any = menu.addAction("Start over")
        self.clear.setToolTip("Take all slides off the list; Undo brings them back")
        self.more.setMenu(menu)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.search, 1)
        for part in (self.undo, self.redo, self.larger, self.more):
            line.addWidget(part)

    def follow(self, draft: Draft) -> None:
        """What can be done now."""
        self.undo.setEnabled(draft.can_undo)
        self.redo.setEnabled(draft.can_redo)
        for part in (self.search, self.larger, self.save, self.copy, self.clear):
            part.setEnabled(bool(draft.rows))


class ForSelected(QWidget):
    """A label and a side for all selected rows at once.

    Signals
    -------
    labelled
        The label that was chosen or typed.
    put
        The side that was chosen.
    """

    labelled = Signal(str)
    put = Signal(str)

    def __init__(self, known: Callable[[], Sequence[str]]) -> None:
        super().__init__()
        self._known = known
        self.label = box_to_type_in(QComboBox(), [], "Label of the selected slides")
        self.label.setObjectName("label_selected")
        self.label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.label.setMinimumContentsLength(6)
        self.label.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.side = QComboBox()
        self.side.setObjectName("side_selected")
        self.side.setAccessibleName("Split of the selected slides")
        self.side.setToolTip("Put the selected slides into training, validation or test")
        self.side.addItems([SIDE, *SIDES])
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        self.side.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.side.setMinimumContentsLength(5)
        line.addWidget(self.label, 1)
        line.addWidget(self.side)
        self.label.activated.connect(lambda _: self._take_label())
        entry: Any = self.label.lineEdit()
        entry.returnPressed.connect(self._take_label)
        self.side.activated.connect(self._take_side)
        self.offer(0)

    def offer(self, selected: int) -> None:
        """Say for how many rows it is, and offer the labels there are."""
        self.setEnabled(selected > 0)
        entry: Any = self.label.lineEdit()
        slides = "slide" if selected == 1 else "slides"
        entry.setPlaceholderText(f"Label {selected:,} {slides} as …" if selected else "Label of selected slides")
        self.label.setToolTip(
            "Choose a class for the selected slides, or type a new one and press Enter" if selected else "Select slides first"
        )
        typed, names = self.label.currentText(), list(self._known())
        if names != [self.label.itemText(at) for at in range(self.label.count())]:
            self.label.clear()
            self.label.addItems(names)
            self.label.setCurrentIndex(-1)
            self.label.setEditText(typed)

    def _take_label(self) -> None:
        text = self.label.currentText().strip()
        self.label.setCurrentIndex(-1)
        self.label.clearEditText()
        if text:
            self.labelled.emit(text)

    def _take_side(self, at: int) -> None:
        self.side.setCurrentIndex(0)
        if at:
            self.put.emit(SIDES[at - 1])


def undone(event: Any, draft: Draft) -> bool:
    """Whether keys were pressed that undo or redo, which is done then."""
    for keys, act in ((QKeySequence.StandardKey.Undo, draft.undo), (QKeySequence.StandardKey.Redo, draft.redo)):
        if event.matches(keys):
            act()
            return True
    return False


def search_field() -> QLineEdit:
    """Where words are typed that slides must have."""
    field = QLineEdit()
    field.setObjectName("search_data")
    field.setPlaceholderText("Search")
    field.setToolTip("Show only slides with these words in name, label, patient or split")
    field.setAccessibleName("Search slides")
    field.setClearButtonEnabled(True)
    field.setMinimumWidth(70)
    return field


def _small(name: str, text: str, tip: str) -> QPushButton:
    button = NarrowButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    button.setAccessibleName(tip.split(":")[0] if len(text) == 1 else text)
    return button
