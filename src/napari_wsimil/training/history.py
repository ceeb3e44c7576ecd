"""What has become of a training run so far, read from its events: stages, curves, epoch, time left. No window, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_wsimil.training.stage_history import Doing, StageState, Training

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_wsimil.training.events import Event
    from napari_wsimil.training.stage_history import State

PLAN = {"features": "Features", "train": "Training", "evaluation": "Evaluation", "report": "Report"}
"""Stage of every run, in their order -> what a person calls it."""

COMPARISON = {"comparison": "Before and after"}
"""What only a fine-tuning does, before its report."""

WORDS = {
    "loss": "loss",
    "auc": "roc auc",
    "f1": "f1",
    "balanced_accuracy": "balanced accuracy",
}
OF_STEPS = " of steps"
"""Ends the name of a curve that has a point for each step that was told of."""

SLOW_EPOCH = 5.0
"""Seconds: where an epoch takes longer, single steps are worth looking at."""


class History:
    """Built from the events of a run, in their order; a run that was gone on with takes some steps again, which replace theirs.

    Attributes
    ----------
    fold, folds
        Of a cross-validation, from 1; 0: there are none.
    trainings
        Stage -> what is known of its training, in their order. The names are those of events, with the fold before them.
    doing
        Of a stage without epochs.
    version
        Changes with whatever is taken.
    """

    def __init__(self) -> None:
        self.fold = self.folds = self.version = 0
        self.trainings: dict[str, Training] = {}
        self.doing = Doing()
        self._prefix = ""
        self._plan: dict[str, str] = dict(PLAN)
        self._at = ""
        self._left: float | None = None
        self._ended = False

    def take(self, events: Iterable[Event]) -> None:
        """Learn what happened next."""
        told = {
            "stage": self._stage,
            "start": self._start,
            "step": self._step,
            "epoch": self._epoch,
            "finish": self._finish,
            "progress": self._progress,
        }
        for event in events:
            self.version += 1
            told[event.kind](event.stage, event.epoch, event.data)

    def finish(self) -> None:
        """The run is finished: nothing waits or runs any more."""
        self._ended = True
        self.version += 1

    @property
    def stages(self) -> list[StageState]:
        """Stages of the run, or of the fold that is trained now, in their order."""
        keys = list(self._plan)
        at = keys.index(self._at) if self._at in keys else -1
        states: Sequence[State] = [
            "done" if self._ended or number < at else "running" if number == at else "waiting" for number in range(len(keys))
        ]
        return [StageState(key, self._plan[key], state) for key, state in zip(keys, states, strict=True)]

    @property
    def stage(self) -> str:
        """The stage that runs, as events call it, without the fold; empty before the first."""
        return self._at

    @property
    def stage_name(self) -> str:
        """The stage that runs, in plain words."""
        return self._plan.get(self._at, "")

    @property
    def training(self) -> Training | None:
        """The stage that trains or trained last."""
        return next(reversed(self.trainings.values()), None)

    @property
    def trains(self) -> bool:
        """Whether the stage that runs is one with epochs that are not over."""
        now = self.trainings.get(self._prefix + self._at)
        return now is not None and not now.stopped

    @property
    def epoch(self) -> int:
        """The epoch that is or was last trained, from 1; 0 before the first."""
        return self.training.epoch if self.training else 0

    @property
    def epochs(self) -> int:
        """Epochs that are planned in that stage."""
        return self.training.epochs if self.training else 0

    @property
    def best_epoch(self) -> int | None:
        """The best epoch so far, from 1."""
        return self.training.best_epoch if self.training else None

    @property
    def phase(self) -> str:
        """What the recipe calls the part of the epoch."""
        return self.training.phase if self.training else ""

    @property
    def seconds_left(self) -> float | None:
        """Of the stage that runs; None: not known."""
        if self._ended:
            return 0.0
        return self.training.seconds_left if self.trains and self.training else self._left

    @property
    def progress(self) -> tuple[str, float, float]:
        """What the stage that runs is at, how far it is, and of how much: epochs, or slides."""
        if self._ended:
            return "", 1.0, 1.0
        now = self.training if self.trains else None
        if now is not None:
            share = now.step / now.steps if now.steps else 0.0
            return "", min(now.epochs, max(now.epoch - 1, 0) + share), float(now.epochs)
        return self.doing.what, self.doing.done, self.doing.total

    def curve(self, name: str, stage: str | None = None) -> tuple[list[float], list[float]]:
        """Points of a curve: epochs (a step is a part of one), and values; both empty where there are none.

        Parameters
        ----------
        name
            "loss", "validation loss", "learning rate", "roc auc", "balanced accuracy", "f1", and what a recipe tells: parts of
            its loss by their names, figures of the validation slides as "validation NAME"; of single steps "loss of steps", or
            "PHASE of steps" where phases have losses of their own.
        """
        chosen = self.training if stage is None else self.trainings.get(stage)
        curve = chosen.curves.get(name) if chosen else None
        return curve.points() if curve else ([], [])

    def curves(self, stage: str | None = None) -> list[str]:
        """Names of the curves that there are."""
        chosen = self.training if stage is None else self.trainings.get(stage)
        return list(chosen.curves) if chosen else []

    def parts(self, stage: str | None = None) -> list[str]:
        """Names of the parts of the training loss, where there are several: WENO's teacher and student, say."""
        known = {"loss", "learning rate", *WORDS.values()}
        told = [name for name in self.curves(stage) if name not in known and not name.endswith(OF_STEPS)]
        found = [name for name in told if not name.startswith("validation ")]
        return found if len(found) > 1 else []

    def slow_epochs(self, stage: str | None = None) -> bool:
        """Whether one waits for the end of an epoch so long that steps are worth looking at."""
        chosen = self.training if stage is None else self.trainings.get(stage)
        return chosen is not None and chosen.seconds_of_epoch > SLOW_EPOCH

    def title_of(self, stage: str) -> str:
        """A key of `trainings` in plain words."""
        fold, _, name = stage.rpartition(", ")
        words = self._plan.get(name, PLAN.get(name, name))
        return f"{fold.capitalize()}: {words}" if fold else words

    def _stage(self, stage: str, _: int, data: Mapping[str, Any]) -> None:
        self.doing, self._left, self._ended = Doing(), None, False
        if "fold" in data:
            self.fold, self.folds = int(data["fold"]), int(data["folds"])
            self._prefix, self._plan, self._at = f"{stage}, ", dict(PLAN), ""
            return
        key = self._bare(stage)
        if key in COMPARISON:
            self._plan = {**{name: words for name, words in self._plan.items() if name != "report"}, **COMPARISON}
            self._plan["report"] = PLAN["report"]
        elif key not in self._plan:
            self._unfold(key, data)
        self._at = key

    def _start(self, stage: str, epoch: int, data: Mapping[str, Any]) -> None:
        if not data.get("resumed") or stage not in self.trainings:
            self.trainings.pop(stage, None)
            self.trainings[stage] = Training()
        found = self.trainings[stage]
        found.epochs, found.slides, found.stopped = int(data.get("epochs", 0)), int(data.get("slides", 0)), ""
        found.epoch = min(epoch + 1, found.epochs or epoch + 1)

    def _step(self, stage: str, epoch: int, data: Mapping[str, Any]) -> None:
        found = self.trainings.setdefault(stage, Training())
        found.epoch, found.step, found.steps = epoch + 1, int(data["step"]), int(data["steps"])
        found.phase, found.seconds_left = str(data.get("phase", "")), data.get("seconds_left")
        losses: Mapping[str, float] = data["losses"]
        # a phase that tells its own loss (WENO's teacher, say) has a curve of its own
        name = found.phase if found.phase in losses else "loss"
        found.put(f"{name}{OF_STEPS}", epoch + found.step / max(found.steps, 1), losses.get(name))

    def _epoch(self, stage: str, epoch: int, data: Mapping[str, Any]) -> None:
        found = self.trainings.setdefault(stage, Training())
        found.epoch, found.ended, found.seconds = epoch + 1, epoch + 1, float(data.get("seconds", 0.0))
        found.step = found.steps
        best = data.get("best_epoch")
        found.best_epoch = None if best is None or best < 0 else int(best) + 1
        found.put("learning rate", epoch + 1, data.get("learning_rate"))
        for name, value in data.get("losses", {}).items():
            found.put(name, epoch + 1, value)
        for name, value in data.get("validation", {}).items():
            of_slides = WORDS.get(name) if name != "loss" else None
            found.put(of_slides or f"validation {name.replace('_', ' ')}", epoch + 1, value)
        if found.epochs and found.ended:
            found.seconds_left = found.seconds / found.ended * (found.epochs - found.ended)

    def _finish(self, stage: str, _: int, data: Mapping[str, Any]) -> None:
        found = self.trainings.setdefault(stage, Training())
        found.stopped, found.seconds_left = str(data.get("stopped", "epochs")), 0.0
        if found.best_epoch is None and data.get("best_epoch", -1) >= 0:
            found.best_epoch = int(data["best_epoch"]) + 1

    def _progress(self, stage: str, _: int, data: Mapping[str, Any]) -> None:
        done, total = float(data.get("done", 0)), float(data.get("total", 0))
        if data.get("of"):
            done += min(1.0, data.get("patches", 0) / data["of"])
        self.doing, self._left = Doing(str(data.get("what", "")), done, total), data.get("seconds_left")
        if not self._at and self._bare(stage) in self._plan:
            self._at = self._bare(stage)

    def _bare(self, stage: str) -> str:
        return stage.removeprefix(self._prefix)

    def _unfold(self, key: str, data: Mapping[str, Any]) -> None:
        """A training in several stages, which make their features themselves: they take the place of both."""
        steps: Mapping[str, str] = data.get("titles") or {key: str(data.get("title", key))}
        numbered = {name: f"{number}. {words}" for number, (name, words) in enumerate(steps.items(), 1)}
        self._plan = {**numbered, **{name: words for name, words in PLAN.items() if name not in ("features", "train")}}
