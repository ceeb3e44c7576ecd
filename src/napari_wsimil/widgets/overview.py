"""The dock "Slide overview": where the view is on the slide, and what is known about the slide."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_wsimil.widgets.navigator import Navigator
from napari_wsimil.widgets.parts import LayerFollower, colour_as_error, follow, text_label
from napari_wsimil.widgets.slide_chooser import ask_for_slide
from napari_wsimil.widgets.slide_layer import facts, is_slide
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
        self._shown: Any = None
        self.navigator = Navigator(napari_viewer)
        self.panel = SlidePanel()
        self.open_button = QPushButton("Open a slide…")
        self.empty = QWidget()
        self.filled = QWidget()
        self._follower = LayerFollower({"metadata": self._show}, self)
        self._lay_out()
        self._connect()
        self._follow_layers()

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
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(self.panel)
        filled = QVBoxLayout(self.filled)
        filled.addWidget(self.navigator)
        filled.addWidget(area, 1)
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
        layers = self._viewer.layers
        for event in (layers.events.inserted, layers.events.removed, layers.selection.events.active):
            follow(event, self._follow_layers, self)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _colour(self, _: Any = None) -> None:
        colour_as_error(self.panel.notice, self._viewer.theme)

    def _follow_layers(self, _: Any = None) -> None:
        """Show the slide that the layer list points at."""
        layer = slide_to_show(self._viewer, self.layer)
        # napari hands out a layer in a new wrapper each time: equal, but not the same.
        if layer != self.layer:
            self._follower.turn_to(layer)
            self.navigator.show_layer(layer)
        self._show()

    def _show(self, _: Any = None) -> None:
        """Show the slide of the layer, which is opened anew where the user types in another pixel size."""
        slide = None if self.layer is None else facts(self.layer)["slide"]
        self.empty.setVisible(slide is None)
        self.filled.setVisible(slide is not None)
        if slide is not self._shown:
            self._shown = slide
            self.navigator.show_layer(self.layer)
            self.panel.show_slide(slide)


def slide_to_show(viewer: Any, shown: Any | None) -> Any | None:
    """The selected slide, or that of the selected result; else the one shown so far; else the one opened last."""
    slides = [layer for layer in viewer.layers if is_slide(layer)]
    active = viewer.layers.selection.active
    if active is not None and facts(active):
        same = [layer for layer in slides if facts(layer)["fingerprint"] == facts(active).get("fingerprint")]
        if active in slides or same:
            return active if active in slides else same[-1]
    if shown in slides:
        return shown
    return slides[-1] if slides else None
