"""Fine-tune, look, keep or discard: from a press of the button to a decision, and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.preferences import feature_preferences
from napari_wsimil.widgets.recipes import model_source
from napari_wsimil.widgets.slide_layer import facts, is_slide
from napari_wsimil.widgets.training.correct.attempt import Attempt, Candidate
from napari_wsimil.widgets.training.correct.corrected import why_not
from napari_wsimil.widgets.training.correct.decisions import Decisions, is_decided
from napari_wsimil.widgets.training.correct.figures import table_of, words_of
from napari_wsimil.widgets.training.correct.new_model import NewModel
from napari_wsimil.widgets.training.correct.planning import Wish, drawn_on_open, start

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.widgets.training.correct.correcting import Correcting
    from napari_wsimil.widgets.training.correct.tuning_box import TuningBox

LESSON = ".lesson"
"""Folder in that of a run by which a correction is known, see `corrections.plan`."""

NO_SLIDE = "No slide is open: open the one that the model got wrong."
NO_PREDICTION = "Predict this slide first: a correction begins with what a model sees on it."


class Attempting(QObject):
    """Drives an `Attempt`.

    Parameters
    ----------
    viewer
        The napari viewer.
    watcher
        Follows the run.
    correcting
        What is marked.
    page
        With which this goes.

    Signals
    -------
    changed
        The phase, or what can be seen of it.
    said
        A note and a problem, to be shown; either may be "".
    judged
        Lines of the table, and words below it.
    """

    changed = Signal()
    said = Signal(str, str)
    judged = Signal(object, str)

    def __init__(self, viewer: Any, watcher: Any, correcting: Correcting, page: QWidget) -> None:
        super().__init__(page)
        self._viewer = viewer
        self._watcher = watcher
        self._correcting = correcting
        self.attempt = Attempt()
        self.before: SlidePrediction | None = None
        self.after: SlidePrediction | None = None
        self._new_model = NewModel(viewer, correcting.session, page)
        self._decisions = Decisions(viewer, page)
        self._done: Path | None = None
        self._connect()

    @property
    def source(self) -> str:
        """What `load_model` takes for the model that made the prediction that is meant; "" where there is none."""
        prediction = self._prediction
        return "" if prediction is None else model_source(prediction)

    @property
    def _prediction(self) -> SlidePrediction | None:
        """Of the model to be corrected: a new one that nobody has kept yet is not, the one that it came of is."""
        meant = self._correcting.session.prediction
        undecided = self.attempt.phase == "judging" and meant is self.after and self.before is not None
        return self.before if undecided else meant

    def fine_tune(self, chosen: TuningBox) -> None:
        """Learn from all that is corrected, in a process of its own; one sentence where that can't be."""
        correcting = self._correcting
        if self.attempt.is_busy:
            return
        correcting.count()
        prediction, slides = self._prediction, correcting.slides.slides
        if prediction is None:
            self.said.emit("", NO_SLIDE if correcting.session.slide is None else NO_PREDICTION)
            return
        problem = why_not(slides, prediction.classes)
        if problem:
            self.said.emit("", problem)
            return
        wish = Wish(
            model=model_source(prediction),
            classes=prediction.classes,
            slides=slides,
            open=drawn_on_open(slides, correcting.board, self._open_slides()),
            book=correcting.board.book,
            tune=chosen.chosen_tune,
            rehearsal=chosen.rehearsal,
            settings=chosen.settings,
            keep=bool(feature_preferences().keep),
        )
        self.discard()
        self._forget_decision()
        self.said.emit("", "")
        self.attempt.prepare()
        read_in_background(wish, partial(_guarded, start, wish), self._started)

    def keep(self) -> None:
        """Put the new model into the list, and use it."""
        candidate = self.attempt.candidate
        if self.attempt.phase == "judging" and candidate is not None:
            self.said.emit("", "")
            self._decisions.keep(candidate)

    def discard(self) -> None:
        """Stay with the old model; what the new one saw goes from the slide."""
        candidate = self.attempt.candidate
        if self.attempt.phase != "judging" or candidate is None:
            return
        self.said.emit("", "")
        self._new_model.end_comparison()
        self._decisions.note(candidate, "discarded")
        self.attempt.discard()
        if self.after is not None:
            self._new_model.hide(self.after)
        self._new_model.mean(self.before)
        self._correcting.deeds.did("Discard", self._undo_discard)

    def compare(self) -> None:
        """Show before and after side by side."""
        if self.before is not None and self.after is not None and self._is_shown(self.before) and self._is_shown(self.after):
            self._new_model.compare(self.before, self.after)

    def _connect(self) -> None:
        self.attempt.changed.connect(self._turned)
        self._watcher.state_changed.connect(self._run_changed)
        self._watcher.attached.connect(self._attached)
        self._new_model.told.connect(lambda words: self.said.emit(words, ""))
        self._new_model.seen.connect(self._seen)
        self._decisions.kept.connect(self._kept)
        self._decisions.taken_back.connect(self._taken_back)
        self._decisions.failed.connect(lambda sentence: self.said.emit("", sentence))

    def _turned(self, _: str) -> None:
        self.changed.emit()

    def _started(self, done: tuple[Wish, Any]) -> None:
        outcome = done[1]
        if isinstance(outcome, Exception):
            self.attempt.fail()
            self.said.emit("", str(outcome))
            return
        run, recipe = outcome
        self._done = None
        self.attempt.run()
        self._correcting.session.did(recipe)
        self._watcher.attach(run)

    def _attached(self, run: Any) -> None:
        """The dock follows another run: a correction that runs goes on unseen, and is found again in the list of runs."""
        if self.attempt.phase == "running" and (run is None or not _is_correction(run)):
            self.attempt.fail()
            self.said.emit("The fine-tuning goes on; choose it in the list of runs to see it again.", "")

    def _run_changed(self, state: Any) -> None:
        """The run that the dock follows goes on, or has ended."""
        run = self._watcher.run
        if run is None or not _is_correction(run) or self.attempt.phase in ("preparing", "looking"):
            return
        if state.phase == "finished":
            self._finished(run)
        elif state.living:
            if self.attempt.phase != "running":
                self.attempt.run()
        elif self.attempt.phase == "running":
            self.attempt.fail()
            self.said.emit(*("Stopped; Resume goes on.", "") if state.phase == "stopped" else ("", state.sentence))

    def _finished(self, run: Any) -> None:
        """Look at the open slide with the new model, unless somebody decided on it already."""
        if self._done == run.folder or (self.attempt.phase != "running" and is_decided(run.folder)):
            return
        self._done = run.folder
        if self.attempt.phase != "running":
            self.attempt.run()
        candidate = Candidate(run.folder, run.folder / "model", run.request.model)
        found = self._correcting.session.predictions
        of_base = [one for one in found if model_source(one) == candidate.base]
        self.before, self.after = (of_base[0] if of_base else None), None
        self.attempt.look(candidate)
        self._new_model.look(str(candidate.package), self.before)

    def _seen(self, outcome: Any) -> None:
        """The open slide was predicted with the new model, or could not be."""
        candidate = self.attempt.candidate
        if candidate is None:
            return
        is_sentence = isinstance(outcome, str)
        self.after = None if is_sentence else outcome
        self.said.emit("", outcome if is_sentence else "")
        if self.attempt.phase == "looking":
            read_in_background(candidate, partial(_guarded, _before_after, candidate.run), self._judge)
        elif self.attempt.phase == "discarded":
            self.attempt.judge()

    def _judge(self, done: tuple[Candidate, Any]) -> None:
        candidate, found = done
        if self.attempt.phase != "looking" or candidate is not self.attempt.candidate:
            return
        before = {} if self.before is None else self.before.probabilities
        after = {} if self.after is None else self.after.probabilities
        if isinstance(found, Exception):
            self.said.emit("", str(found))
            found = None
        self.judged.emit(table_of(before, after, found) if after else table_of({}, {}, found), words_of(found))
        self.attempt.judge()

    def _kept(self, name: str) -> None:
        if self.attempt.phase != "judging":
            return
        self.attempt.keep(name)
        self._new_model.end_comparison()
        self._new_model.mean(self.after)
        self._correcting.deeds.did("Keep", self._undo_keep)

    def _undo_keep(self) -> None:
        candidate = self.attempt.candidate
        if candidate is not None:
            self._decisions.take_back(candidate, self.attempt.kept_as)

    def _taken_back(self) -> None:
        self.attempt.judge()
        self._new_model.mean(self.before)

    def _undo_discard(self) -> None:
        candidate = self.attempt.candidate
        if candidate is None:
            return
        self._decisions.note(candidate, "")
        if self.after is not None and self.after.provenance["slide"]["fingerprint"] in self._open_slides():
            self._new_model.show(self.after)
        else:
            self.attempt.judge()

    def _forget_decision(self) -> None:
        """Another run begins: the last decision stands."""
        for words in ("Keep", "Discard"):
            self._correcting.deeds.forget(words)

    def _is_shown(self, prediction: SlidePrediction) -> bool:
        return any(prediction is one for one in self._correcting.session.predictions)

    def _open_slides(self) -> dict[str, Any]:
        """Fingerprint -> open slide."""
        layers = (layer for layer in self._viewer.layers if is_slide(layer))
        return {facts(layer)["fingerprint"]: facts(layer)["slide"] for layer in layers}


def _is_correction(run: Any) -> bool:
    return run.request.task == "fine-tune" and run.request.manifest.parent.name == LESSON


def _guarded(call: Any, *arguments: Any) -> Any:
    """Call; whatever goes wrong unexpectedly becomes a sentence, too."""
    try:
        return call(*arguments)
    except (WsimilError, OSError):
        raise
    except Exception as error:
        raise WsimilError(f"That failed unexpectedly: {error or type(error).__name__}.") from error


def _before_after(folder: Path) -> Any:
    from napari_wsimil.training.fine_tuning.before_after import read_before_after

    return read_before_after(folder)
