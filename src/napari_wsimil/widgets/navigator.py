"""Where the view is on the slide, how far it is magnified, and the way elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import QSignalThrottler

from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.overview_map import OverviewMap
from napari_wsimil.widgets.parts import LayerFollower, follow, say, text_label
from napari_wsimil.widgets.pictures import to_image
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.slide_words import UM_PER_PIXEL_AT_1X, magnification_text
from napari_wsimil.widgets.view_geometry import centre_on, fit_slide, screen_pixel, view_corners, zoom_by

if TYPE_CHECKING:
    from napari_wsimil.slides import Slide

UPDATE_MS = 33
"""Time between two updates while the view moves."""

MAGNIFICATIONS = (1, 5, 10, 20, 40)
NO_MPP = "The file does not say how large a pixel is, so magnifications are not known; type the size in under Slide analysis"
PLACEMENT_EVENTS = ("scale", "translate", "rotate", "shear", "affine", "units")


class Navigator(QWidget):
    """Overview, magnification as text, and buttons to change it.

    Parameters
    ----------
    viewer
        The napari viewer whose camera is shown and moved.

    Signals
    -------
    refreshed
        What is shown is the camera's present view.
    """

    refreshed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Any = None
        self.map = OverviewMap()
        self.magnification = QLabel()
        self.magnification.setObjectName("magnification")
        self.magnification.setToolTip("Magnification on this screen, and how much of the slide one pixel of the screen shows")
        self.fit_button = _button("Fit", "Show the whole slide")
        self.full_button = _button("1:1", "One pixel of the finest level on one pixel of the screen")
        self.magnification_buttons = {power: _button(f"{power}x", _magnification_tip(power)) for power in MAGNIFICATIONS}
        self.message = text_label()
        self._throttle = QSignalThrottler(parent=self)
        self._throttle.setTimeout(UPDATE_MS)
        self._throttle.triggered.connect(self.refresh)
        self._follower = LayerFollower(dict.fromkeys(PLACEMENT_EVENTS, self._moved) | {"data": self._read_image}, self)
        self._lay_out()
        self._connect()

    @property
    def layer(self) -> Any | None:
        """The slide layer that is shown, or None."""
        return self._layer

    def show_layer(self, layer: Any | None) -> None:
        """Show another slide layer, or this one again after its pixel size changed, or none."""
        if layer != self._layer:
            self._layer = layer
            self._follower.turn_to(layer)
            self.map.set_image(None)
            self._read_image()
        slide = self._slide
        if slide is not None:
            self.map.set_slide(slide.width, slide.height, slide.mpp)
        self._offer_magnifications()
        self.refresh()

    def refresh(self) -> None:
        """Show where the camera is now."""
        slide = self._slide
        if slide is None:
            self.map.mark(None)
            self.magnification.setText("")
            return
        self.map.mark(view_corners(self._viewer, self._layer))
        across = screen_pixel(self._viewer, self._layer, slide.mpp)
        known = slide.mpp is not None
        self.magnification.setText("" if across is None else magnification_text(across / self.devicePixelRatioF(), known))
        self.refreshed.emit()

    def magnify(self, power: float) -> None:
        """Show the middle of the view at a magnification: 20x is 0.5 µm per pixel of the screen."""
        self._zoom_to(UM_PER_PIXEL_AT_1X / power)

    def show_full_resolution(self) -> None:
        """Show one level-0 pixel on each pixel of the screen."""
        slide = self._slide
        if slide is not None:
            self._zoom_to(slide.mpp[0] if slide.mpp else 1.0)

    def fit(self) -> None:
        """Show the whole slide."""
        slide = self._slide
        if slide is not None:
            fit_slide(self._viewer, self._layer, slide.width, slide.height)

    def showEvent(self, event: Any) -> None:
        """Catch up with the camera, which is not followed while nobody sees it."""
        super().showEvent(event)
        self.refresh()

    @property
    def _slide(self) -> Slide | None:
        return None if self._layer is None else facts(self._layer).get("slide")

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.magnification, 1)
        head.addWidget(self.fit_button)
        head.addWidget(self.full_button)
        powers = QHBoxLayout()
        powers.setSpacing(4)
        for button in self.magnification_buttons.values():
            powers.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.map, self.message):
            column.addWidget(part)
        column.addLayout(head)
        column.addLayout(powers)

    def _connect(self) -> None:
        self.map.asked_for.connect(self._go)
        self.map.zoomed.connect(self._zoom)
        self.map.fit_asked.connect(self.fit)
        self.fit_button.clicked.connect(self.fit)
        self.full_button.clicked.connect(self.show_full_resolution)
        group = QButtonGroup(self)
        group.setExclusive(False)
        for power, button in self.magnification_buttons.items():
            group.addButton(button, power)
        group.idClicked.connect(self.magnify)
        viewer = self._viewer
        camera = viewer.scene.camera.events
        moves = [camera.center, camera.zoom, camera.angles, viewer.canvas.events.size, viewer.canvas.grid.events]
        for event in (*moves, viewer.dims.events.ndisplay, viewer.dims.events.order, viewer.layers.events.units):
            follow(event, self._moved, self)

    def _moved(self, _: Any = None) -> None:
        if self.isVisible():
            self._throttle.throttle()

    def _read_image(self, _: Any = None) -> None:
        """Read the picture, which differs from the one before if the slide is another or is shown in other colours."""
        say(self.message, "")
        if self._layer is not None:
            coarsest = self._layer.data[-1]
            read_in_background(self._layer.unique_id, lambda: to_image(np.asarray(coarsest)), self._take_image)

    def _take_image(self, found: tuple[Any, Any]) -> None:
        key, image = found
        if self._layer is None or key != self._layer.unique_id:
            return
        if isinstance(image, Exception):
            say(self.message, f"The overview can't be read. {image}")
        else:
            self.map.set_image(image)

    def _offer_magnifications(self) -> None:
        slide = self._slide
        for power, button in self.magnification_buttons.items():
            known = slide is not None and slide.mpp is not None
            button.setEnabled(known)
            button.setToolTip(_magnification_tip(power) if known else NO_MPP)

    def _go(self, x: float, y: float) -> None:
        if self._layer is not None:
            centre_on(self._viewer, self._layer, x, y)

    def _zoom(self, factor: float, about: tuple[float, float] | None) -> None:
        if self._layer is not None:
            zoom_by(self._viewer, self._layer, factor, about)

    def _zoom_to(self, wanted: float) -> None:
        """Show `wanted` µm (level-0 pixels for a slide without mpp) on each pixel of the screen."""
        slide = self._slide
        across = None if slide is None else screen_pixel(self._viewer, self._layer, slide.mpp)
        if across is not None:
            zoom_by(self._viewer, self._layer, across / (wanted * self.devicePixelRatioF()))


def _magnification_tip(power: float) -> str:
    return f"{power}x: {UM_PER_PIXEL_AT_1X / power:g} µm per pixel of the screen"


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    button.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
    button.setMinimumWidth(button.fontMetrics().horizontalAdvance(text) + 16)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button
