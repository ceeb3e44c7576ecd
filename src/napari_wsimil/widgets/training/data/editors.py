"""Cells that are edited in place: boxes to choose from or to type in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import QComboBox, QCompleter, QStyledItemDelegate, QWidget

from napari_wsimil.training.data.drafting import SIDES

if TYPE_CHECKING:
    from collections.abc import Callable

NO_SIDE = "none"
BEGUN = "wsimil_begun"
"""Property of a box that was filled."""


def box_to_type_in(combo: QComboBox, known: list[str], what: str) -> QComboBox:
    """Let a combobox offer what is known, complete what is typed, and take anything else."""
    combo.setEditable(True)
    combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    combo.addItems(known)
    combo.setAccessibleName(what)
    combo.setCurrentIndex(-1)
    completer: Any = combo.completer()
    completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
    completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
    completer.setFilterMode(Qt.MatchFlag.MatchContains)
    return combo


class Editor(QStyledItemDelegate):
    """Edits one column; what is entered goes to all selected rows where the edited one is among them.

    Parameters
    ----------
    known
        Gives what to offer; None: only the sides of a split can be chosen.
    commit
        Called with the edited index and the text.
    """

    def __init__(
        self, parent: QWidget, what: str, known: Callable[[], list[str]] | None, commit: Callable[[QModelIndex, str], object]
    ) -> None:
        super().__init__(parent)
        self._what, self._known, self._commit = what, known, commit

    def createEditor(self, parent: QWidget | None, _option: Any, _index: QModelIndex) -> QWidget:
        """The box."""
        combo = QComboBox(parent)
        if self._known is not None:
            return box_to_type_in(combo, self._known(), self._what)
        combo.addItems([*SIDES, NO_SIDE])
        combo.setAccessibleName(self._what)
        combo.activated.connect(lambda _: self._chosen(combo))
        return combo

    def setEditorData(self, editor: QWidget | None, index: QModelIndex) -> None:
        """Begin with what is there; what was typed meanwhile stays when a check ends."""
        if isinstance(editor, QComboBox) and not editor.property(BEGUN):
            editor.setProperty(BEGUN, True)
            text = str(index.data(Qt.ItemDataRole.EditRole) or "")
            if editor.isEditable():
                editor.setCurrentText(text)
                line: Any = editor.lineEdit()
                line.selectAll()
            else:
                editor.setCurrentIndex(max(0, editor.findText(text or NO_SIDE)))

    def setModelData(self, editor: QWidget | None, _model: Any, index: QModelIndex) -> None:
        """Take what was typed or chosen."""
        if isinstance(editor, QComboBox):
            text = editor.currentText()
            self._commit(index, "" if not editor.isEditable() and text == NO_SIDE else text)

    def _chosen(self, combo: QComboBox) -> None:
        """Something was chosen of a closed list: there is nothing more to be entered."""
        self.commitData.emit(combo)
        self.closeEditor.emit(combo)
