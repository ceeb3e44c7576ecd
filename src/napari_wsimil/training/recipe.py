"""How a method learns: what a step is, in which order steps come, and all that must be kept to go on after one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.evaluation.metrics import selection_value
from napari_wsimil.training.evaluation.scoring import score
from napari_wsimil.training.optimisers import make_optimiser, scheduled
from napari_wsimil.training.settings import Selection, TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags import Bag
    from napari_wsimil.mil import MILModel
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.evaluation.scoring import Scores
    from napari_wsimil.training.events import Event
    from napari_wsimil.training.runs.staged import StagedResult, StagedTask

Phase = tuple[str, list["NDArray[np.int64]"]]
"""The name of a part of an epoch, and its batches: keys that mean something to the recipe."""


class Recipe(ABC):
    """How one model learns from one set of bags; made anew for each run or stage.

    A subclass fills `optimisers`. Whatever else changes while it learns stands in `modules` or in `numbers`, since these are
    what a run that was killed goes on from. Randomness is PyTorch's only: the trainer seeds it before every step.

    Parameters
    ----------
    model
        What is trained, judged on the validation bags and kept, on its device.
    bags
        What it learns from.
    settings
        How.

    Attributes
    ----------
    scores
        What the model said of the validation slides when it was judged last; None where it was not.
    """

    def __init__(self, model: MILModel, bags: BagSet, settings: TrainingSettings) -> None:
        self.model, self.bags, self.settings = model, bags, settings
        self.modules: nn.Module = model
        self.scores: Scores | None = None
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self._plateaus: dict[str, ReduceLROnPlateau] = {}
        self._first_rates: dict[str, list[float]] = {}
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=settings.precision == "fp16")

    @abstractmethod
    def phases(self, epoch: int, random: np.random.Generator) -> list[Phase]:
        """The parts of an epoch in their order; the same for the same `epoch` and state of `random`."""

    @abstractmethod
    def step(self, phase: str, batch: NDArray[np.int64], bags: Mapping[int, Bag]) -> dict[str, float]:
        """Change the weights once.

        Parameters
        ----------
        phase, batch
            One of `phases`.
        bags
            Row -> bag for all `rows` of the batch.

        Returns
        -------
        Losses by name; "loss" is the one that was minimised.
        """

    def judge(self, validation: BagSet) -> dict[str, float]:
        """How well the model does on the validation bags, by each name of `Selection`; nan where they can't tell.

        Raises
        ------
        TrainingError
            They can't tell what chooses the epoch: a class is missing.
        """
        self.scores = scores = score(self.model, validation)
        told = dict.fromkeys(get_args(Selection), math.nan)
        for name in told:
            if name == self.settings.select:
                told[name] = selection_value(scores, name)
            else:
                with suppress(TrainingError):
                    told[name] = selection_value(scores, name)
        return {**told, "loss": -told["loss"]}

    def rows(self, phase: str, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bags that a batch needs, which the trainer loads ahead: those it names."""
        return np.unique(batch)

    def begin_epoch(self, epoch: int) -> None:
        """Set the learning rates of `epoch`, from 0; called again when a run goes on inside it."""
        factor = scheduled(self.settings, epoch)
        for name, optimiser in self.optimisers.items():
            rates = self._first_rates.setdefault(name, [group["lr"] for group in optimiser.param_groups])
            if factor is None:
                self._plateau(name)
                continue
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def end_epoch(self, epoch: int, validation: Mapping[str, float]) -> None:
        """Learn how well the validation bags went; `validation["loss"]` is always there."""
        for name in self._plateaus:
            self._plateaus[name].step(validation["loss"])

    def numbers(self) -> dict[str, Any]:
        """What must be kept besides tensors, JSON-able; a subclass adds to it."""
        plateaus = {name: _plain(plateau.state_dict()) for name, plateau in self._plateaus.items()}
        return {"plateaus": plateaus, "scaler": self._scaler.state_dict()}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Go on from what `numbers` gave."""
        for name, kept in numbers["plateaus"].items():
            self._plateau(name).load_state_dict(kept)
        if numbers["scaler"]:
            self._scaler.load_state_dict(numbers["scaler"])

    def _plateau(self, name: str) -> ReduceLROnPlateau:
        if name not in self._plateaus:
            settings = self.settings
            self._plateaus[name] = ReduceLROnPlateau(
                self.optimisers[name], factor=settings.schedule_factor, patience=settings.schedule_patience
            )
        return self._plateaus[name]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.modules.parameters()).device

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the settings."""
        if self.settings.precision == "full":
            return nullcontext()
        kind = torch.bfloat16 if self.settings.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, kind)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss` to those that are there; with fp16 enlarged, so that small ones are not lost."""
        self._scaler.scale(loss).backward()

    def change(self, *names: str) -> None:
        """Let optimisers, all where none is named, use the gradients, each group clipped by itself, and clear them."""
        for name in names or self.optimisers:
            optimiser = self.optimisers[name]
            if self.settings.clip:
                self._scaler.unscale_(optimiser)
                for group in optimiser.param_groups:
                    nn.utils.clip_grad_norm_(group["params"], self.settings.clip)
            self._scaler.step(optimiser)
            optimiser.zero_grad(set_to_none=True)
        self._scaler.update()


class BagRecipe(Recipe):
    """One optimiser, one phase: the losses of the model (`MILModel.losses`) on slides in random order."""

    def __init__(self, model: MILModel, bags: BagSet, settings: TrainingSettings) -> None:
        super().__init__(model, bags, settings)
        self.optimisers = {"model": make_optimiser(settings, model.parameters())}
        self._class_weights = class_weights(bags.targets, self.device) if settings.balanced == "loss" else None

    def phases(self, epoch: int, random: np.random.Generator) -> list[Phase]:
        """One pass over the slides, `accumulate` of them a step."""
        return [("slides", in_batches(bag_order(self.bags.targets, self.settings, random), self.settings.accumulate))]

    def step(self, phase: str, batch: NDArray[np.int64], bags: Mapping[int, Bag]) -> dict[str, float]:
        """Mean of the losses over the slides of the batch."""
        self.model.train()
        told: dict[str, float] = {}
        for row in batch.tolist():
            target = torch.tensor(int(self.bags.targets[row]), device=self.device)
            with self.autocast():
                losses = self.model.losses(bags[row], target, self._class_weights)
            self.backward(losses.total / len(batch))
            for name, part in {"loss": losses.total, **losses.parts}.items():
                told[name] = told.get(name, 0.0) + float(part.detach()) / len(batch)
        self.change()
        return told


@dataclass(frozen=True)
class RecipeSpec:
    """The recipe of one method, for whoever lists recipes or builds forms from them.

    Attributes
    ----------
    name
        A name in `mil.METHODS`.
    settings
        The settings with what the paper says as defaults.
    make
        Makes the recipe for one run.
    source
        Where the defaults come from.
    stages
        Trains in several stages instead of by `make`, or None.
    """

    name: str
    settings: type[TrainingSettings] = TrainingSettings
    make: Callable[[MILModel, BagSet, Any], Recipe] = BagRecipe
    source: str = ""
    stages: Callable[[StagedTask], Generator[Event, None, StagedResult]] | None = None


def bag_order(targets: NDArray[np.int64], settings: TrainingSettings, random: np.random.Generator) -> NDArray[np.int64]:
    """(n,) rows of an epoch: each once, or drawn so that every class is as common as the others."""
    if settings.balanced != "sampling":
        return random.permutation(len(targets)).astype(np.int64)
    counts = np.bincount(targets)
    chance = 1 / counts[targets]
    return random.choice(len(targets), len(targets), p=chance / chance.sum()).astype(np.int64)


def in_batches(keys: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Cut keys into batches of `size`, the last of which may be smaller."""
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def class_weights(targets: NDArray[np.int64], device: torch.device) -> Tensor:
    """(C,) weights in inverse proportion to how common a class is, 1 on average over the slides."""
    counts = np.bincount(targets)
    present = counts > 0
    weights = np.where(present, len(targets) / (present.sum() * np.maximum(counts, 1)), 0.0)
    return torch.tensor(weights, dtype=torch.float32, device=device)


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """Only what JSON can hold: numbers, texts and lists of them."""
    return {name: value for name, value in state.items() if isinstance(value, (int, float, str, list, type(None)))}
