"""The fields in which a figure is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QSpinBox, QVBoxLayout, QWidget

from napari_wsimil.exports import FORMATS
from napari_wsimil.exports.figures.options import NARROWEST
from napari_wsimil.widgets.figures.areas import PATCH, VIEW, WHOLE
from napari_wsimil.widgets.figures.plan import WIDEST
from napari_wsimil.widgets.parts import combo_item, form, narrow_combo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.widgets.figures.plan import Plan

KINDS = {name: entry for name, entry in FORMATS.items() if entry.is_figure}
SWITCHES = {
    "overlays": ("Overlays and boxes", "What lies over the slide now, as it looks in the window"),
    "legend": ("Legend", "Colours with their numbers, and boxes with their names, below the picture"),
    "scale_bar": ("Scale bar", "In the lower left corner"),
    "title": ("Title", "Slide, answer and model above the picture"),
    "side_by_side": ("Slide alone beside it", "The same place twice: without and with overlays"),
}
"""Attribute of a `Plan` -> what it is called, and its tooltip."""


class Fields(QWidget):
    """Area, resolution, print, kind of file, and what is drawn.

    Signals
    -------
    area_chosen
        The user chose another area.
    changed
        The `Plan` as the user wants it now.
    kind_chosen
        The user chose another kind of file.
    """

    area_chosen = Signal()
    changed = Signal(object)
    kind_chosen = Signal()

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan
        self.area, self.kind = narrow_combo("figure_area"), narrow_combo("figure_format")
        self.mpp, self.width_field, self.dpi = QDoubleSpinBox(), QSpinBox(), QSpinBox()
        self.switches = {name: QCheckBox(text) for name, (text, _) in SWITCHES.items()}
        self._set_up()
        self._name()
        self._lay_out()
        self.show_plan(plan)
        self._connect()

    @property
    def kind_name(self) -> str:
        """The format that was chosen, as `exports.FORMATS` calls it."""
        return list(KINDS)[self.kind.currentIndex()]

    def offer(self, areas: Mapping[str, bool]) -> None:
        """Let those areas be chosen that there are."""
        for row, there in enumerate(areas.values()):
            combo_item(self.area, row).setEnabled(there)

    def show_plan(self, plan: Plan) -> None:
        """Show resolution and width of a plan; they are two sides of one thing."""
        self._plan = plan
        for field in (self.mpp, self.width_field):
            field.blockSignals(True)
        self.mpp.setSuffix(" µm per px" if plan.slide.mpp else " slide px per px")
        self.mpp.setValue(plan.mpp)
        self.width_field.setValue(plan.width)
        for field in (self.mpp, self.width_field):
            field.blockSignals(False)

    def _set_up(self) -> None:
        self.area.addItems([VIEW, WHOLE, PATCH])
        self.kind.addItems([entry.label.removeprefix("Figure as ") for entry in KINDS.values()])
        self.mpp.setDecimals(4)
        self.mpp.setRange(0.001, 100_000)
        self.width_field.setRange(NARROWEST, WIDEST)
        self.width_field.setSuffix(" px")
        self.width_field.setGroupSeparatorShown(True)
        self.width_field.setSingleStep(100)
        self.dpi.setRange(10, 2400)
        self.dpi.setValue(round(self._plan.dpi))
        self.dpi.setSuffix(" px per inch")
        for field in (self.mpp, self.width_field, self.dpi):
            field.setKeyboardTracking(False)

    def _name(self) -> None:
        tips: dict[QWidget, tuple[str, str]] = {
            self.area: ("area", "Which part of the slide the figure shows"),
            self.mpp: ("mpp", "How fine the picture is: 0.5 µm per px is 20x"),
            self.width_field: ("width", "How wide the picture of the slide is"),
            self.dpi: ("dpi", "For print: how many pixels are an inch on paper"),
            self.kind: ("format", "PNG for slides and the web, TIFF for journals, SVG to edit text and lines"),
            **{self.switches[name]: (name, tip) for name, (_, tip) in SWITCHES.items()},
        }
        for widget, (name, tip) in tips.items():
            widget.setObjectName(f"figure_{name}")
            widget.setToolTip(tip)
            widget.setAccessibleName(f"Figure: {name.replace('_', ' ')}")

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        rows = [("Area", self.area), ("Resolution", self.mpp), ("Width", self.width_field), ("Print", self.dpi)]
        column.addLayout(form([*rows, ("File", self.kind)], "Resolution"))
        for name, box in self.switches.items():
            box.setChecked(getattr(self._plan, name))
            column.addWidget(box)

    def _connect(self) -> None:
        self.area.currentTextChanged.connect(lambda _: self.area_chosen.emit())
        self.kind.currentTextChanged.connect(lambda _: self.kind_chosen.emit())
        self.mpp.valueChanged.connect(lambda value: self.changed.emit(self._plan.at_mpp(value)))
        self.width_field.valueChanged.connect(lambda value: self.changed.emit(replace(self._plan, width=value)))
        self.dpi.valueChanged.connect(lambda value: self.changed.emit(replace(self._plan, dpi=float(value))))
        for name, box in self.switches.items():
            box.toggled.connect(lambda on, name=name: self.changed.emit(replace(self._plan, **{name: on})))
