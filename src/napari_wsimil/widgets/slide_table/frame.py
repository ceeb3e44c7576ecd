"""The frame of the dock: buttons, table, message and progress, and how they share the room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_wsimil.widgets.docks import dock_around
from napari_wsimil.widgets.parts import colour_as_error, follow, say, text_label
from napari_wsimil.widgets.slide_table.asking import FileTarget
from napari_wsimil.widgets.slide_table.controls import Controls, ProgressLine

if TYPE_CHECKING:
    from napari_wsimil.widgets.session import Session


class DockFrame(FileTarget):
    """Buttons above, what is shown in the middle, a message and the progress below.

    Signals
    -------
    taken_out
        The widget was taken out of the window, which is what the cross of its dock does.
    """

    taken_out = Signal()

    def __init__(self, viewer: Any, session: Session) -> None:
        super().__init__()
        self.controls = Controls(session)
        self.hint = QLabel()
        self.hint.setObjectName("hint")
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setWordWrap(True)
        self.message = text_label()
        self.message.setObjectName("message")
        self.progress = ProgressLine()
        self._middle = QStackedWidget()
        self._middle.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._middle.addWidget(self.hint)
        # in the midst of a resize the dock around this widget would not see its new least height
        self._fitting = QTimer(self)
        self._fitting.setSingleShot(True)
        self._fitting.timeout.connect(self._fit)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(4)
        for part in (self.controls, self._middle, self.message):
            column.addWidget(part)
        last = QHBoxLayout()
        last.addWidget(self.progress, 1)
        last.addWidget(self.controls.report_button)
        last.addWidget(self.controls.copy_button)
        column.addLayout(last)
        self.complain("")
        follow(viewer.events.theme, lambda _=None: colour_as_error(self.message, viewer.theme), self)
        colour_as_error(self.message, viewer.theme)

    def show_in_middle(self, table: QWidget) -> None:
        """Put the table into the middle, where the hint gives way to it."""
        self._middle.addWidget(table)

    def show_table(self, shown: bool) -> None:
        """Show the table, or else the hint."""
        self._middle.setCurrentIndex(int(shown))

    def complain(self, sentence: str) -> None:
        """Show a sentence in the colour of errors; an empty one takes it away."""
        say(self.message, sentence)
        self._fitting.start(0)

    def sizeHint(self) -> QSize:
        """Room for a few slides."""
        return QSize(900, 260)

    def resizeEvent(self, event: Any) -> None:
        """Another width: buttons and texts wrap elsewhere."""
        super().resizeEvent(event)
        self._fitting.start(0)

    def event(self, event: Any) -> bool:
        """Taken out of the window: what is done here would be done unseen."""
        if event.type() == QEvent.Type.ParentChange and self.parentWidget() is None:
            self.taken_out.emit()
        done: bool = super().event(event)
        return done

    def _fit(self) -> None:
        """Give buttons and message the height that they need at this width."""
        self.controls.fit()
        self.message.setMinimumHeight(0)  # which Qt counts in
        self.message.setMinimumHeight(max(0, self.message.heightForWidth(self.message.width())))
        if (dock := dock_around(self)) is not None:
            dock.setMinimumSize(0, 0)  # else it keeps the least height that it once had
