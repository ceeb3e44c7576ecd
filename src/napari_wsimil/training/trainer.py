"""The loop: epochs of a recipe's steps, the state kept after each of them, the best epoch kept by the validation bags.

A run that was killed goes on with the step it was in, and comes to the same weights as one that was not: the order of bags
follows from (seed, epoch), PyTorch is seeded before every step from (seed, epoch, phase, step), all else is in the journal.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_whole
from napari_wsimil.training.bag_sets import load_ahead
from napari_wsimil.training.events import Event, EventLog
from napari_wsimil.training.journal import Journal
from napari_wsimil.training.state import numbers_of, restore, tensors_of
from napari_wsimil.training.watching import Glance, Watch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.bags import Bag
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.recipe import Phase, Recipe

LOGGED_EVERY_SECONDS = 0.2
"""Steps are told as often to whoever listens, but written to the log no more often than this."""

JOURNAL_SHARE = 0.2
JOURNAL_SECONDS = 0.01
"""Keeping the state may take this share of the time, or so long each time; beyond both, steps are left out, to be taken again
after a kill."""

LOWER_IS_BETTER = frozenset({"loss"})


@dataclass
class Position:
    """Where a run is: the next step to take, and what came before it."""

    epoch: int = 0
    phase: int = 0
    step: int = 0
    best: float | None = None
    best_loss: float = math.inf
    best_epoch: int = -1
    seconds: float = 0.0
    losses: dict[str, list[float]] = field(default_factory=dict)
    """Name -> sum and count over the steps of this epoch."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the best epoch, its value, epochs trained, seconds, and why it stopped ("epochs" or "patience")."""

    best_epoch: int
    best: float
    epochs: int
    seconds: float
    stopped: str


