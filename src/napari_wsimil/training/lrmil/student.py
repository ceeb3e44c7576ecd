"""Stages 2 and 5: a teacher whose lessons are kept, and a student that follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch

from napari_wsimil.errors import TrainingError
from napari_wsimil.mil.adapted import Adapted, AdaptedBag
from napari_wsimil.mil.methods.lrmil import Lesson, lesson
from napari_wsimil.training.bag_sets import load_ahead
from napari_wsimil.training.recipe import BagRecipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags import Bag
    from napari_wsimil.mil import MILModel
    from napari_wsimil.mil.methods.lrmil import LRMIL
    from napari_wsimil.mil.output import Losses
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.lrmil.tables import SlideTables
    from napari_wsimil.training.settings import TrainingSettings


def keep_lessons(teacher: MILModel, bags: BagSet, tables: SlideTables, mpp: float) -> Iterator[int]:
    """Keep the teacher's attention, softmaxed over each slide, and its logits; yields each row when done."""
    teacher.eval()
    missing = [row for row in range(len(bags)) if not tables.has(row)]
    for row, bag in load_ahead(bags, missing):
        with torch.inference_mode():
            output = teacher(bag)
        attention = output.attention[mpp].float().cpu().numpy()
        tables.save(row, attention=attention, logits=output.logits.float().cpu().numpy())
        yield row


def read_lesson(row: int, fine: SlideTables, taught: SlideTables, gather: Literal["mean", "sum", "max"]) -> Lesson:
    """What the teacher tells of the coarse patches of a slide, gathered as the student's parameters say.

    Raises
    ------
    TrainingError
        The teacher saw other patches than those that lie in the coarse ones.
    """
    children = torch.from_numpy(fine.table(row, "children").copy())
    attention, logits = (torch.from_numpy(taught.table(row, name).copy()) for name in ("attention", "logits"))
    if int(children.max()) >= len(attention):
        raise TrainingError(
            f"The teacher saw {len(attention)} patches, but there are more in the coarse ones: the slide or its features "
            "changed since; delete the folder of the stages."
        )
    return lesson(logits, attention, children, gather)


class StudentRecipe(BagRecipe):
    """Learns from the slide's label, the teacher's prediction and the teacher's attention (methods of `LRMIL`).

    Parameters
    ----------
    model, bags, settings
        See `Recipe`; an adapter within the model stays as it is.
    lessons
        Row -> what the teacher says.
    """

    def __init__(self, model: MILModel, bags: BagSet, settings: TrainingSettings, lessons: Callable[[int], Lesson]) -> None:
        if isinstance(model, Adapted):
            model.adapter.requires_grad_(False)
        super().__init__(model, bags, settings)
        self._lessons = lessons

    def step(self, phase: str, batch: NDArray[np.int64], bags: Mapping[int, Bag]) -> dict[str, float]:
        """Mean of the losses over the slides of the batch."""
        self.model.train()
        told: dict[str, float] = {}
        for row in batch.tolist():
            taught = self._lessons(row)
            there = Lesson(*(getattr(taught, name).to(self.device) for name in ("logits", "attention", "present")))
            target = torch.tensor(int(self.bags.targets[row]), device=self.device)
            with self.autocast():
                losses = self._losses(bags[row], target, there)
            self.backward(losses.total / len(batch))
            for name, part in {"loss": losses.total, **losses.parts}.items():
                told[name] = told.get(name, 0.0) + float(part.detach()) / len(batch)
        self.change()
        return told

    def _losses(self, bag: Bag, target: Tensor, taught: Lesson) -> Losses:
        if isinstance(self.model, Adapted):
            bag, network = AdaptedBag(bag, self.model.adapter), self.model.network
        else:
            network = self.model
        return cast("LRMIL", network).distillation_losses(bag, target, taught, self._class_weights)
