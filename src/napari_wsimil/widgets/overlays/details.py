"""How one raster looks: its colours, scale, threshold and smoothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap, ensure_colormap
from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QCheckBox, QSizePolicy, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from napari_wsimil.widgets.overlays.rasters import attention_colormap
from napari_wsimil.widgets.overlays.scaling import bounds, look_of, set_scaling, set_threshold, unit
from napari_wsimil.widgets.parts import form, narrow_combo

COLORMAPS = ("attention", "viridis", "cividis", "inferno", "magma", "gray")
"""All can be told apart by colour-blind people, and are ordered by brightness."""

SCALES = {"raw": "as computed", "percentile": "percentile (rank)"}
ICON = QSize(36, 12)
INDENT = 24
"""Left of the controls in px, about as far as the names of the overlays stand in."""

DIGITS = 3
"""Digits of the greatest number that a threshold shows."""


class RasterDetails(QWidget):
    """Controls of one raster layer, which tell it what to do; call `show_layer` when it changed otherwise.

    Parameters
    ----------
    layer
        A raster with numbers (`tags.is_scored`).
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._layer = layer
        self.colours = narrow_combo("overlay_colours")
        self.scale = narrow_combo("overlay_scale")
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.smooth = QCheckBox("Smooth (display only)")
        self._fill()
        column = QVBoxLayout(self)
        column.setContentsMargins(INDENT, 0, 0, 6)
        column.addLayout(form([("Colours", self.colours), ("Scale", self.scale), ("Hide below", self.threshold)], "Hide below"))
        column.addWidget(self.smooth)
        self.show_layer()
        self.colours.activated.connect(self._choose_colours)
        self.scale.activated.connect(lambda row: set_scaling(self._layer, self.scale.itemData(row)))
        self.threshold.valueChanged.connect(self._choose_threshold)
        self.smooth.toggled.connect(self._choose_smoothing)

    @property
    def controls(self) -> list[QWidget]:
        """What can be reached with the keyboard, in order."""
        inside = [part for part in self.threshold.findChildren(QWidget) if part.focusPolicy() != Qt.FocusPolicy.NoFocus]
        return [self.colours, self.scale, *inside, self.smooth]

    def show_layer(self) -> None:
        """Show what the layer looks like now."""
        self._show_colours()
        with QSignalBlocker(self.scale):
            self.scale.setCurrentIndex(self.scale.findData(look_of(self._layer)["scaling"]))
        self._show_threshold()
        with QSignalBlocker(self.smooth):
            self.smooth.setChecked(self._layer.interpolation2d != "nearest")

    def _fill(self) -> None:
        self.colours.setIconSize(ICON)
        self.colours.setMinimumContentsLength(5)
        self.colours.setAccessibleName("Colours")
        for name in COLORMAPS:
            self._add_colours(colormap(name))
        self.scale.setAccessibleName("Scale")
        for scaling, text in SCALES.items():
            self.scale.addItem(text, scaling)
        self.threshold.setObjectName("overlay_threshold")
        self.threshold.setAccessibleName("Hide patches below")
        self.threshold.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.smooth.setObjectName("overlay_smooth")
        self.smooth.setToolTip("Blends neighbouring patches on the screen; the scores stay as they are")

    def _add_colours(self, colours: Colormap) -> None:
        self.colours.addItem(_strip(colours), _display_name(colours), colours)

    def _show_colours(self) -> None:
        """A map that was chosen in napari's own controls is added to the list."""
        name = _display_name(self._layer.colormap)
        if self.colours.findText(name) < 0:
            self._add_colours(self._layer.colormap)
        with QSignalBlocker(self.colours):
            self.colours.setCurrentIndex(self.colours.findText(name))

    def _show_threshold(self) -> None:
        low, high = bounds(self._layer)
        shown = look_of(self._layer)["threshold"]
        with QSignalBlocker(self.threshold):
            self.threshold.setDecimals(max(0, DIGITS - 1 - math.floor(math.log10(high))))
            self.threshold.setRange(low, high)
            self.threshold.setSingleStep(high / 100)  # type: ignore[arg-type]  # superqt's own takes a float
            self.threshold.setValue(low if shown is None else shown)
        words = {"percentile": "percentile", "probability": "probability"}.get(unit(self._layer), "attention")
        self.threshold.setToolTip(f"Patches of lower {words} are not drawn; at the left end all are")

    def _choose_colours(self, row: int) -> None:
        self._layer.colormap = self.colours.itemData(row)

    def _choose_threshold(self, value: float) -> None:
        set_threshold(self._layer, value if value > bounds(self._layer)[0] else None)

    def _choose_smoothing(self, on: bool) -> None:
        self._layer.interpolation2d = "linear" if on else "nearest"


def colormap(name: str) -> Colormap:
    """Ours by the name "attention", else one of napari's or matplotlib's."""
    if name == "attention":
        return attention_colormap()
    return AVAILABLE_COLORMAPS[name] if name in AVAILABLE_COLORMAPS else ensure_colormap(name)


def _display_name(colours: Colormap) -> str:
    return str(getattr(colours, "_display_name", None) or colours.name)


def _strip(colours: Colormap) -> QIcon:
    """The colours from low to high as a picture."""
    row = np.asarray(colours.map(np.linspace(0, 1, ICON.width())))
    pixels = np.ascontiguousarray(np.broadcast_to((255 * row).astype(np.uint8), (ICON.height(), *row.shape)))
    image = QImage(pixels.tobytes(), ICON.width(), ICON.height(), 4 * ICON.width(), QImage.Format.Format_RGBA8888)
    return QIcon(QPixmap.fromImage(image))
