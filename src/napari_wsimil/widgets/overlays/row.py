"""One overlay in the panel: eye, name, opacity, and a fold with how it looks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QSlider, QToolButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_wsimil.widgets.overlays.details import RasterDetails
from napari_wsimil.widgets.overlays.eye import EyeButton
from napari_wsimil.widgets.overlays.tags import is_scored, title
from napari_wsimil.widgets.parts import LayerFollower

SLIDER_WIDTH = 76
ARROW_WIDTH = 18


class OverlayRow(QWidget):
    """Shows and changes one layer of a prediction.

    Parameters
    ----------
    layer
        The napari layer.
    theme
        Name of napari's theme.

    Signals
    -------
    changed
        The layer looks otherwise now.
    """

    changed = Signal()

    def __init__(self, layer: Any, theme: str) -> None:
        super().__init__()
        self.layer = layer
        self.eye = EyeButton("overlay_eye")
        self.arrow = QToolButton()
        self.name = QElidingLabel()
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.details: RasterDetails | None = None
        self.eye.follow_theme(theme)
        self._name_parts()
        self._lay_out()
        self.eye.toggled.connect(self._show_or_hide)
        self.arrow.toggled.connect(self.unfold)
        self.opacity.valueChanged.connect(self._make_opaque)
        events = ["visible", "opacity", "name"]
        events += ["colormap", "interpolation2d", "metadata"] if is_scored(layer) else []
        LayerFollower(dict.fromkeys(events, self.show_layer), self).turn_to(layer)
        self.show_layer()

    @property
    def unfolded(self) -> bool:
        """Whether the controls of the raster are shown."""
        return self.arrow.isChecked()

    @property
    def controls(self) -> list[QWidget]:
        """What can be reached with the keyboard, in order."""
        return [self.eye, self.arrow, self.opacity, *([] if self.details is None else self.details.controls)]

    def unfold(self, out: bool = True) -> None:
        """Show or hide the controls of a raster; they are made when they are first shown."""
        if out and self.details is None:
            self.details = RasterDetails(self.layer)
            self._column.addWidget(self.details)
            for before, after in pairwise(self.controls):
                self.setTabOrder(before, after)
        if self.details is not None:
            self.details.setVisible(out)
        with QSignalBlocker(self.arrow):
            self.arrow.setChecked(out)
        self.arrow.setArrowType(Qt.ArrowType.DownArrow if out else Qt.ArrowType.RightArrow)

    def show_layer(self, _: Any = None) -> None:
        """Show what the layer is like now, whoever changed it."""
        what = title(self.layer)
        self.name.setText(what)
        self.name.setToolTip(self.layer.name)
        self.eye.tell(what)
        self.opacity.setAccessibleName(f"Opacity of {what}")
        self.arrow.setAccessibleName(f"Colours, scale and threshold of {what}")
        for control, set_value, value in (
            (self.eye, self.eye.setChecked, bool(self.layer.visible)),
            (self.opacity, self.opacity.setValue, round(100 * self.layer.opacity)),
        ):
            with QSignalBlocker(control):
                set_value(value)
        if self.details is not None:
            self.details.show_layer()
        self.changed.emit()

    def _name_parts(self) -> None:
        self.arrow.setObjectName("overlay_unfold")
        self.arrow.setCheckable(True)
        self.arrow.setAutoRaise(True)
        self.arrow.setArrowType(Qt.ArrowType.RightArrow)
        self.arrow.setToolTip("Colours, scale, threshold and smoothing")
        self.arrow.setFixedWidth(ARROW_WIDTH)
        kept = self.arrow.sizePolicy()
        kept.setRetainSizeWhenHidden(True)
        self.arrow.setSizePolicy(kept)
        self.arrow.setVisible(is_scored(self.layer))
        self.opacity.setObjectName("overlay_opacity")
        self.opacity.setRange(0, 100)
        self.opacity.setPageStep(10)
        self.opacity.setFixedWidth(SLIDER_WIDTH)
        self.opacity.setToolTip("Opacity")

    def _lay_out(self) -> None:
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.eye)
        line.addWidget(self.arrow)
        line.addWidget(self.name, 1)
        line.addWidget(self.opacity)
        self._column.addLayout(line)

    def _show_or_hide(self, on: bool) -> None:
        self.layer.visible = on

    def _make_opaque(self, percent: int) -> None:
        self.layer.opacity = percent / 100
