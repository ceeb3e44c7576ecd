"""The window "Figure": what it shows, how large, what stands around it; saved in the background."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDialog, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout

from napari_wsimil.errors import ExportError
from napari_wsimil.widgets.export_dialog import ask_for_file, save_as
from napari_wsimil.widgets.figures.areas import NOTHING, offered, region_of
from napari_wsimil.widgets.figures.fields import KINDS, Fields
from napari_wsimil.widgets.figures.plan import Plan
from napari_wsimil.widgets.figures.preview import Preview
from napari_wsimil.widgets.job import Failure
from napari_wsimil.widgets.overlays.looks import looks_of
from napari_wsimil.widgets.parts import colour_as_error, follow, say, text_label
from napari_wsimil.widgets.preferences import colour_for
from napari_wsimil.widgets.saving import Saving

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.exports.looks import Look
    from napari_wsimil.inference import Progress
    from napari_wsimil.widgets.session import Session

FORM_WIDTH = 290
SOON_MS = 100


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
        self._problem, self._failure = "", ""
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self.plan = _first_plan(session)
        self.preview = Preview()
        self.fields = Fields(self.plan)
        self.size_label, self.outcome, self.message = text_label(), text_label(), text_label()
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
        self._failure = ""
        say(self.outcome, "")
        say(self.message, "")
        self.bar.setRange(0, 0)
        self._show_state()

    def _set_up(self) -> None:
        self.setWindowTitle("Figure")
        self.setObjectName("figure_dialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        tips = {
            self.save_button: ("save", "Choose a file and write the figure"),
            self.cancel_button: ("cancel", "Stop writing; nothing is left of it"),
            self.close_button: ("close", "Close this window"),
        }
        for button, (name, tip) in tips.items():
            button.setObjectName(f"figure_{name}")
            button.setToolTip(tip)
            button.setAutoDefault(False)
        self.message.setObjectName("figure_message")
        self.size_label.setObjectName("figure_size")
        self.outcome.setObjectName("figure_outcome")
        say(self.outcome, "")
        self.bar.setTextVisible(False)

    def _lay_out(self) -> None:
        side = QVBoxLayout()
        side.addWidget(self.fields)
        side.addWidget(self.size_label)
        side.addStretch(1)
        for widget in (self.outcome, self.message, self.bar):
            side.addWidget(widget)
        buttons = QHBoxLayout()
        for button in (self.save_button, self.cancel_button, self.close_button):
            buttons.addWidget(button)
        side.addLayout(buttons)
        whole = QHBoxLayout(self)
        whole.addWidget(self.preview, 1)
        whole.addLayout(side)
        self.size_label.setMinimumWidth(FORM_WIDTH)

    def _connect(self) -> None:
        self.fields.area_chosen.connect(self._follow_view)
        self.fields.kind_chosen.connect(self._tell_size)
        self.fields.changed.connect(self._change)
        self.preview.drawn.connect(self._take_bytes)
        self.save_button.clicked.connect(self._ask_where)
        self.cancel_button.clicked.connect(self._cancel)
        self.close_button.clicked.connect(self.close)
        session, viewer = self._session, self._viewer
        follow(session.prediction_changed, self._follow_prediction, self)
        follow(session.slide_changed, self._follow_prediction, self)
        follow(session.patch_chosen, self._follow_view, self)
        self._soon.timeout.connect(self._follow_view)
        follow(viewer.scene.camera.events, self._follow_soon, self)
        follow(viewer.layers.events, self._follow_soon, self)
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

    def _follow_soon(self, _: Any = None) -> None:
        """While the view moves, or a slider does, there is an event for every step."""
        self._soon.start()

    def _follow_view(self, _: Any = None) -> None:
        """The view, an overlay, the marked patch or the choice of one of them changed."""
        prediction = self._session.prediction
        if prediction is None or self._session.slide is None:
            return
        areas, area = offered(self._viewer, self._session), self.fields.area.currentText()
        self.fields.offer(areas)
        self._problem = "" if areas[area] else NOTHING[area]
        if self._problem:
            self._tell_size()
            return
        self._looks = tuple(looks_of(self._viewer, prediction))
        self._change(replace(self.plan, region=region_of(area, self._viewer, self._session)))

    def _change(self, plan: Plan) -> None:
        """Show what the plan is now, in all fields, in words and as a picture."""
        self.plan = plan
        self.fields.show_plan(plan)
        prediction = self._session.prediction
        if self._tell_size() and prediction is not None:
            self.preview.ask(prediction, plan, self._looks)

    def _tell_size(self) -> bool:
        """Say how large the figure will be, or why there can be none; whether there can be one."""
        try:
            text = "" if self._problem else self.plan.size_text()
        except ExportError as error:
            text, problem = "", str(error)
        else:
            problem = self._problem
        if problem:
            say(self.size_label, "")
            say(self.message, problem)
            self._show_state(possible=False)
            return False
        if self._bytes:
            text += f", {_bytes_text(self._bytes[self.fields.kind_name] * self.plan.pixels())}"
        say(self.size_label, text)
        say(self.message, self._failure)
        self._show_state()
        return True

    def _take_bytes(self, sizes: dict[str, float]) -> None:
        self._bytes = sizes
        self._tell_size()

    def _show_state(self, *, possible: bool = True) -> None:
        self.save_button.setEnabled(possible and not self.saving)
        self.cancel_button.setEnabled(self.saving)
        self.bar.setVisible(self.saving)

    def _ask_where(self) -> None:
        suffix = KINDS[self.fields.kind_name].suffix
        slide = self.plan.slide.path
        filters = {f"{KINDS[self.fields.kind_name].label} (*{suffix})": suffix}
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
        self._failure = outcome.sentence if isinstance(outcome, Failure) else ""
        self._tell_size()
        if outcome is None:
            say(self.outcome, "Stopped; nothing was written.")
        elif not isinstance(outcome, Failure):
            say(self.outcome, f"Saved {outcome.name}, {_bytes_text(outcome.stat().st_size).removeprefix('about ')}")
            self._session.did(plan.recipe(prediction, outcome))


def _first_plan(session: Session) -> Plan:
    assert session.slide is not None  # noqa: S101 - `figure_dialog` looked
    return Plan(session.slide, colour=colour_for(session.slide))


def _bytes_text(count: float) -> str:
    if count >= 1e9:
        return f"about {count / 1e9:.1f} GB"
    return f"about {count / 1e6:.1f} MB" if count >= 1e5 else f"about {max(1, count / 1e3):.0f} kB"
