"""The same table in a window of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QVBoxLayout

from napari_wsimil.widgets.training.data.controls import ForSelected, search_field, undone
from napari_wsimil.widgets.training.data.model import LABEL, SPLIT
from napari_wsimil.widgets.training.data.view import DraftView

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_wsimil.training.data.drafting import Draft
    from napari_wsimil.widgets.training.data.model import DraftModel

SIZE = (900, 640)


class LargerTable(QDialog):
    """A window that can be resized and stays beside the other one; what is done in one is seen in both."""

    def __init__(self, parent: QWidget, draft: Draft, model: DraftModel) -> None:
        super().__init__(parent)
        self._draft = draft
        self.setWindowTitle("Slides to learn from")
        self.setObjectName("larger_table")
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint, True)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setSizeGripEnabled(True)
        self.search = search_field()
        self.view = DraftView(draft, model)
        self.for_selected = ForSelected(lambda: draft.labels)
        column = QVBoxLayout(self)
        column.addWidget(self.search)
        column.addWidget(self.view, 1)
        column.addWidget(self.for_selected)
        self.search.textChanged.connect(model.search)
        chosen: Any = self.view.selectionModel()
        chosen.selectionChanged.connect(self._follow)
        model.modelReset.connect(self._follow)
        self.for_selected.labelled.connect(lambda text: self.view.change_selected(LABEL, text))
        self.for_selected.put.connect(lambda side: self.view.change_selected(SPLIT, side))
        self.resize(*SIZE)

    def keyPressEvent(self, event: Any) -> None:
        """Escape ends editing, not the window; Enter presses nothing."""
        if not undone(event, self._draft) and event.key() not in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            super().keyPressEvent(event)

    def _follow(self, *_: Any) -> None:
        self.for_selected.offer(len(self.view.selected()))
