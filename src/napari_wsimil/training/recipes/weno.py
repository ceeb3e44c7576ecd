"""WENO is trained by turns: an epoch of the teacher over slides, then an epoch of the student over patches of all slides mixed.

Qu et al., NeurIPS 2022, sections 3.2 to 3.4, and the official code. It learns from stored features or, with an image encoder in
place of the model's projection (`mil.end_to_end`), end to end from images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn

from napari_wsimil.bags.images import ImageBag
from napari_wsimil.errors import TrainingError
from napari_wsimil.mil.encoding import drawn_rows
from napari_wsimil.mil.methods.weno import WENO
from napari_wsimil.mil.parameters import parameter
from napari_wsimil.mil.precision import precise
from napari_wsimil.mil.teaching import LogitRange, pseudo_labels, student_loss
from napari_wsimil.training.evaluation.figures import roc_auc
from napari_wsimil.training.optimisers import make_optimiser
from napari_wsimil.training.recipe import Recipe, RecipeSpec, bag_order, class_weights, in_batches
from napari_wsimil.training.settings import OURS, OptimiserName, Selection, TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags import Bag
    from napari_wsimil.mil import MILModel
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.recipe import Phase

CODE = "WENO, official code (miccaiif/WENO 483ddae)"
TEACHER, STUDENT = "teacher", "student"


class WENOSettings(TrainingSettings):
    """Defaults are those of the official scripts for stored features; for images see `mine_after` and `student_batch`."""

    epochs: int = parameter(
        1500, "Times that every slide is seen, by the teacher and then by the student.", CODE, ge=1, le=100_000
    )
    optimiser: OptimiserName = parameter("sgd", "Rule by which weights are changed.", CODE)
    learning_rate: float = parameter(1e-3, "Size of a change, for encoder, teacher and student.", CODE, gt=0, le=10)
    accumulate: int = parameter(
        1,
        "Slides in one step of the teacher; the shared encoder sees them together, its normalisation is over all of them.",
        CODE,
        ge=1,
        le=4096,
    )
    patience: int = parameter(
        200,
        "Stop after this many epochs without a better one; 0: never.",
        OURS + ": the code has no validation",
        ge=0,
        le=100_000,
    )
    select: Selection = parameter(
        "auc", "By what on the validation slides the best epoch is chosen.", OURS + ": the code has no validation"
    )
    student_batch: int = parameter(
        512, "Patches in one step of the student; images: 256.", CODE + ", feature scripts", ge=2, le=1 << 20
    )
    student_from: int = parameter(
        0, "Epochs in which the teacher learns alone before there is a student.", CODE + ": none", ge=0, le=100_000
    )
    student_every: int = parameter(1, "The student learns in every so manyth epoch.", CODE, ge=1, le=100_000)
    norm_scope: Literal["dataset", "bag"] = parameter(
        "dataset", "Attention becomes labels by its range over all slides of the epoch, or over the slide of the patch.", CODE
    )
    mine_after: int = parameter(
        10,
        "Epochs before the teacher leaves out patches that the student finds easy (150 on CIFAR images, 100 on CRC).",
        CODE + ", feature scripts; paper, figure 3",
        ge=0,
        le=100_000,
    )
    noisy_labels: bool = parameter(
        True, "The student's labels come from the teacher with its dropout; off: without, as it will predict.", CODE
    )


class WENORecipe(Recipe):
    """One recipe for both kinds of `WENO`: with `answer="teacher"` there is no student, which is the plain method.

    The keys of the teacher's batches are slides, those of the student's patches, counted through all slides.
    """

    settings: WENOSettings

    def __init__(self, model: MILModel, bags: BagSet, settings: WENOSettings) -> None:
        if not isinstance(model, WENO):
            raise TrainingError("The recipe of WENO trains the method weno only.")
        super().__init__(model, bags, settings)
        self.network = model
        self._known = _Known(model)
        self.modules = self._known
        parts = {"encoder": model.encoder, TEACHER: model.teacher, STUDENT: model.student}
        if model.answer == "teacher":
            del parts[STUDENT]
        self.optimisers = {name: make_optimiser(settings, part.parameters()) for name, part in parts.items() if _trained(part)}
        self._class_weights = class_weights(bags.targets, self.device) if settings.balanced == "loss" else None
        self._range, self._range_epoch, self._epoch = LogitRange(), -1, 0
        self._starts = np.zeros(len(bags) + 1, np.int64)
        if model.answer == "student":
            self._starts[1:] = np.cumsum([_length(bags, row) for row in range(len(bags))])
            if settings.norm_scope == "bag" or not model.teacher.judges_alone:
                # what the teacher says of a patch among those of its own slide: the student meets it among others
                if settings.patches_of_bag:
                    raise TrainingError(
                        "WENO needs what its teacher says of every patch of a slide here; leave patches_of_bag out, or choose "
                        "norm_scope=dataset and another teacher."
                    )
                self._known.scores = torch.zeros(int(self._starts[-1]), device=self.device)

    def phases(self, epoch: int, random: np.random.Generator) -> list[Phase]:
        """The teacher over slides; then, where its turn has come, the student over patches of all slides mixed."""
        settings = self.settings
        found: list[Phase] = [(TEACHER, in_batches(bag_order(self.bags.targets, settings, random), settings.accumulate))]
        waited = epoch - settings.student_from
        if self.network.answer == "student" and waited >= 0 and waited % settings.student_every == 0:
            found.append((STUDENT, in_batches(random.permutation(self._starts[-1]).astype(np.int64), settings.student_batch)))
        return found

    def rows(self, phase: str, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slides of the batch, or of its patches."""
        return np.unique(batch if phase == TEACHER else self._slides(batch))

    def begin_epoch(self, epoch: int) -> None:
        """Set the rates; the range of attention begins anew with each epoch, but not when a run goes on inside one."""
        super().begin_epoch(epoch)
        self._epoch = epoch
        if epoch != self._range_epoch:
            self._range, self._range_epoch = LogitRange(), epoch

    def step(self, phase: str, batch: NDArray[np.int64], bags: Mapping[int, Bag]) -> dict[str, float]:
        """One step of the teacher on slides, or of the student on patches."""
        self.model.train()
        return self._teach(batch, bags) if phase == TEACHER else self._learn(batch, bags)

    def judge(self, validation: BagSet) -> dict[str, float]:
        """As `Recipe.judge`; where the student answers, "student_auc" and "teacher_auc" (ROC AUC of each) besides."""
        if self.network.answer == "teacher":
            return super().judge(validation)
        taught: list[float] = []
        # what the teacher says of each slide on the way to the student's answer
        listening = self.network.teacher.register_forward_hook(lambda _, __, out: taught.append(_positive(out[1])))
        try:
            told = super().judge(validation)
        finally:
            listening.remove()
        return {**told, "teacher_auc": _ranking(validation.targets, taught), "student_auc": told["auc"]}

    def numbers(self) -> dict[str, Any]:
        """The range of attention so far, besides what every recipe keeps."""
        seen = self._range
        known = [seen.low, seen.high] if seen.low <= seen.high else None
        return {**super().numbers(), "range": known, "range_epoch": self._range_epoch}

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Go on from what `numbers` gave."""
        super().set_numbers(numbers)
        self._range = LogitRange(*numbers["range"]) if numbers["range"] else LogitRange()
        self._range_epoch = numbers["range_epoch"]

    def _teach(self, batch: NDArray[np.int64], bags: Mapping[int, Bag]) -> dict[str, float]:
        """Mean loss of the teacher over the slides of the batch, encoded together; their attention goes to the range."""
        network, rows = self.network, batch.tolist()
        mine = network.answer == "student" and self._epoch > self.settings.mine_after
        tables = [self._patches(bags[row], drawn_rows(bags[row], self.settings.patches_of_bag)) for row in rows]
        with self.autocast():
            encoded = network.encoder(torch.cat(tables)).split([len(table) for table in tables])
            losses = []
            for row, part in zip(rows, encoded, strict=True):
                target = torch.tensor(int(self.bags.targets[row]), device=self.device)
                taught, scores = network.taught(1.0, part, target, mine=mine)
                losses.append(taught.total if self._class_weights is None else taught.total * self._class_weights[target])
                self._note(row, scores)
        loss = torch.stack(losses).mean()
        self.backward(loss)
        self.change(*(name for name in self.optimisers if name != STUDENT))
        return _told(TEACHER, loss)

    def _note(self, row: int, scores: Tensor) -> None:
        self._range.add(scores)
        if self._known.scores is not None:
            self._known.scores[self._starts[row] : self._starts[row + 1]] = scores

    def _learn(self, batch: NDArray[np.int64], bags: Mapping[int, Bag]) -> dict[str, float]:
        """Loss of the student on patches of many slides, labelled by the teacher as it is now."""
        network = self.network
        keys = np.sort(batch)
        slides = self._slides(keys)
        features = torch.cat([self._patches(bags[row], keys[slides == row] - self._starts[row]) for row in np.unique(slides)])
        with self.autocast():
            encoded = network.encoder(features)
            labels = self._labels(encoded.detach(), keys, slides)
            loss = student_loss(network.student(encoded), labels, network.negative_weight)
        self.backward(loss)
        self.change(*(name for name in self.optimisers if name != TEACHER))
        return _told(STUDENT, loss)

    @torch.no_grad()
    def _labels(self, encoded: Tensor, keys: NDArray[np.int64], slides: NDArray[np.int64]) -> Tensor:
        """(n,) soft labels of patches: by the teacher now or, where others matter to it, in its last pass."""
        known = self._known.scores
        if known is None:
            return self._stretched(self._scores_now(encoded), slides, {})
        ranges = {}
        for row in np.unique(slides) if self.settings.norm_scope == "bag" else ():
            ranges[row] = LogitRange()
            ranges[row].add(known[self._starts[row] : self._starts[row + 1]])
        return self._stretched(known[torch.from_numpy(keys).to(self.device)], slides, ranges)

    def _scores_now(self, encoded: Tensor) -> Tensor:
        teacher = self.network.teacher.train(self.settings.noisy_labels)
        scores = precise(teacher(encoded)[0])
        teacher.train()
        return scores

    def _stretched(self, scores: Tensor, slides: NDArray[np.int64], ranges: Mapping[int, LogitRange]) -> Tensor:
        """Labels over the range of each slide, where there is one, else over that of all."""
        positive = self.bags.targets[slides] > 0
        if not ranges:
            labels = pseudo_labels(scores, self._range, positive=True)
            return labels * torch.from_numpy(positive).to(labels)
        labels = torch.zeros_like(scores)
        for row in np.unique(slides[positive]):
            of_slide = torch.from_numpy(slides == row).to(self.device)
            labels[of_slide] = pseudo_labels(scores[of_slide], ranges[row], positive=True)
        return labels

    def _slides(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) rows of the slides to which patches belong."""
        return np.searchsorted(self._starts, keys, side="right") - 1

    def _patches(self, bag: Bag, rows: NDArray[np.int64] | Tensor | None = None) -> Tensor:
        return bag.features(bag.mpps[-1], rows).to(self.device)


