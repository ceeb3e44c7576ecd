"""The study of a fine-tuning: what it learns from, and the package to be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.inference.devices import choose_device
from napari_wsimil.packages.model import package_folder
from napari_wsimil.training.data.manifest import read_manifest
from napari_wsimil.training.fine_tuning.drawn import read_drawn, remarks
from napari_wsimil.training.fine_tuning.settings import FineTuningSettings
from napari_wsimil.training.fine_tuning.sides import fine_tuning_split
from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.runs.run_folder import STORE, RunFolder, sha256
from napari_wsimil.training.runs.sources import source_of
from napari_wsimil.training.runs.study import Study

if TYPE_CHECKING:
    from napari_wsimil.annotations import Annotations
    from napari_wsimil.packages import Model, ModelSpec
    from napari_wsimil.training.data.manifest import Case, Manifest
    from napari_wsimil.training.data.splits import Split
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan


@dataclass(frozen=True)
class Drawn:
    """What was drawn on the slides of both sides, and what a user should know of it."""

    train: tuple[Annotations | None, ...]
    validation: tuple[Annotations | None, ...]
    notices: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of all regions."""
        every = [one for one in (*self.train, *self.validation) if one is not None]
        return sha256(repr([[(region.name, region.parents, region.shape.wkb_hex) for region in one.regions] for one in every]))


@dataclass(frozen=True)
class Lesson:
    """What a network is tuned with, besides bags."""

    plan: FineTuningPlan
    settings: FineTuningSettings
    drawn: Drawn
    rehearsal: Manifest | None

    def provenance(self) -> dict[str, Any]:
        """Facts for the package."""
        base = self.plan.model
        drawn = [one for one in self.drawn.train if one is not None]
        return {
            "fine_tuned_from": {
                "id": base.id,
                "digest": base.digest,
                "source": base.source,
                "training": dict(base.spec.training),
            },
            "tune": self.settings.tune,
            "learn_from": self.settings.learn_from,
            "annotated_slides": len(drawn),
            "regions": dict(Counter(region.name for one in drawn for region in one.regions)),
        }

    def identity(self) -> dict[str, Any]:
        """What the result depends on besides slides and settings."""
        old = self.rehearsal
        rehearsed = None if old is None else sha256(repr([(str(case.path), case.label) for case in old.cases]))
        return {
            "model": self.plan.model.digest,
            "polygons": self.drawn.digest,
            "names": dict(self.plan.names),
            "rehearsal": rehearsed,
        }


def make_lesson(plan: FineTuningPlan) -> tuple[Study, Lesson]:
    """Check everything that can be checked before any work is done.

    Raises
    ------
    WsimilError
        Something does not fit; one sentence says what.
    """
    base, settings = plan.model, plan.chosen_settings()
    manifest = read_manifest(plan.manifest, classes=base.classes, labelled=False, features=plan.features or None)
    split, notices = fine_tuning_split(manifest, plan.validation, plan.test, settings.seed)
    lesson = Lesson(plan, settings, _drawn(plan, settings, split), _rehearsal(plan))
    source = source_of(base, manifest, store=plan.store or plan.out / STORE, device=plan.device)
    source = replace(source, notices=(*source.notices, *notices, *lesson.drawn.notices))
    study = Study(
        manifest=manifest,
        split=split,
        source=source,
        spec=_spec(plan, settings),
        recipe=RecipeSpec(base.spec.method, FineTuningSettings),
        settings=settings,
        folder=RunFolder(plan.out),
        device=choose_device(plan.device),
        bring=package_folder(base.source) / base.spec.encoder.name if base.spec.encoder.inside else None,
        extra=lesson.identity(),
        about={
            "command": plan.command,
            "manifest": {"path": str(plan.manifest.resolve()), "sha256": sha256(plan.manifest.read_text("utf-8", "replace"))},
            "device": str(choose_device(plan.device)),
            "notices": list(source.notices),
        },
    )
    return study, lesson


def _drawn(plan: FineTuningPlan, settings: FineTuningSettings, split: Split) -> Drawn:
    if not settings.from_polygons:
        return Drawn((None,) * len(split.train), (None,) * len(split.validation))
    if not any(case.annotation for case in split.train):
        raise TrainingError(
            f"{plan.manifest} names no polygons on slides to learn from; name their files in a column 'annotation', or learn "
            "from labels."
        )
    train, judged = (tuple(read_drawn(cases)) for cases in (split.train, split.validation))
    told = remarks([*train, *judged], plan.model.classes, plan.names, rest=bool(settings.rest))
    return Drawn(train, judged, told)


def _rehearsal(plan: FineTuningPlan) -> Manifest | None:
    """Old slides with labels, those for validation and test left out."""
    if plan.rehearsal is None:
        return None
    found = read_manifest(plan.rehearsal, classes=plan.model.classes, features=plan.features or None)
    kept: tuple[Case, ...] = tuple(case for case in found.cases if case.split in (None, "train"))
    if not kept:
        raise TrainingError(f"{found.path} has no slide to rehearse: all are for validation or test.")
    return replace(found, cases=kept)


def _spec(plan: FineTuningPlan, settings: FineTuningSettings) -> ModelSpec:
    """The package to be: as the base, but for its name and what training finds out."""
    base: Model = plan.model
    return base.spec.model_copy(
        update={
            "id": base.id if base.id.endswith("-tuned") else f"{base.id[:58]}-tuned",
            "title": (plan.title or f"{base.title.removesuffix(', fine-tuned')}, fine-tuned")[:200],
            "adapter": base.spec.adapter or settings.tune == "adapter",
            "calibration": None,
            "training": {},
            "metrics": {},
        }
    )
