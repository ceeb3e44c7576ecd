"""The dock "Training" as a whole: its pages, and the run that it shows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import QEvent, QSize, QTimer

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.docks import settle
from napari_wsimil.widgets.parts import follow
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.training.frame import CORRECT, NEW, TrainingFrame
from napari_wsimil.widgets.training.recipe import training_command, training_recipe
from napari_wsimil.widgets.training.runs.deeds import find, manifest_place, start
from napari_wsimil.widgets.training.runs.desk import SURVIVES, RunDesk
from napari_wsimil.widgets.training.runs.listing import listed_runs

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

NO_SLIDES = "Add slides first: a folder, a manifest, or those of the dock Slides."


LOOK_MS = 50
"""Between two looks at whether the slides were looked at."""


class Training(TrainingFrame):
    """Two pages, "New model" and "Correct", above what the run does."""

    # napari hands over its viewer by this name; it can't read an annotation that is a string.
    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        self.desk = RunDesk()
        self._finished: Path | None = None
        self._out = False
        self._waiting = QTimer(self)
        self._waiting.setInterval(LOOK_MS)
        self._waiting.timeout.connect(self._begin)
        self._connect()
        self._show()
        self._list_runs(attach=True)
        settle(self, "Training")

    def sizeHint(self) -> QSize:
        """Room for the slides and the first settings, where the window has it."""
        return QSize(380, 720)

    def event(self, event: Any) -> bool:
        """Taken out of the window: what goes on is said once, and not followed any more; napari lets the widget live on."""
        if event.type() == QEvent.Type.ParentChange:
            self._out = self.parentWidget() is None
            if self._out:
                if self.desk.living or self.desk.asked == "start":
                    show_info(SURVIVES)
                self.attach(None)
        done: bool = super().event(event)
        return done

    def start(self) -> None:
        """Train a new model with what is chosen, or say what must be put right first."""
        self.desk.ask("start")
        self._show()
        self._begin()

    def open_run(self, folder: str | Path) -> None:
        """Look at the run in a folder, as soon as a worker has found it."""
        read_in_background("open", partial(find, Path(folder)), self._opened)

    def attach(self, run: Any | None) -> None:
        """Look at a run, or at none; a dock that was closed while the run was being started looks at none."""
        if run is None or not self._out:
            self.watcher.attach(run)

    def _connect(self) -> None:
        self.bar.asked.connect(self._asked)
        self.pages.currentChanged.connect(self._forget_refusal)
        self.bar.runs.chosen.connect(self.attach)
        self.bar.runs.folder_chosen.connect(self.open_run)
        self.data.changed.connect(self._data_changed)
        self.settings.changed.connect(self._look_again)
        self.watcher.attached.connect(self._attached)
        self.watcher.state_changed.connect(self._take_state)
        follow(self._viewer.events.theme, self._colour, self)
        self._colour()

    def _begin(self) -> None:
        """Begin as soon as the slides were looked at."""
        if self.data.checking:
            self._waiting.start()
            return
        self._waiting.stop()
        problem, part = self._in_the_way()
        if problem:
            self.go_to(part)
            self._refuse(problem)
            return
        try:
            plan = self.settings.plan(manifest_place(self.settings.place.folder))
        except WsimilError as error:
            self._refuse(str(error))
            return
        plan = replace(plan, command=training_command(plan, plan.out))
        read_in_background(plan, partial(start, self.data.draft, plan), self._started)

    def _in_the_way(self) -> tuple[str, QWidget]:
        """Why no run can start, in one sentence that is empty where one can, and the part where that is put right."""
        if not self.data.draft.rows:
            return NO_SLIDES, self.data
        serious = [problem for problem in self.data.problems if problem.serious]
        if serious:
            return serious[0].sentence, self.data.list
        return self.settings.complaint, self.settings

    def _asked(self, deed: str) -> None:
        if deed == "start":
            self.start()
            return
        run = self.watcher.run
        if run is None:
            return
        self.desk.ask(deed)  # type: ignore[arg-type]
        self._show()
        does = {"pause": run.pause, "resume": partial(run.go_on, device=self._device()), "stop": run.stop}[deed]
        read_in_background(deed, does, self._done)

    def _device(self) -> str | None:
        """Where a run goes on: where it was, unless another device was chosen, as after a GPU ran out of memory."""
        device = self.settings.device_combo.device
        return None if device == "auto" or self.desk.task != "train" else device

    def _done(self, result: tuple[str, Any]) -> None:
        _, outcome = result
        if isinstance(outcome, Exception):
            self._refuse(str(outcome))
        self.watcher.hurry()

    def _started(self, result: tuple[Any, Any]) -> None:
        plan, run = result
        if isinstance(run, Exception):
            self._refuse(str(run))
            return
        self._session.did(training_recipe(plan))
        self.settings.place.suggest()
        self.fold_away()
        self.attach(run)
        self._list_runs()

    def _opened(self, result: tuple[str, Any]) -> None:
        _, found = result
        if isinstance(found, Exception):
            self._refuse(str(found))
        elif isinstance(found, Path):
            self.attach(None)
            self.turn_to(NEW)
            self._show_result(found)
        else:
            self.attach(found)

    def _attached(self, run: Any | None) -> None:
        self._finished = None
        self.desk.attach(None if run is None else run.request.task)
        self.bar.runs.show_run(run)
        self.result.show_run(None)
        if run is not None:
            self.turn_to(CORRECT if run.request.task == "fine-tune" else NEW)
        self._show()

    def _take_state(self, state: Any) -> None:
        before = self.desk.state
        self.desk.take(state)
        self._show()
        if before is None or before.phase != state.phase:
            self._list_runs()
        if state.phase == "finished" and self.desk.task == "train" and self.watcher.run is not None:
            self._show_result(self.watcher.run.folder, new=before is not None and before.living)

    def _show_result(self, folder: Path, *, new: bool = False) -> None:
        if folder != self._finished:
            self._finished = folder
            self.result.show_run(folder, new=new)

    def _list_runs(self, *, attach: bool = False) -> None:
        read_in_background(attach, listed_runs, self._listed)

    def _listed(self, result: tuple[bool, Any]) -> None:
        attach, runs = result
        if isinstance(runs, Exception):
            return
        self.bar.runs.take(runs)
        living = next((entry for entry in runs if entry.living), None)
        if attach and living is not None and self.watcher.run is None and self.desk.asked is None:
            self.attach(living.run)

    def _data_changed(self) -> None:
        self.settings.set_classes(self.data.draft.classes)
        self.settings.place.look_beside(self.data.folder_hint)
        self._look_again()

    def _refuse(self, sentence: str) -> None:
        self.desk.refuse(sentence)
        self._show()

    def _look_again(self) -> None:
        """What was in the way may have been put right."""
        if self.desk.refused and self.desk.asked is None:
            self._refuse(self._in_the_way()[0])

    def _forget_refusal(self, _: int) -> None:
        """What was in the way on one page is nothing on the other."""
        if self.desk.refused:
            self._refuse("")

    def _show(self) -> None:
        self.bar.show_desk(self.desk.shown(), self._viewer.theme)
        self.live.setVisible(self.watcher.run is not None)

    def _colour(self, _: Any = None) -> None:
        self.settings.colour(self._viewer.theme)
        self._show()
