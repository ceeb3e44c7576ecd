"""The window "Figure": what it shows, how large, what stands around it; saved in the background."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QDialog, QDoubleSpinBox, QHBoxLayout, QProgressBar, QPushButton, QSpinBox, QVBoxLayout

from napari_wsimil.errors import ExportError
from napari_wsimil.exports import FORMATS
from napari_wsimil.exports.figures.options import NARROWEST
from napari_wsimil.widgets.export_dialog import ask_for_file, save_as
from napari_wsimil.widgets.figures.areas import PATCH, VIEW, WHOLE, offered, region_of
from napari_wsimil.widgets.figures.plan import WIDEST, Plan
from napari_wsimil.widgets.figures.preview import Preview
from napari_wsimil.widgets.job import Failure
from napari_wsimil.widgets.overlays.looks import looks_of
from napari_wsimil.widgets.parts import colour_as_error, combo_item, follow, form, narrow_combo, say, text_label
from napari_wsimil.widgets.preferences import colour_for
from napari_wsimil.widgets.saving import Saving

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.exports.looks import Look
    from napari_wsimil.inference import Progress
    from napari_wsimil.widgets.session import Session

KINDS = {name: entry for name, entry in FORMATS.items() if entry.is_figure}
SWITCHES = {
    "overlays": ("Overlays and boxes", "What lies over the slide now, as it looks in the window"),
    "legend": ("Legend", "Colours with their numbers, and boxes with their names, below the picture"),
    "scale_bar": ("Scale bar", "In the lower left corner"),
    "title": ("Title", "Slide, answer and model above the picture"),
    "side_by_side": ("Slide alone beside it", "The same place twice: without and with overlays"),
}
"""Attribute of a `Plan` -> what it is called, and its tooltip."""

FORM_WIDTH = 290


def figure_dialog(parent: QWidget, viewer: Any, session: Session) -> FigureDialog | None:
    """Open the window for a figure of the prediction that is meant; None where there is none."""
    if session.prediction is None or session.slide is None:
        return None
    dialog = FigureDialog(parent, viewer, session)
    dialog.show()
    return dialog


class FigureDialog(QDialog):
    """A window beside the viewer; the view can be moved while it is open, and the figure follows.

    Parameters
    ----------
    parent
        The dock.
    viewer
        The napari viewer.
    session
        Says which prediction, slide and patch are meant.
    """

    def __init__(self, parent: QWidget, viewer: Any, session: Session) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self._saving: Saving | None = None
        self._looks: tuple[Look, ...] = ()
        self._bytes: dict[str, float] = {}
        self.plan = _first_plan(session)
        self.preview = Preview()
        self.area = narrow_combo("figure_area")
        self.mpp, self.width_field, self.dpi = QDoubleSpinBox(), QSpinBox(), QSpinBox()
        self.switches = {name: QCheckBox(text) for name, (text, _) in SWITCHES.items()}
        self.kind = narrow_combo("figure_format")
        self.size_label, self.message = text_label(), text_label()
        self.bar = QProgressBar()
        self.save_button, self.cancel_button = QPushButton("Save…"), QPushButton("Cancel")
        self.close_button = QPushButton("Close")
        self._set_up()
        self._lay_out()
        self._connect()
        self._follow_view()

    @property
    def saving(self) -> bool:
        """Whether a figure is being written."""
        return self._saving is not None

    def save(self, path: str | Path) -> None:
        """Write the figure to a file, in the background."""
        prediction = self._session.prediction
        if prediction is None or self.saving:
            return
        plan = self.plan
        write = partial(save_as, prediction, path, slide=plan.slide, figure=plan.options(self._looks))
        self._saving = Saving(write, self)
        self._saving.progressed.connect(self._show_progress)
        self._saving.ended.connect(partial(self._end, plan, prediction))
        say(self.message, "")
        self.bar.setRange(0, 0)
        self._show_state()

    def _set_up(self) -> None:
        self.setWindowTitle("Figure")
        self.setObjectName("figure_dialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.area.addItems([VIEW, WHOLE, PATCH])
        self.kind.addItems([entry.label.removeprefix("Figure as ") for entry in KINDS.values()])
        self.mpp.setDecimals(4)
        self.mpp.setRange(0.001, 100_000)
        self.mpp.setSuffix(" µm per px" if self.plan.slide.mpp else " slide px per px")
        self.width_field.setRange(NARROWEST, WIDEST)
        self.width_field.setSuffix(" px")
        self.width_field.setGroupSeparatorShown(True)
        self.width_field.setSingleStep(100)
        self.dpi.setRange(10, 2400)
        self.dpi.setValue(300)
        self.dpi.setSuffix(" px per inch")
        tips = {
            self.area: ("figure_area", "Which part of the slide the figure shows"),
            self.mpp: ("figure_mpp", "How fine the picture is: 0.5 µm per px is 20x"),
            self.width_field: ("figure_width", "How wide the picture of the slide is"),
            self.dpi: ("figure_dpi", "For print: how large a pixel is on paper"),
            self.kind: ("figure_format", "PNG for slides and the web, TIFF for journals, SVG to edit text and lines"),
            self.save_button: ("figure_save", "Choose a file and write the figure"),
            self.cancel_button: ("figure_cancel", "Stop writing; nothing is left of it"),
            self.close_button: ("figure_close", "Close this window"),
        }
        for widget, (name, tip) in tips.items():
            widget.setObjectName(name)
            widget.setToolTip(tip)
        for name, box in self.switches.items():
            box.setObjectName(f"figure_{name}")
            box.setToolTip(SWITCHES[name][1])
            box.setChecked(getattr(self.plan, name))
        for field in (self.mpp, self.width_field, self.dpi):
            field.setKeyboardTracking(False)
        self.message.setObjectName("figure_message")
        self.size_label.setObjectName("figure_size")
        self.bar.setTextVisible(False)

    def _lay_out(self) -> None:
        side = QVBoxLayout()
        rows = [("Area", self.area), ("Resolution", self.mpp), ("Width", self.width_field), ("Print", self.dpi)]
        side.addLayout(form([*rows, ("File", self.kind)], "Resolution"))
        for box in self.switches.values():
            side.addWidget(box)
        side.addWidget(self.size_label)
        side.addStretch(1)
        for widget in (self.message, self.bar):
            side.addWidget(widget)
        buttons = QHBoxLayout()
        for button in (self.save_button, self.cancel_button, self.close_button):
            button.setAutoDefault(False)
            buttons.addWidget(button)
        side.addLayout(buttons)
        whole = QHBoxLayout(self)
        whole.addWidget(self.preview, 1)
        whole.addLayout(side)
        self.size_label.setMinimumWidth(FORM_WIDTH)

    def _connect(self) -> None:
        self.area.currentTextChanged.connect(self._follow_view)
        self.mpp.valueChanged.connect(lambda value: self._change(self.plan.at_mpp(value)))
        self.width_field.valueChanged.connect(lambda value: self._change(replace(self.plan, width=value)))
        self.dpi.valueChanged.connect(lambda value: self._change(replace(self.plan, dpi=float(value))))
        for name, box in self.switches.items():
            box.toggled.connect(lambda on, name=name: self._change(replace(self.plan, **{name: on})))
        self.kind.currentTextChanged.connect(self._tell_size)
        self.preview.drawn.connect(self._take_bytes)
        self.save_button.clicked.connect(self._ask_where)
        self.cancel_button.clicked.connect(self._cancel)
        self.close_button.clicked.connect(self.close)
        session, viewer = self._session, self._viewer
        follow(session.prediction_changed, self._follow_prediction, self)
        follow(session.slide_changed, self._follow_prediction, self)
        follow(session.patch_chosen, self._follow_view, self)
        follow(viewer.scene.camera.events, self._follow_view, self)
        follow(viewer.layers.events, self._follow_view, self)
        follow(viewer.events.theme, self._colour, self)
        self._colour()

    def _colour(self, _: Any = None) -> None:
        colour_as_error(self.message, self._viewer.theme)

    def _follow_prediction(self, _: Any = None) -> None:
        """Another prediction or slide is meant, or none: then there is nothing to draw."""
        if self._session.prediction is None or self._session.slide is None:
            self.close()
            return
        if self.plan.slide is not self._session.slide:
            first = _first_plan(self._session)
            self.plan = replace(self.plan, slide=first.slide, colour=first.colour)
        self._follow_view()

    def _follow_view(self, _: Any = None) -> None:
        """The view, an overlay, the marked patch or the choice of one of them changed."""
        prediction = self._session.prediction
        if prediction is None or self._session.slide is None:
            return
        for row, there in enumerate(offered(self._viewer, self._session).values()):
            combo_item(self.area, row).setEnabled(there)
        self._looks = tuple(looks_of(self._viewer, prediction))
        region = region_of(self.area.currentText(), self._viewer, self._session)
        self._change(replace(self.plan, region=region))

    def _change(self, plan: Plan) -> None:
        """Show what the plan is now, in all fields, in words and as a picture."""
        self.plan = plan
        for field in (self.mpp, self.width_field):
            field.blockSignals(True)
        self.mpp.setValue(plan.mpp)
        self.width_field.setValue(plan.width)
        for field in (self.mpp, self.width_field):
            field.blockSignals(False)
        self._tell_size()
        prediction = self._session.prediction
        if prediction is not None and self.save_button.isEnabled():
            self.preview.ask(prediction, plan, self._looks)

    def _tell_size(self, _: Any = None) -> None:
        try:
            text = self.plan.size_text()
        except ExportError as error:
            say(self.size_label, "")
            say(self.message, str(error))
            self._show_state(possible=False)
            return
        if self._bytes:
            text += f", {_bytes_text(self._bytes[self._name] * self.plan.pixels())}"
        say(self.size_label, text)
        say(self.message, "")
        self._show_state()

    @property
    def _name(self) -> str:
        return list(KINDS)[self.kind.currentIndex()]

    def _take_bytes(self, sizes: dict[str, float]) -> None:
        self._bytes = sizes
        self._tell_size()

    def _show_state(self, *, possible: bool = True) -> None:
        self.save_button.setEnabled(possible and not self.saving)
        self.cancel_button.setEnabled(self.saving)
        self.bar.setVisible(self.saving)

    def _ask_where(self) -> None:
        suffix = KINDS[self._name].suffix
        slide = self.plan.slide.path
        filters = {f"{KINDS[self._name].label} (*{suffix})": suffix}
        ask_for_file(self, "Save the figure", slide, filters, self.save, f"{slide.stem} figure")

    def _cancel(self) -> None:
        if self._saving is not None:
            self._saving.cancel()
            self.cancel_button.setEnabled(False)

    def _show_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)

    def _end(self, plan: Plan, prediction: Any, outcome: Path | Failure | None) -> None:
        self._saving = None
        self._tell_size()
        if isinstance(outcome, Failure):
            say(self.message, outcome.sentence)
        elif outcome is None:
            say(self.size_label, "Stopped; nothing was written.")
        else:
            say(self.size_label, f"Saved {outcome.name}, {_bytes_text(outcome.stat().st_size).removeprefix('about ')}")
            self._session.did(plan.recipe(prediction, outcome))


def _first_plan(session: Session) -> Plan:
    assert session.slide is not None  # noqa: S101 - `figure_dialog` looked
    return Plan(session.slide, colour=colour_for(session.slide))


def _bytes_text(count: float) -> str:
    if count >= 1e9:
        return f"about {count / 1e9:.1f} GB"
    return f"about {count / 1e6:.1f} MB" if count >= 1e5 else f"about {max(1, count / 1e3):.0f} kB"
