"""The dock "Slide overview": where the view is on the slide, and what is known about the slide."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.navigator import Navigator
from napari_wsimil.widgets.parts import colour_as_error, follow, scrolled, text_label
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_chooser import ask_for_slide
from napari_wsimil.widgets.slide_panel import SlidePanel

NO_SLIDE = "No slide is open."
NARROWEST = 300
"""Width in px at which no text of the dock is cut."""


class SlideOverview(QWidget):
    """Navigator above, facts below, for the slide that is selected in the layer list, or else the one opened last."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        self._shown: Any = None
        self.navigator = Navigator(napari_viewer)
        self.panel = SlidePanel()
        self.open_button = QPushButton("Open a slide…")
        self.empty = QWidget()
        self.filled = QWidget()
        self._lay_out()
        self._connect()
        self._show()
        settle(self, "Slide overview")

    @property
    def layer(self) -> Any | None:
        """The slide layer that is shown, or None."""
        return self.navigator.layer

    def sizeHint(self) -> QSize:
        """Room for the overview and the facts, where the window has it."""
        return QSize(340, 560)

    def _lay_out(self) -> None:
        empty = QVBoxLayout(self.empty)
        empty.addWidget(text_label(NO_SLIDE))
        empty.addWidget(self.open_button)
        empty.addStretch(1)
        filled = QVBoxLayout(self.filled)
        filled.addWidget(self.navigator)
        filled.addWidget(scrolled(self.panel), 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.empty)
        whole.addWidget(self.filled)
        self.setMinimumWidth(NARROWEST)
        # napari fills the rest of a dock with nothing, unless a widget in it says that it wants the room.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _connect(self) -> None:
        self.navigator.refreshed.connect(self.panel.show_notices)
        self.open_button.clicked.connect(lambda: ask_for_slide(self, self._viewer))
        follow(self._session.slide_changed, self._show, self)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _colour(self, _: Any = None) -> None:
        colour_as_error(self.panel.notice, self._viewer.theme)

    def _show(self, _: Any = None) -> None:
        """Show the slide of the layer, which is opened anew where the user types in another pixel size."""
        layer, slide = self._session.slide_layer, self._session.slide
        self.empty.setVisible(slide is None)
        self.filled.setVisible(slide is not None)
        if layer != self.layer or slide is not self._shown:
            self._shown = slide
            self.navigator.show_layer(layer)
            self.panel.show_slide(slide)
