"""What a run ended in: the package, its card, its figures; sharing it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QUrl, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.job import Failure
from napari_wsimil.widgets.model_card import ModelCard
from napari_wsimil.widgets.model_list import attempt, choose_model, keep, models_changed, sentence_of, take_out
from napari_wsimil.widgets.parts import NarrowButton, colour_as_error, follow, heading, say, text_label
from napari_wsimil.widgets.sharing_buttons import SharingButtons
from napari_wsimil.widgets.training.result import deeds
from napari_wsimil.widgets.training.result.figure_table import FigureTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.training.runs.outcome import Outcome

KEEP, TAKE_OUT = "Keep in the model list", "Take out of the list"
KEEP_TIP = "Copy the model to your own models: every list of models shows it, and this run may be deleted"
TAKE_OUT_TIP = "Take the model out of the list of models; it stays here, and Undo brings it back"


class ResultPanel(QWidget):
    """Filled when a run is finished; hidden until then.

    Parameters
    ----------
    viewer
        The napari viewer.

    Signals
    -------
    used
        The model is the chosen one now; carries what `load_model` takes.
    """

    used = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._folder: Path | None = None
        self._outcome: Outcome | None = None
        self._kept: str | None = None
        self._new = False
        self._title = ""
        self._undo: Callable[[], Any] | None = None
        self.title = QLineEdit()
        self.verdict, self.data, self.calibration, self.note, self.message = (text_label() for _ in range(5))
        self.figures = FigureTable()
        self.keep_button, self.use_button = NarrowButton(KEEP), NarrowButton("Use it now")
        self.report_button, self.card_button = NarrowButton("Report"), NarrowButton("Card")
        self.undo_button = NarrowButton("Undo")
        self.sharing = SharingButtons(viewer)
        self._set_up()
        self._lay_out()
        self._connect()
        self.hide()

    @property
    def model(self) -> str | None:
        """What `load_model` takes for the model that is shown: its name in the library, else its folder; or None."""
        return None if self._outcome is None else self._kept or str(self._outcome.package)

    def show_run(self, folder: Path | None, *, new: bool = False) -> None:
        """Show what came of the run in a folder; None, or a run that is not finished: nothing.

        Parameters
        ----------
        new
            It was finished just now: its model goes into the list of models at once, and Undo takes it out.
        """
        self._new = new
        self._folder = None if folder is None else Path(folder)
        self._outcome, self._kept, self._undo = None, None, None
        self.hide()
        if self._folder is not None:
            where = self._folder
            read_in_background(where, lambda: attempt(lambda: deeds.look(where)), self._take)

    def keep(self) -> None:
        """Put the model into the library, or take it out again."""
        if self._outcome is None:
            return
        package, kept = self._outcome.package, self._kept
        if kept is None:
            self._do("Copying the model…", lambda: keep(package), self._end_keep)
        else:
            self._do("", lambda: take_out(kept), self._end_take_out)

    def use(self) -> None:
        """Choose the model in the dock "Slide analysis"."""
        name = self.model
        if name is not None:
            choose_model(self._viewer, name)
            say(self.note, "It is the chosen model of Slide analysis now: press Predict there.")
            self.used.emit(name)

    def undo(self) -> None:
        """Undo what was done last with the list of models."""
        if self._undo is not None:
            self._undo()

    def rename(self) -> None:
        """Give the model the title that was typed."""
        wanted, outcome, kept = self.title.text(), self._outcome, self._kept
        if outcome is None or wanted == self._title:
            return
        self._do("", lambda: deeds.retitle(outcome, kept, wanted), self._end_rename)

    def _set_up(self) -> None:
        tips = {
            self.title: ("run_title", "What people call the model; press Enter to change it"),
            self.keep_button: ("keep_model", KEEP_TIP),
            self.use_button: ("use_model", "Choose the model in Slide analysis, ready for Predict"),
            self.undo_button: ("undo_model", "Undo what was done with the list of models"),
            self.report_button: ("run_report", "Open the page with all figures, curves and slides in the web browser"),
            self.card_button: ("run_card", "What the model was trained on, how well it does, and what it is not for"),
        }
        for part, (name, tip) in tips.items():
            part.setObjectName(name)
            part.setToolTip(tip)
        self.title.setAccessibleName("Title of the model")
        self.title.setMaxLength(200)
        names = {"run_verdict": self.verdict, "run_data": self.data, "run_calibration": self.calibration}
        for name, label in {**names, "run_note": self.note, "run_message": self.message}.items():
            label.setObjectName(name)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (heading("Result"), self.title, self.verdict, self.figures, self.data, self.calibration):
            column.addWidget(part)
        grid = QGridLayout()
        for place, button in enumerate((self.keep_button, self.use_button, self.report_button, self.card_button)):
            grid.addWidget(button, place // 2, place % 2)
        column.addLayout(grid)
        column.addWidget(self.sharing)
        told = QHBoxLayout()
        told.addWidget(self.note, 1)
        told.addWidget(self.undo_button, 0, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight)
        column.addLayout(told)
        column.addWidget(self.message)

    def _connect(self) -> None:
        self.title.editingFinished.connect(self.rename)
        self.keep_button.clicked.connect(self.keep)
        self.use_button.clicked.connect(self.use)
        self.undo_button.clicked.connect(self.undo)
        self.report_button.clicked.connect(self._open_report)
        self.card_button.clicked.connect(self._show_card)
        self.sharing.said.connect(self._tell)
        self.sharing.failed.connect(self._complain)
        follow(models_changed, self._follow_list, self)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _colour(self, _: Any = None) -> None:
        colour_as_error(self.message, self._viewer.theme)

    def _take(self, told: tuple[Path, Any]) -> None:
        """The run was read."""
        folder, found = told
        if folder != self._folder or found is None:
            return
        failed = isinstance(found, Failure)
        for part in (self.title, self.verdict, self.figures, self.data, self.calibration, self.sharing):
            part.setVisible(not failed)
        for button in (self.keep_button, self.use_button, self.report_button, self.card_button):
            button.setVisible(not failed)
        say(self.note, "")
        say(self.message, sentence_of(found))
        if not failed:
            self._fill(found)
        self._follow()
        self.show()
        if self._new and self._kept is None:
            self.keep()
        self._new = False

    def _fill(self, found: deeds.Found) -> None:
        outcome = found.outcome
        self._outcome, self._kept = outcome, found.kept
        self._title = outcome.spec.title or outcome.spec.id
        self.title.setText(self._title)
        self.title.setCursorPosition(0)
        self.verdict.setText(_together(outcome.verdict))
        self.figures.fill(outcome.figures)
        self.data.setText(_together("\n".join(outcome.data)))
        self.calibration.setText(outcome.calibration)
        self.report_button.setEnabled(outcome.report is not None)
        self.sharing.turn_to(str(outcome.package), found.name)

    def _follow(self) -> None:
        """What can be done now."""
        kept = self._kept is not None
        self.keep_button.setText(TAKE_OUT if kept else KEEP)
        self.keep_button.setToolTip(TAKE_OUT_TIP if kept else KEEP_TIP)
        self.keep_button.setEnabled(self._outcome is not None)
        self.title.setEnabled(self._outcome is not None)
        self.undo_button.setVisible(self._undo is not None)

    def _follow_list(self) -> None:
        """The library changed, perhaps elsewhere: whether it still has the model."""
        if self._folder is not None and self._outcome is not None:
            where = self._folder
            read_in_background(where, lambda: attempt(lambda: deeds.look(where)), self._take_kept)

    def _take_kept(self, told: tuple[Path, Any]) -> None:
        folder, found = told
        if folder == self._folder and isinstance(found, deeds.Found):
            self._kept = found.kept
            self._follow()

    def _do(self, what: str, deed: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Do something with the list of models in a worker; the buttons wait for it."""
        self._then = then
        self._tell(what)
        self.keep_button.setEnabled(False)
        self.title.setEnabled(False)
        read_in_background(self._folder, lambda: attempt(deed), self._done)

    def _done(self, told: tuple[Path, Any]) -> None:
        folder, outcome = told
        if not isinstance(outcome, Failure):
            models_changed.emit()
        if folder != self._folder:
            return
        self._tell("")
        if isinstance(outcome, Failure):
            self._complain(outcome.sentence)
            self.title.setText(self._title)
        else:
            self._then(outcome)
        self._follow()

    def _end_keep(self, model: Any) -> None:
        self._kept, name = model.name, model.name
        self._undo = lambda: self._do("", lambda: take_out(name), self._end_take_out)
        say(self.note, f"In the list of models; scripts load it as “{name}”.")

    def _end_take_out(self, removed: Any) -> None:
        self._kept = None
        self._undo = lambda: self._do("", removed.restore, self._end_keep)
        say(self.note, "Taken out of the list of models.")

    def _end_rename(self, found: deeds.Found) -> None:
        self._fill(found)
        say(self.note, "The model has its new title.")

    def _open_report(self) -> None:
        if self._outcome is not None and self._outcome.report is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._outcome.report.absolute())))

    def _show_card(self) -> None:
        if self._outcome is not None:
            ModelCard(str(self._outcome.package), self).show()

    def _tell(self, what: str) -> None:
        say(self.message, "")
        say(self.note, what)

    def _complain(self, sentence: str) -> None:
        say(self.note, "")
        say(self.message, sentence)


def _together(text: str) -> str:
    """The same text, which no line breaks behind a number."""
    return re.sub(r"(\d) (?=\w)", "\\1\N{NO-BREAK SPACE}", text)