class _Known(nn.Module):
    """The model, and where the teacher's labels can't be had later, its attention logits of all patches."""

    scores: Tensor | None

    def __init__(self, model: MILModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("scores", None)


def _trained(part: nn.Module) -> list[nn.Parameter]:
    return [p for p in part.parameters() if p.requires_grad]


def _length(bags: BagSet, row: int) -> int:
    """Patches of a slide at its finest magnification."""
    counts: NDArray[np.int64] | None = getattr(bags, "counts", None)
    if counts is not None:
        return int(counts[row])
    bag = bags.bag(row)
    return len(bag) if isinstance(bag, ImageBag) else len(bag.features(bag.mpps[-1]))


def _ranking(targets: NDArray[np.int64], scores: list[float]) -> float:
    """ROC AUC; nan where a class is missing."""
    return roc_auc(np.asarray(targets > 0, np.float64)[:, None], np.asarray(scores, np.float64)[:, None], 0)


def _positive(logits: Tensor) -> float:
    return float(torch.softmax(logits.detach().double(), dim=-1)[1])


def _told(name: str, loss: Tensor) -> dict[str, float]:
    value = float(loss.detach())
    return {"loss": value, name: value}


RECIPE = RecipeSpec("weno", WENOSettings, WENORecipe, source=CODE)
