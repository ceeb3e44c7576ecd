"""The five stages as one run that can be stopped at any step and goes on there.

Order: the fine patches, their teacher, what sees coarse patches, the coarse patches, their student. Each stage has a folder in
`stages` of the run, with a record of what it was made from; everything is begun anew for each run, so that no fold of a
cross-validation knows of another one's slides. Only training slides teach, only validation slides choose epochs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from napari_wsimil.encoders import storage
from napari_wsimil.files import written_whole
from napari_wsimil.mil import build_mil
from napari_wsimil.mil.methods.lrmil import LRMILParameters
from napari_wsimil.training.lrmil.context import (
    STAGES,
    Context,
    depends_on_slides,
    shared_settings,
    student_parameters,
    teacher_parameters,
)
from napari_wsimil.training.lrmil.fine import Eye, collect, look
from napari_wsimil.training.lrmil.learners import Learner, learner_of
from napari_wsimil.training.lrmil.records import StageRecord
from napari_wsimil.training.lrmil.student import StudentRecipe, keep_lessons, read_lesson
from napari_wsimil.training.pace import Pace
from napari_wsimil.training.recipe import BagRecipe
from napari_wsimil.training.runs.staged import StagedResult
from napari_wsimil.training.trainer import Trainer
from napari_wsimil.training.watching import telling

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from torch import nn

    from napari_wsimil.mil import MILModel
    from napari_wsimil.packages import ModelSpec
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.events import Event
    from napari_wsimil.training.recipe import Recipe
    from napari_wsimil.training.runs.staged import StagedTask

WEIGHTS = "weights.safetensors"


def lrmil_stages(task: StagedTask) -> Generator[Event, None, StagedResult]:
    """Train LRMIL from slides or features to a student that reads coarse patches only; see `RecipeSpec.stages`.

    `task.spec.mpps` are the coarse and the fine magnification. The student's package shows the coarse one only; the teacher is
    the result's other model.

    Raises
    ------
    TrainingError
        Slides, features or settings do not suit; a finished stage was made with others.
    """
    run = _Run(Context(task))
    yield from run.look_at_fine_patches()
    teacher = yield from run.train_teacher()
    learner = yield from run.distil()
    yield from run.look_at_coarse_patches(learner)
    student = yield from run.train_student(learner)
    return run.result(teacher, learner, student)


class _Run:
    """One run: what its stages share, and one method for each of them."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._before = ""
        self._records: dict[str, StageRecord] = {}
        self._pace = Pace()

    def look_at_fine_patches(self) -> Generator[Event, None, None]:
        """Stage 1: what the frozen encoder says of fine patches, and which lie in which coarse one."""
        yield from self._stage("1-fine-features", depends_on_slides(self._c), self._fine)

    def train_teacher(self) -> Generator[Event, None, MILModel]:
        """Stage 2: a teacher of the fine patches, its attention and its predictions for all slides of this run."""
        c = self._c
        parameters = teacher_parameters(c.task.spec.parameters)
        teacher = self._network(parameters, 2)
        depends = {"settings": shared_settings(c.settings), "parameters": parameters}
        yield from self._stage("2-teacher", depends, lambda record: self._teach(record, teacher))
        return self._restored(teacher, "2-teacher")

    def distil(self) -> Generator[Event, None, Learner]:
        """Stage 3: a copy of the encoder, or an adapter, learns to see in coarse patches what was seen in fine ones."""
        torch.manual_seed(10 * self._c.settings.seed + 3)
        learner = learner_of(self._c)
        depends = {"settings": learner.settings.model_dump(mode="json"), "form": self._c.settings.form}
        yield from self._stage("3-distillation", depends, lambda record: self._distil(record, learner))
        self._restored(learner.network, "3-distillation")
        return learner

    def look_at_coarse_patches(self, learner: Learner) -> Generator[Event, None, None]:
        """Stage 4: what the encoder made in stage 3 says of coarse patches; an adapter is part of the student instead."""

        def work(record: StageRecord) -> Generator[Event, None, dict[str, Any]]:
            for side in self._c.sides:
                for row, patches in learner.features(side, record.folder):
                    yield self._progress("4-coarse-features", side, row, patches)
            return {}

        yield from self._stage("4-coarse-features", {}, work)

    def train_student(self, learner: Learner) -> Generator[Event, None, MILModel]:
        """Stage 5: a student of the coarse patches, taught by labels and by the teacher."""
        c = self._c
        parameters = student_parameters(c.task.spec.parameters)
        student = learner.equip(self._network(parameters, 5))
        depends = {"settings": shared_settings(c.settings), "parameters": parameters}
        yield from self._stage("5-student", depends, lambda record: self._study(record, student, learner))
        return self._restored(student, "5-student")

    def result(self, teacher: MILModel, learner: Learner, student: MILModel) -> StagedResult:
        """What the package is made from."""
        spec = self._c.task.spec
        changed: dict[str, Any] = {"mpps": (self._c.mpps[0],), "encoder": learner.reference(), "adapter": learner.adapts}
        of_teacher: dict[str, Any] = {
            "id": f"{spec.id[:56]}-teacher",
            "title": f"{spec.title[:180]} (teacher)" if spec.title else "",
            "mpps": (self._c.mpps[1],),
            "parameters": teacher_parameters(spec.parameters),
        }
        notes = {name: {"digest": record.digest, **(record.results or {})} for name, record in self._records.items()}
        models: dict[str, tuple[MILModel, ModelSpec]] = {"teacher": (teacher, spec.model_copy(update=of_teacher))}
        return StagedResult(student, spec.model_copy(update=changed), learner.encoder, models, notes)

    def _stage(
        self,
        name: str,
        depends: Mapping[str, Any],
        work: Callable[[StageRecord], Generator[Event, None, dict[str, Any]]],
    ) -> Generator[Event, None, None]:
        """Do what is left of a stage, and write down when it is finished."""
        record = StageRecord(self._c.folder(name), {**depends, "before": self._before})
        number = list(STAGES).index(name) + 1
        yield self._c.tell(
            "stage",
            name,
            number=number,
            stages=len(STAGES),
            title=STAGES[name],
            titles=dict(STAGES),
            finished=record.results is not None,
        )
        self._pace = Pace()
        if record.results is None:
            record.finish((yield from work(record)))
        self._before, self._records[name] = record.digest, record

    def _fine(self, _: StageRecord) -> Generator[Event, None, dict[str, Any]]:
        c = self._c
        for side, bags in c.sides.items():
            if c.settings.form == "encoder":
                taps, spec = c.frozen_taps()
                rows = look(list(bags.names), c.pixels[side], c.fine(side), c.mpps, Eye(taps, spec, c.task.device))
            else:
                rows = collect(bags, c.fine(side), c.mpps)
            for row, patches in rows:
                yield self._progress("1-fine-features", side, row, patches)
        return {"patches": {side: c.count_patches(side) for side in c.sides}}

    def _teach(self, record: StageRecord, teacher: MILModel) -> Generator[Event, None, dict[str, Any]]:
        c = self._c
        train, validation = c.shown(c.mpps[1], c.fine_features)
        results = yield from self._train(record, BagRecipe(teacher, train, c.general), validation)
        for side, bags in zip(c.sides, (train, validation), strict=True):
            for row in keep_lessons(teacher, bags, c.taught(side), c.mpps[1]):
                yield self._progress("2-teacher", f"lessons of {side}", row)
        return results

    def _distil(self, record: StageRecord, learner: Learner) -> Generator[Event, None, dict[str, Any]]:
        recipe, validation = learner.recipe()
        results = yield from self._train(record, recipe, validation)
        learner.keep(results)
        return results

    def _study(self, record: StageRecord, student: MILModel, learner: Learner) -> Generator[Event, None, dict[str, Any]]:
        c = self._c
        gather = LRMILParameters(**c.task.spec.parameters).gather
        train, validation = c.shown(c.mpps[0], learner.reader)
        tables = c.fine("train"), c.taught("train")
        recipe = StudentRecipe(student, train, c.general, lambda row: read_lesson(row, *tables, gather))
        return (yield from self._train(record, recipe, validation))

    def _train(self, record: StageRecord, recipe: Recipe, validation: BagSet) -> Generator[Event, None, dict[str, Any]]:
        """Train in the folder of the stage, from where it was, and keep the weights."""
        name = record.folder.name
        watch = telling(self._c.task.watch, places=self._c.places)
        trainer = Trainer(recipe, validation, record.folder, identity=record.digest, stage=name, log=self._c.log, watch=watch)
        outcome = yield from trainer.run()
        _keep(recipe.model, record.folder / WEIGHTS)
        best = outcome.best if math.isfinite(outcome.best) else None
        return {"best": best, "best_epoch": outcome.best_epoch, "epochs": outcome.epochs}

    def _network(self, parameters: Mapping[str, Any], number: int) -> MILModel:
        """A new network, the same one for the same seed whatever was trained before."""
        spec = self._c.task.spec
        torch.manual_seed(10 * self._c.settings.seed + number)
        network = build_mil("lrmil", spec.encoder.dimension, len(spec.classes), parameters)
        return network.to(self._c.task.device)

    def _restored(self, network: nn.Module, name: str) -> Any:
        """The network as the stage left it."""
        path = self._c.folder(name) / WEIGHTS
        storage.fill(network, storage.read_weights(path), path)
        return network

    def _progress(self, name: str, side: str, row: int, patches: int = -1) -> Event:
        """A slide is done, or so many of its patches; slides for validation are counted after those to learn from."""
        sizes = {which: len(bags) for which, bags in self._c.sides.items()}
        done = row + (patches < 0) + (sizes["train"] if side.endswith("validation") else 0)
        total = sum(sizes.values())
        told: dict[str, Any] = {
            "what": f"{side} slides",
            "done": done,
            "total": total,
            "seconds_left": self._pace.left(done, total),
        }
        return self._c.tell("progress", name, **(told if patches < 0 else {**told, "patches": patches}))


def _keep(network: nn.Module, path: Path) -> None:
    with written_whole(path) as part:
        save_file(storage.weights_of(network, torch.float32), part)
