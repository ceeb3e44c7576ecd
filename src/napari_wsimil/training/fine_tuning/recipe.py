"""Fine-tuning as a recipe: one network, one optimiser; slides teach by their labels, patches by what was drawn on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.bag_sets import ChosenBags, load_ahead
from napari_wsimil.training.fine_tuning.freezing import train_mode
from napari_wsimil.training.fine_tuning.losses import attention_loss, patch_loss
from napari_wsimil.training.fine_tuning.sets import WithRehearsal, known_classes, knows_patches, without_class
from napari_wsimil.training.optimisers import make_optimiser
from napari_wsimil.training.recipe import Recipe, class_weights, in_batches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags import Bag
    from napari_wsimil.mil import MILModel, MILOutput
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.fine_tuning.settings import FineTuningSettings
    from napari_wsimil.training.recipe import Phase


class FineTuning(Recipe):
    """A step is one slide (or `accumulate` of them): the method's own losses by its label, and patches by polygons.

    Slides need not have both: a slide without a label teaches by its polygons only, one without polygons by its label only.

    Parameters
    ----------
    model
        Of `tunable`.
    bags
        New slides; `AnnotatedBags` where something was drawn on them, targets -1 where a label is not known.
    settings
        How.
    classes
        Number of classes C.
    positive
        The class that negative slides hold nothing of, or None.
    rehearsal
        Sets of old slides; in each epoch some of them are shown, see `FineTuningSettings.pairs`.

    Raises
    ------
    TrainingError
        No slide has what is to be learned from.
    """

    settings: FineTuningSettings

    def __init__(
        self,
        model: MILModel,
        bags: BagSet,
        settings: FineTuningSettings,
        *,
        classes: int,
        positive: int | None = None,
        rehearsal: Sequence[BagSet] = (),
    ) -> None:
        joined = WithRehearsal(bags, rehearsal)
        super().__init__(model, joined, settings)
        self.optimisers = {"model": make_optimiser(settings, model.parameters())}
        self._all, self._classes, self._positive = joined, classes, positive
        self._before: dict[str, float] = {}
        useful = np.array([self._teaches(row) for row in range(len(joined))], bool)
        if not useful[: joined.new].any():
            wanted = {"labels": "a label", "polygons": "polygons", "both": "a label or polygons"}[settings.learn_from]
            raise TrainingError(
                f"No slide to fine-tune on has {wanted}; add some to the manifest, or learn from something else."
            )
        self._new, self._old = np.flatnonzero(useful[: joined.new]), joined.new + np.flatnonzero(useful[joined.new :])
        labelled = joined.targets[joined.targets >= 0]
        self._class_weights: Tensor | None = None
        if settings.balanced == "loss" and len(labelled):
            weights = class_weights(labelled, self.device)
            self._class_weights = functional.pad(weights, (0, classes - len(weights)))

    def phases(self, epoch: int, random: np.random.Generator) -> list[Phase]:
        """All new slides and as many old ones, mixed."""
        new = self._new
        if self.settings.balanced == "sampling":
            targets = self._all.targets[new] + 1  # slides without a label are a class of their own
            chance = 1 / np.bincount(targets)[targets]
            new = random.choice(new, len(new), p=chance / chance.sum())
        if self.settings.pairs and len(self._old):
            return [("slides", self._pairs(new, random))]
        old = random.choice(self._old, min(len(self._new), len(self._old)), replace=False)
        order = random.permutation(np.concatenate([new, old])).astype(np.int64)
        return [("slides", in_batches(order, self.settings.accumulate))]

    def _pairs(self, new: NDArray[np.int64], random: np.random.Generator) -> list[NDArray[np.int64]]:
        """Each step of a new slide and an old one: what corrects and what is to stay pull at the weights together."""
        count = max(self.settings.pairs, len(new))
        first = np.concatenate([random.permutation(new) for _ in range(-(-count // len(new)))])[:count]
        second = np.concatenate([random.permutation(self._old) for _ in range(-(-count // len(self._old)))])[:count]
        return [np.array(pair, np.int64) for pair in zip(first, second, strict=True)]

    def step(self, phase: str, batch: NDArray[np.int64], bags: Mapping[int, Bag]) -> dict[str, float]:
        """Mean over the slides of the batch."""
        train_mode(self.model)
        told: dict[str, list[float]] = {"loss": []}
        for row in batch.tolist():
            weight = 1.0 if row < self._all.new else self.settings.rehearsal_weight
            with self.autocast():
                total, parts = self._losses(row, bags[row])
            if total is not None and total.requires_grad:
                self.backward(total * weight / len(batch))
            for name, part in (parts if total is None else {"loss": total, **parts}).items():
                told.setdefault(name, []).append(float(part.detach()))
        if told["loss"]:
            self.change()
        return {name: float(np.mean(values)) if values else 0.0 for name, values in told.items()}

    def remember(self, validation: BagSet) -> None:
        """Note how well the model does as it is, before it learns: what a correction is not to lose."""
        self._before = self._of_labels(validation)

    def judge(self, validation: BagSet) -> dict[str, float]:
        """As `Recipe.judge` on the slides with a label; what "loss" is, `FineTuningSettings.choose` says.

        "polygons" is the part of patches, "corrected" the loss of what was corrected.
        """
        told = self._of_labels(validation)
        if self.settings.choose == "correction":
            learned = self._judge_new()
            return {**told, "corrected": learned, "loss": learned + _lost(self._before, told)}
        of_patches = self._judge_patches(validation) if self.settings.from_polygons else math.nan
        weighted = []
        if self.settings.from_labels:
            weighted.append(self.settings.label_weight * told["loss"])
        if self.settings.from_polygons:
            weighted.append(self.settings.polygon_weight * of_patches)
        known = [value for value in weighted if math.isfinite(value)]
        told["loss"] = math.fsum(known) if known else told["loss"]
        return {**told, "polygons": of_patches}

    def _of_labels(self, validation: BagSet) -> dict[str, float]:
        """How well slides with a label are told; "loss" is that of their labels."""
        labelled = np.flatnonzero(np.asarray(validation.targets) >= 0)
        if len(labelled):
            return super().judge(ChosenBags(validation, labelled))
        return {"loss": math.nan, self.settings.select: math.nan}

    def _judge_new(self) -> float:
        """Mean loss of the new slides, labels and patches with their weights, each slide as it is predicted."""
        self.model.eval()
        found: list[float] = []
        # not without gradients: whether attention counts is told by whether it can learn
        for row, bag in load_ahead(self._all, self._new.tolist()):
            total, _ = self._losses(row, bag)
            found += [] if total is None else [float(total.detach())]
        return float(np.mean(found)) if found else math.nan

    def _judge_patches(self, validation: BagSet) -> float:
        """Mean loss of the patches of validation slides of which something is known."""
        rows = [row for row in range(len(validation)) if self._judges_patches(validation, row)]
        found: list[float] = []
        self.model.eval()
        with torch.no_grad():
            for row, bag in load_ahead(validation, rows):
                loss = self._of_patches(self._known(validation, row, bag), self._evidence(bag, None))
                found += [] if loss is None else [float(loss)]
        return float(np.mean(found)) if found else math.nan

    def _teaches(self, row: int) -> bool:
        by_label = self.settings.from_labels and self._all.targets[row] >= 0
        part, inside = self._all.at(row)
        return bool(by_label or (self.settings.from_polygons and self._judges_patches(part, inside)))

    def _judges_patches(self, bags: BagSet, row: int) -> bool:
        return knows_patches(bags, row) or self._negative(bags, row)

    def _negative(self, bags: BagSet, row: int) -> bool:
        """Whether a slide's label says of all its patches what they are not."""
        target = int(bags.targets[row])
        return (
            self._positive is not None
            and self.settings.learn_from == "both"
            and self.settings.negatives
            and target >= 0
            and target != self._positive
        )

    def _known(self, bags: BagSet, row: int, bag: Bag) -> dict[float, NDArray[np.bool_]]:
        known = known_classes(bags, row, bag, self._classes)
        if self._positive is not None and self._negative(bags, row):
            return without_class(known, bag, self._positive, self._classes)
        return known

    def _losses(self, row: int, bag: Bag) -> tuple[Tensor | None, dict[str, Tensor]]:
        """The weighted sum and its parts; None where a slide turns out to teach nothing."""
        settings, target = self.settings, int(self._all.targets[row])
        parts: dict[str, Tensor] = {}
        weighted: list[Tensor] = []
        output: MILOutput | None = None
        if settings.from_labels and target >= 0:
            losses = self.model.losses(bag, torch.tensor(target, device=self.device), self._class_weights)
            output = losses.output
            parts |= losses.parts
            weighted.append(settings.label_weight * losses.total)
        if settings.from_polygons:
            taught = self._of_polygons(row, bag, output)
            parts |= taught
            weights = {"polygons": settings.polygon_weight, "attention": settings.attention_weight}
            weighted += [weights[name] * loss for name, loss in taught.items()]
        return (torch.stack(weighted).sum() if weighted else None), parts

    def _of_polygons(self, row: int, bag: Bag, output: MILOutput | None) -> dict[str, Tensor]:
        """Losses by name of what is known of the patches of a slide."""
        part, inside = self._all.at(row)
        if not self._judges_patches(part, inside):
            return {}
        known = self._known(part, inside, bag)
        losses = {
            "polygons": self._of_patches(known, self._evidence(bag, output)),
            "attention": self._of_attention(known, output, int(self._all.targets[row])),
        }
        return {name: loss for name, loss in losses.items() if loss is not None}

    def _evidence(self, bag: Bag, output: MILOutput | None) -> Mapping[float, Tensor]:
        """Evidence of all patches: from the output of this step where it has it."""
        given = output.instance_logits if output is not None and not output.rows else None
        found = given if given is not None else self.model.evidence(bag)
        if found is None:
            raise TrainingError("This model says nothing of single patches, so polygons can't teach it; learn from labels.")
        return found

    def _of_patches(self, known: Mapping[float, NDArray[np.bool_]], evidence: Mapping[float, Tensor]) -> Tensor | None:
        """Mean over the magnifications of which something is known."""
        losses = [
            patch_loss(evidence[mpp], torch.from_numpy(allowed).to(evidence[mpp].device))
            for mpp, allowed in known.items()
            if mpp in evidence
        ]
        found = [loss for loss in losses if loss is not None]
        return torch.stack(found).mean() if found else None

    def _of_attention(self, known: Mapping[float, NDArray[np.bool_]], output: MILOutput | None, target: int) -> Tensor | None:
        """Mean over the magnifications; None where what is tuned, or the method, can't pay attention elsewhere."""
        if not self.settings.attention_weight or output is None:
            return None
        losses = [
            attention_loss(paid, torch.from_numpy(known[mpp]).to(paid.device), target)
            for mpp, paid in output.attention.items()
            if mpp in known and paid.requires_grad and len(paid) == len(known[mpp])
        ]
        found = [loss for loss in losses if loss is not None]
        return torch.stack(found).mean() if found else None


AUC_LOST = 10.0
"""How much loss a lost 1.0 of the validation slides' AUC stands for: no mark is worth a slide that is ranked wrong."""


def _lost(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """What validation slides lost against the model before, as a loss; 0 where they can't tell."""
    lost = (now["loss"] - before.get("loss", math.nan), AUC_LOST * (before.get("auc", math.nan) - now.get("auc", math.nan)))
    return math.fsum(max(0.0, value) for value in lost if math.isfinite(value))