class Trainer:
    """Trains one recipe in one folder, from where the folder says it was.

    Parameters
    ----------
    recipe
        Made as for a new run; brought to the state in `folder`, if there is one, when `run` begins.
    validation
        Bags that choose the epoch.
    folder
        Of the journal, the best weights and the events.
    identity
        Whatever the run depends on (settings, data) as text: a folder of another run is refused.
    stage
        Its name in events.
    log
        Where events are written; None: `events.jsonl` in the folder.
    watch, watch_first
        Called after each epoch, once all of it is kept, and as epoch -1 before the first one too where `watch_first` says so;
        weights are the same with and without it.
    """

    def __init__(
        self,
        recipe: Recipe,
        validation: BagSet,
        folder: Path,
        *,
        identity: str = "",
        stage: str = "train",
        log: EventLog | None = None,
        watch: Watch | None = None,
        watch_first: bool = False,
    ) -> None:
        self.recipe, self.validation, self.folder, self.stage = recipe, validation, folder, stage
        self.settings = recipe.settings
        self._identity = identity
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(folder / "journal")
        self._log = log or EventLog(folder / "events.jsonl")
        self._best_weights = folder / "best.safetensors"
        self._watch, self._watch_first, self._at = watch, watch_first, Position()
        self._logged = self._saved = -math.inf
        self._saving = 0.0

    def run(self) -> Generator[Event, None, Outcome]:
        """Train, telling each step; closing the generator stops after a step, and nothing is lost.

        Raises
        ------
        TrainingError
            The folder holds another run, the disk is full, or the loss is not a number.
        """
        resumed = self._restore()
        if not resumed:
            self._save(force=True)
            if self._watch_first:
                self._show(-1)
        yield self._tell("start", resumed=resumed, epochs=self.settings.epochs, slides=len(self.recipe.bags))
        while not self._stopped():
            yield from self._epoch()
        outcome = self._finish()
        yield self._tell("finish", **asdict(outcome))
        return outcome

    def _epoch(self) -> Iterator[Event]:
        at, recipe = self._at, self.recipe
        recipe.begin_epoch(at.epoch)
        phases = recipe.phases(at.epoch, np.random.default_rng([self.settings.seed, at.epoch]))
        total = sum(len(batches) for _, batches in phases)
        before = sum(len(batches) for _, batches in phases[: at.phase])
        while at.phase < len(phases):
            for losses in self._phase(phases, time.perf_counter()):
                done = before + at.step
                yield self._tell(
                    "step",
                    phase=phases[at.phase][0],
                    step=done,
                    steps=total,
                    losses=losses,
                    seconds_left=self._seconds_left(done / total),
                )
            before += at.step
            at.phase, at.step = at.phase + 1, 0
        yield self._end_epoch()

    def _phase(self, phases: list[Phase], clock: float) -> Iterator[dict[str, float]]:
        at, (name, batches) = self._at, phases[self._at.phase]
        rows = [self.recipe.rows(name, batch) for batch in batches[at.step :]]
        # a whole step ahead, so that a step of many bags does not wait for them
        ahead = max([2, *map(len, rows)])
        loaded = load_ahead(self.recipe.bags, [int(row) for batch in rows for row in batch], ahead)
        try:
            for batch, wanted in zip(batches[at.step :], rows, strict=True):
                bags = dict(next(loaded) for _ in wanted)
                losses = self._step(name, batch, bags)
                at.step += 1
                at.seconds += time.perf_counter() - clock
                clock = time.perf_counter()
                self._save()
                yield losses
        finally:
            loaded.close()

    def _step(self, phase: str, batch: NDArray[np.int64], bags: dict[int, Bag]) -> dict[str, float]:
        at = self._at
        torch.manual_seed(int(np.random.SeedSequence([self.settings.seed, at.epoch, at.phase, at.step]).generate_state(1)[0]))
        losses = self.recipe.step(phase, batch, bags)
        if not math.isfinite(losses["loss"]):
            names = ", ".join(self.recipe.bags.names[row] for row in list(bags)[:3]) or phase
            raise TrainingError(
                f"The loss is not a number in epoch {at.epoch + 1} ({names}); lower the learning rate, or use full precision."
            )
        for name, value in losses.items():
            total = at.losses.setdefault(name, [0.0, 0])
            total[0], total[1] = total[0] + value, total[1] + 1
        return losses

    def _end_epoch(self) -> Event:
        at, recipe, started = self._at, self.recipe, time.perf_counter()
        validation = recipe.judge(self.validation)
        rates = [group["lr"] for optimiser in recipe.optimisers.values() for group in optimiser.param_groups]
        better = self._better(validation)
        if better:
            at.best, at.best_loss, at.best_epoch = validation[self.settings.select], validation["loss"], at.epoch
            with written_whole(self._best_weights) as part:
                save_file({name: tensor.contiguous() for name, tensor in recipe.model.state_dict().items()}, part)
        recipe.end_epoch(at.epoch, validation)
        at.seconds += time.perf_counter() - started
        event = self._tell(
            "epoch",
            losses={name: total / count for name, (total, count) in at.losses.items()},
            validation=validation,
            learning_rate=rates[0],
            seconds=at.seconds,
            best=better,
            best_epoch=at.best_epoch,
        )
        self._at = Position(at.epoch + 1, best=at.best, best_loss=at.best_loss, best_epoch=at.best_epoch, seconds=at.seconds)
        self._save(force=True)
        self._journal.flush()
        self._show(event.epoch)
        return event

    def _show(self, epoch: int) -> None:
        """Let who watches look at the network; the time counts, so that what is left is told as it is."""
        if self._watch is None:
            return
        recipe, started = self.recipe, time.perf_counter()
        if epoch < 0 and recipe.scores is None:
            recipe.judge(self.validation)
        last = bool(self._stopped())
        self._watch(Glance(self.stage, epoch, recipe.model, recipe.bags, self.validation, recipe.scores, last))
        self._at.seconds += time.perf_counter() - started

    def _better(self, validation: dict[str, float]) -> bool:
        at, settings = self._at, self.settings
        value = validation[settings.select]
        if not math.isfinite(value) or at.epoch < math.floor(settings.select_from * settings.epochs):
            return at.best is None and at.epoch == settings.epochs - 1
        if at.best is None:
            return True
        if value == at.best:
            # few slides are ranked without a fault long before the model is sure of them
            return validation["loss"] < at.best_loss
        return value < at.best if settings.select in LOWER_IS_BETTER else value > at.best

    def _stopped(self) -> str | None:
        at, settings = self._at, self.settings
        if at.epoch >= settings.epochs:
            return "epochs"
        waited = at.epoch - 1 - at.best_epoch
        if settings.patience and at.best is not None and at.epoch >= settings.patience_from and waited >= settings.patience:
            return "patience"
        return None

    def _finish(self) -> Outcome:
        at = self._at
        weights = load_file(self._best_weights)
        self.recipe.model.load_state_dict(weights)
        self.recipe.model.eval()
        return Outcome(
            at.best_epoch, math.nan if at.best is None else at.best, at.epoch, at.seconds, self._stopped() or "epochs"
        )

    def _seconds_left(self, share: float) -> float | None:
        done = self._at.epoch + share
        return self._at.seconds / done * (self.settings.epochs - done) if done else None

    def _tell(self, kind: Any, **data: Any) -> Event:
        event = Event(kind, self.stage, self._at.epoch, data)
        now = time.monotonic()
        if kind != "step" or now - self._logged >= LOGGED_EVERY_SECONDS:
            self._log.append(event)
            self._logged = now
        return event

    def _save(self, *, force: bool = False) -> None:
        """Keep the state, unless that would take more than its share of the time."""
        started = time.perf_counter()
        dear = self._saving > max(JOURNAL_SECONDS, JOURNAL_SHARE * (started - self._saved))
        if dear and not force:
            return
        numbers = {
            "position": asdict(self._at),
            "identity": self._identity,
            "events": self._log.size,
            **numbers_of(self.recipe),
        }
        self._journal.save(tensors_of(self.recipe), numbers)
        self._saved = time.perf_counter()
        self._saving = self._saved - started

    def _restore(self) -> bool:
        kept = self._journal.load()
        if kept is None:
            return False
        tensors, numbers = kept
        if numbers["identity"] != self._identity:
            raise TrainingError(
                f"{self.folder} holds a run with other settings or other slides; choose another folder, or repeat its settings."
            )
        self._at = Position(**numbers["position"])
        self.recipe.begin_epoch(self._at.epoch)
        restore(self.recipe, tensors, numbers)
        self._log.cut(numbers["events"])
        return True
