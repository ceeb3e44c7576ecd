"""The study of a fine-tuning: what it learns from, and the package to be."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.inference.devices import choose_device
from napari_wsimil.packages.model import package_folder
from napari_wsimil.training.fine_tuning.drawn import read_drawn, remarks
from napari_wsimil.training.fine_tuning.gathering import gather
from napari_wsimil.training.fine_tuning.settings import FineTuningSettings
from napari_wsimil.training.recipe import RecipeSpec
from napari_wsimil.training.runs.run_folder import STORE, RunFolder, sha256
from napari_wsimil.training.runs.sources import source_of
from napari_wsimil.training.runs.study import Study

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.annotations import Annotations
    from napari_wsimil.packages import Model, ModelSpec
    from napari_wsimil.training.fine_tuning.gathering import Gathered
    from napari_wsimil.training.fine_tuning.old_slides import OldSlides
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
    from napari_wsimil.training.runs.sources import Source


@dataclass(frozen=True)
class Drawn:
    """What was drawn on the slides of both sides and on old ones, set by set, and what a user should know of it."""

    train: tuple[Annotations | None, ...]
    validation: tuple[Annotations | None, ...]
    notices: tuple[str, ...] = ()
    old: tuple[tuple[Annotations | None, ...], ...] = ()

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
    gathered: Gathered

    def source_of(self, old: OldSlides) -> Source:
        """What makes bags of old slides: their run's store, or that of this one."""
        store = old.store or self.plan.store or self.plan.out / STORE
        return source_of(self.plan.model, old.manifest, store=store, device=self.plan.device)

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
        old = [(str(case.path), case.label) for part in self.gathered.rehearsal for case in part.cases]
        rehearsed = sha256(repr(old)) if old else None
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
    gathered = gather(plan, settings)
    lesson = Lesson(plan, settings, _drawn(plan, settings, gathered), gathered)
    source = source_of(base, gathered.new, store=plan.store or plan.out / STORE, device=plan.device)
    notices = (*source.notices, *gathered.notices, *lesson.drawn.notices)
    study = Study(
        manifest=gathered.manifest,
        split=gathered.split,
        source=replace(source, notices=notices),
        spec=_spec(plan, settings),
        recipe=RecipeSpec(base.spec.method, FineTuningSettings),
        settings=settings,
        folder=RunFolder(plan.out),
        device=choose_device(plan.device),
        bring=package_folder(base.source) / base.spec.encoder.name if base.spec.encoder.inside else None,
        extra=lesson.identity(),
        about=_about(plan, source.store, notices),
        calibration=base.spec.calibration,
        sources={"validation": lesson.source_of(gathered.judges)} if gathered.judges is not None else {},
    )
    return study, lesson


def _about(plan: FineTuningPlan, store: Path | None, notices: tuple[str, ...]) -> dict[str, Any]:
    """What is kept in `settings.json` of the run, for people and for the next correction of its model."""
    others = {"store": store, "rehearsal": plan.rehearsal, "judges": plan.judges}
    return {
        "command": plan.command,
        "manifest": {"path": str(plan.manifest.resolve()), "sha256": sha256(plan.manifest.read_text("utf-8", "replace"))},
        "device": str(choose_device(plan.device)),
        "notices": list(notices),
        **{name: str(path.resolve()) for name, path in others.items() if path is not None},
    }


def _drawn(plan: FineTuningPlan, settings: FineTuningSettings, gathered: Gathered) -> Drawn:
    split = gathered.split
    if not settings.from_polygons:
        return Drawn((None,) * len(split.train), (None,) * len(split.validation))
    if not any(case.annotation for case in split.train):
        raise TrainingError(
            f"{plan.manifest} names no polygons on slides to learn from; name their files in a column 'annotation', or learn "
            "from labels."
        )
    train = tuple(read_drawn(split.train))
    judged = (None,) * len(split.validation) if gathered.judges is not None else tuple(read_drawn(split.validation))
    told = remarks([*train, *judged], plan.model.classes, plan.names, rest=bool(settings.rest))
    old = tuple(tuple(read_drawn(part.cases)) for part in gathered.rehearsal)
    return Drawn(train, judged, told, old)


def _spec(plan: FineTuningPlan, settings: FineTuningSettings) -> ModelSpec:
    """The package to be: as the base, but for its name and what training finds out."""
    base: Model = plan.model
    return base.spec.model_copy(
        update={
            "id": tuned_id(base.id),
            "title": (plan.title or f"{base.title.removesuffix(', fine-tuned')}, fine-tuned")[:200],
            "adapter": base.spec.adapter or settings.tune == "adapter",
            "calibration": None,
            "training": {},
            "metrics": {},
        }
    )


def tuned_id(base: str) -> str:
    """The id of what comes of a model: "x-tuned", and of that "x-tuned-2", so that both can be told apart side by side."""
    known = re.fullmatch(r"(.*)-tuned(?:-(\d+))?", base)
    if known is None:
        return f"{base[:58]}-tuned"
    return f"{known[1][:50]}-tuned-{int(known[2] or 1) + 1}"
