"""What the stages of one run share: where things are, and what they are made from."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from napari_wsimil.encoders import load_network
from napari_wsimil.errors import TrainingError
from napari_wsimil.mil import build_mil
from napari_wsimil.mil.methods.lrmil import LRMILParameters
from napari_wsimil.training.bag_sets import KeptBags
from napari_wsimil.training.events import Event, EventLog
from napari_wsimil.training.lrmil.sets import OneMagnification
from napari_wsimil.training.lrmil.tables import SlideTables
from napari_wsimil.training.lrmil.taps import taps_of
from napari_wsimil.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from napari_wsimil.encoders import EncoderSpec
    from napari_wsimil.patches import PatchGrid
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.events import Kind
    from napari_wsimil.training.recipes.lrmil import LRMILSettings
    from napari_wsimil.training.runs.staged import StagedTask

STAGES = {
    "1-fine-features": "Features of the fine patches",
    "2-teacher": "Teacher of the fine patches",
    "3-distillation": "What sees coarse patches",
    "4-coarse-features": "Features of the coarse patches",
    "5-student": "Student of the coarse patches",
}
OF_STUDENT = frozenset(
    {"temperature", "attention_temperature", "slide_weight", "teacher_weight", "attention_weight"}
    | {"sure_weight", "sure", "gather", "student"}
)
"""Hyper-parameters of LRMIL that change nothing about the teacher."""


class Context:
    """One run: its slides, folders, settings and log.

    Raises
    ------
    TrainingError
        The task does not suit LRMIL; the sentence says in what.
    """

    def __init__(self, task: StagedTask) -> None:
        _check(task)
        self.task = task
        self.settings = cast("LRMILSettings", task.settings)
        self.mpps = (task.spec.mpps[0], task.spec.mpps[-1])
        self.sides: dict[str, BagSet] = {"train": task.train, "validation": task.validation}
        if self.settings.form == "adapter":
            self.sides = {side: bags if isinstance(bags, KeptBags) else KeptBags(bags) for side, bags in self.sides.items()}
        self.pixels = dict(zip(self.sides, task.pixels or (), strict=False))
        self.log = EventLog(task.folder / "events.jsonl")

    @property
    def general(self) -> TrainingSettings:
        """Settings of the teacher and of the student."""
        return TrainingSettings(**shared_settings(self.settings))

    @property
    def children_across(self) -> int:
        """Fine patches in each direction of a coarse one."""
        return round(self.mpps[0] / self.mpps[1])

    def folder(self, stage: str) -> Path:
        """Where a stage keeps what it makes."""
        return self.task.folder / "stages" / stage

    def fine(self, side: str) -> SlideTables:
        """Tables of stage 1."""
        return SlideTables(self.folder("1-fine-features") / side, "children")

    def taught(self, side: str) -> SlideTables:
        """Tables of stage 2."""
        return SlideTables(self.folder("2-teacher") / side, "logits")

    def fine_features(self, side: str) -> Callable[[int], Tensor]:
        """Row -> (N, D) features of the fine patches: kept by stage 1, or of the task's bags."""
        bags, tables = self.sides[side], self.fine(side)
        if self.settings.form == "adapter":
            return lambda row: bags.bag(row).features(self.mpps[1])
        return lambda row: torch.from_numpy(np.array(tables.table(row, "features")))

    def places(self, side: str, row: int, mpp: float) -> PatchGrid:
        """Patches of a slide, which the sets of the stages do not know."""
        return self.pixels[side].grids(row)[mpp] if self.settings.form == "encoder" else self.sides[side].bag(row).grid(mpp)

    def shown(self, mpp: float, read: Callable[[str], Callable[[int], Tensor]]) -> tuple[BagSet, BagSet]:
        """Training and validation slides at one magnification, kept in memory as far as there is room."""
        train, validation = (OneMagnification(bags, mpp, read(side)) for side, bags in self.sides.items())
        # the form "adapter" shows features that are kept already
        return (train, validation) if self.settings.form == "adapter" else (KeptBags(train), KeptBags(validation))

    def frozen_taps(self) -> tuple[nn.Module, EncoderSpec]:
        """The layers of the task's encoder as it came, on the device, and what it expects of pixels."""
        spec, network = load_network(self.task.spec.encoder.name)
        return taps_of(network, self.children_across).to(self.task.device).eval(), spec

    def count_patches(self, side: str) -> int:
        """Coarse patches of all slides."""
        return sum(len(self.fine(side).table(row, "children")) for row in range(len(self.sides[side])))

    def tell(self, kind: Kind, stage: str, **data: Any) -> Event:
        """An event, in the log too unless it is mere progress."""
        event = Event(kind, stage, 0, data)
        if kind != "progress":
            self.log.append(event)
        return event


def shared_settings(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that all recipes know, JSON-able."""
    return {name: value for name, value in settings.model_dump(mode="json").items() if name in TrainingSettings.model_fields}


def teacher_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters of the teacher, those of the student left at their defaults."""
    kept = {name: value for name, value in parameters.items() if name not in OF_STUDENT}
    return LRMILParameters(**kept, student=False).model_dump(mode="json")


def student_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All hyper-parameters of the student."""
    return LRMILParameters(**{**parameters, "student": True}).model_dump(mode="json")


def depends_on_slides(context: Context) -> dict[str, Any]:
    """What stage 1 is made from: slides or features, the encoder, how patches are cut."""
    task = context.task
    told: list[Any] = [task.identity]
    for side, bags in context.sides.items():
        told += [list(bags.names), bags.targets.tolist()]
        if context.settings.form == "encoder":
            told += [context.pixels[side].fingerprint(row) for row in range(len(bags))]
    return {
        "form": context.settings.form,
        "mpps": list(context.mpps),
        "patches": [spec.digest for spec in task.spec.patch_specs()],
        "encoder": f"{task.spec.encoder.id} {task.spec.encoder.digest}",
        "slides": hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16],
    }


def _check(task: StagedTask) -> None:
    spec, settings = task.spec, cast("LRMILSettings", task.settings)
    build_mil("lrmil", 1, len(spec.classes), spec.parameters)  # says what is wrong with a hyper-parameter
    if len(spec.mpps) < 2:
        raise TrainingError(
            "LRMIL needs two magnifications, a coarse one for the student and a fine one for the teacher; give for example 2 "
            "and 0.5 µm per pixel."
        )
    if settings.form == "encoder" and task.pixels is None:
        raise TrainingError(
            'LRMIL in the form "encoder" needs slides, since the encoder learns from their pixels, but there are features '
            'only; choose the form "adapter", or give slides.'
        )
    if settings.form == "encoder" and spec.stride != spec.patch_size:
        raise TrainingError(
            f"LRMIL needs fine patches that fill the coarse ones, but they are {spec.stride} px apart with a side of "
            f"{spec.patch_size} px; give both the same."
        )
    if not settings.final_weight and (settings.form == "adapter" or not settings.layer_weight):
        raise TrainingError("With these weights nothing learns to see coarse patches; give final_weight a value above 0.")
    if spec.parameters.get("sure_weight") and not spec.parameters.get("projection"):
        raise TrainingError(
            "With sure_weight LRMIL needs a projection, such as 512: without one the surest patches teach nothing that "
            "predicts."
        )
