"""One study: what a run learns from, how, and in which folder."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_wsimil.errors import TrainingError
from napari_wsimil.inference.devices import choose_device
from napari_wsimil.mil import METHODS
from napari_wsimil.packages import ModelSpec
from napari_wsimil.training.bag_sets import NoBags
from napari_wsimil.training.runs.image_folders import content_of, with_parameters
from napari_wsimil.training.runs.run_folder import RunFolder, manifest_text, sha256
from napari_wsimil.training.runs.sources import find_source
from napari_wsimil.training.watching import telling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from napari_wsimil.packages import Calibration
    from napari_wsimil.training.data.manifest import Case, Manifest
    from napari_wsimil.training.data.splits import Split
    from napari_wsimil.training.recipe import RecipeSpec
    from napari_wsimil.training.runs.plan import TrainingPlan
    from napari_wsimil.training.runs.sources import Bags, Source
    from napari_wsimil.training.settings import TrainingSettings
    from napari_wsimil.training.watching import Watch


@dataclass(frozen=True)
class Study:
    """What one run needs.

    Attributes
    ----------
    manifest, split
        The slides, and which of them teach, choose the epoch, and are tested on once.
    source
        Makes bags of them.
    spec
        The package to be: everything but calibration and figures.
    recipe, settings
        How the method is trained.
    folder
        Of the run.
    device
        Where to compute.
    bring
        Folder of an encoder that the package takes along; None: it has a name that works anywhere, or is not here.
    extra
        What else the result depends on, JSON-able.
    about
        What else is worth keeping in `settings.json`.
    watch
        Looks at the network after each epoch, or None.
    sources
        Side ("train", "validation", "test") -> what makes bags of its slides where it is not `source`.
    calibration
        What is kept where validation slides say nothing of calibration, or None.
    """

    manifest: Manifest
    split: Split
    source: Source
    spec: ModelSpec
    recipe: RecipeSpec
    settings: TrainingSettings
    folder: RunFolder
    device: torch.device
    bring: Path | str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    calibration: Calibration | None = None
    watch: Watch | None = field(default=None, compare=False)

    def bags(self, side: str, source: Source | None = None) -> Bags | NoBags:
        """Open the bags of one side, "train", "validation" or "test", by its source unless another is given."""
        cases = getattr(self.split, side)
        return (source or self.sources.get(side, self.source)).bags(self.manifest, cases) if cases else NoBags()

    @property
    def told_watch(self) -> Watch | None:
        """`watch`, told what the network becomes and which slides there are."""
        return telling(self.watch, spec=self.spec, cases={case.name: case for case in self.cases})

    @property
    def cases(self) -> tuple[Case, ...]:
        """All slides of the run."""
        return self.split.train + self.split.validation + self.split.test

    @property
    def manifest_text(self) -> str:
        """`manifest.csv` of the run."""
        return manifest_text(self.manifest, self.split)

    def identity(self) -> dict[str, Any]:
        """Whatever the result depends on: a run may only be gone on with where this is the same."""
        spec = self.spec
        features = {case.name: [_size(path) for path in case.files or (case.path,)] for case in self.cases}
        return {
            "method": spec.method,
            "hyper-parameters": spec.parameters,
            "settings": self.settings.model_dump(),
            "classes": list(spec.classes),
            "positive class": spec.positive_class,
            "encoder": spec.encoder.model_dump(exclude={"name"}),
            "patches": [asdict(patch) for patch in self.source.specs],
            "slides": sha256(self.manifest_text),
            "sizes of the files": sha256(repr(sorted(features.items()))),
            **self.extra,
        }


def make_study(plan: TrainingPlan, manifest: Manifest, split: Split, folder: Path) -> Study:
    """Check everything that can be checked before any work is done.

    Raises
    ------
    WsimilError
        Something does not fit; one sentence says what.
    """
    recipe, method = plan.recipe, METHODS[plan.method]
    check_classes(plan, manifest, split)
    source = find_source(plan, manifest, (1, None) if recipe.stages else method.magnifications)
    parameters = plan.chosen_parameters()
    if method.magnifications[1] is None and "magnifications" in parameters:
        parameters["magnifications"] = _magnifications(plan, len(source.specs))
    if source.learns:
        parameters = with_parameters(plan, parameters)
    return Study(
        manifest=manifest,
        split=split,
        source=source,
        spec=_spec(plan, source, manifest, parameters),
        recipe=recipe,
        settings=plan.chosen_settings(),
        folder=RunFolder(folder),
        device=choose_device(plan.device),
        bring=source.reference.name if source.reference.name not in ("", "bundled") else None,
        extra={"images": content_of(split.train + split.validation + split.test)} if source.images else {},
        about={
            "command": plan.command,
            "manifest": {"path": str(plan.manifest.resolve()), "sha256": sha256(plan.manifest.read_text("utf-8", "replace"))},
            "device": str(choose_device(plan.device)),
            "notices": list(source.notices),
            **({"store": str(source.store.resolve())} if source.store else {}),
        },
    )


def check_classes(plan: TrainingPlan, manifest: Manifest, split: Split) -> None:
    """Refuse classes and splits that nothing can be learned from; raises `TrainingError`."""
    if plan.positive_class is not None and plan.positive_class not in manifest.classes:
        raise TrainingError(
            f"The positive class {plan.positive_class!r} is none of the classes; choose from {', '.join(manifest.classes)}."
        )
    if not split.validation:
        raise TrainingError(
            f"{plan.manifest} leaves no slides for validation, by which the best epoch is chosen; give some, or a share."
        )
    for name in manifest.classes:
        if not any(case.label == name for case in split.train):
            raise TrainingError(
                f"{plan.manifest} has no slide of class {name!r} to train on; add some, or leave the class out."
            )


def _magnifications(plan: TrainingPlan, there: int) -> int:
    wanted = plan.parameters.get("magnifications", there)
    if wanted != there:
        raise TrainingError(
            f"{plan.method} is to look at {wanted} magnifications, but {there} are there; give one mpp for each."
        )
    return there


def _spec(plan: TrainingPlan, source: Source, manifest: Manifest, parameters: Mapping[str, Any]) -> ModelSpec:
    classes, patch = manifest.classes, source.specs[-1]
    name = re.sub(r"[^a-z0-9._-]+", "-", f"{plan.manifest.stem}-{plan.method}".lower()).strip("-._")[:64]
    try:
        return ModelSpec(
            id=name or plan.method,
            title=plan.title or f"{METHODS[plan.method].title}: {', '.join(classes)}"[:200],
            method=plan.method,
            parameters=dict(parameters),
            classes=classes,
            positive_class=plan.positive_class or (classes[1] if len(classes) == 2 else None),
            encoder=source.reference,
            mpps=source.mpps,
            patch_size=patch.size,
            stride=patch.stride,
            tissue_method=patch.tissue_method,
            min_tissue=patch.min_tissue,
            resampling=patch.resampling,
            colour=patch.colour,
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TrainingError(f"No model can be made of {plan.manifest}: {where} {first['msg']}.") from error


def _size(path: Path) -> int:
    """Bytes of a file; 0 for a slide that is a folder."""
    return path.stat().st_size if path.is_file() else 0
