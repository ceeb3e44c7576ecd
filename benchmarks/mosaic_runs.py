"""The training runs of the mosaic benchmark: which there are, and how one is done and judged.

Every run goes through `training`: a method's recipe, `Trainer` (LRMIL: its stages), the epoch chosen by the loss on the
validation slides, the test slides scored once when the run is finished. A finished run is one JSON file; a run that was stopped
goes on.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mosaic_slides import PARTS, read_truth
from mosaic_sources import KINDS
from sklearn.metrics import roc_auc_score

from napari_wsimil.encoders import load_encoder
from napari_wsimil.files import written_whole
from napari_wsimil.mil import build_mil
from napari_wsimil.packages import EncoderReference, ModelSpec
from napari_wsimil.patches import PatchSpec
from napari_wsimil.training.bag_sets import MemoryBags, SlideBags
from napari_wsimil.training.data.manifest import Case
from napari_wsimil.training.evaluation.metrics import measure
from napari_wsimil.training.evaluation.scoring import score
from napari_wsimil.training.recipes import RECIPES
from napari_wsimil.training.runs.staged import StagedTask
from napari_wsimil.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.bags import Bag
    from napari_wsimil.mil import MILModel, MILOutput
    from napari_wsimil.patches import PatchGrid
    from napari_wsimil.training.settings import TrainingSettings

CLASSES = "no tumour", "tumour"
FINE, COARSE = 2.0, 8.0
MPPS = 16.0, 8.0, 4.0, 2.0
SIDE = 112
"""Pixels of a patch: at the finest magnification one tile of crc5."""
WIDE = {"hidden": 128, "attention": 64}
"""Half of the features' length, as 512 is of the papers' 1024."""


@dataclass(frozen=True)
class Run:
    """One way to train: `parameters` and `settings` are what differs from the method's and the recipe's defaults."""

    name: str
    title: str
    method: str
    mpps: tuple[float, ...] = (FINE,)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def all_runs(zoom: tuple[float, ...] = MPPS, selected: int = 6) -> list[Run]:
    """Every run of the benchmark, the most wanted first."""
    transmil = {"hidden": 128, "landmarks": 64}
    zooming = {**WIDE, "magnifications": len(zoom), "selected": selected}
    of_lrmil = {"attention": 64, "gated": True}
    nothing = {"anchors": 0, "correction": False, "mask_ratio": 0.0}
    return [
        Run("abmil", "ABMIL", "abmil", parameters=WIDE),
        Run("zoommil", "ZoomMIL", "zoommil", zoom, zooming),
        Run("lrmil-coarse", "coarse patches, no teacher", "lrmil", (COARSE,), {**of_lrmil, "student": False}),
        Run("abmil-coarse", "ABMIL on coarse patches", "abmil", (COARSE,), WIDE),
        Run("lrmil", "LRMIL's student", "lrmil", (COARSE, FINE), of_lrmil, {"form": "adapter"}),
        Run("ainet-abmil", "AINet + ABMIL", "ainet", parameters={"aggregator": "abmil"}),
        Run("transmil", "TransMIL", "transmil", parameters=transmil),
        Run("ainet-transmil", "AINet + TransMIL", "ainet", parameters={"aggregator": "transmil"}),
        Run("ilra", "ILRA", "ilra", parameters={"hidden": 128}),
        Run("ainet-ilra", "AINet + ILRA", "ainet", parameters={"aggregator": "ilra"}),
        Run("clam", "CLAM", "clam", parameters=WIDE),
        Run("dsmil", "DSMIL", "dsmil"),
        Run("zoom-random", "random choice", "zoommil", zoom, {**zooming, "choice": "random"}),
        Run("zoom-top", "plain top-K", "zoommil", zoom, {**zooming, "choice": "top", "dual": False}),
        Run("zoom-single", "DiffTopK, one attention", "zoommil", zoom, {**zooming, "dual": False}),
        Run("ainet", "AINet: DAM and ARC", "ainet"),
        Run("ainet-none", "neither DAM nor ARC", "ainet", parameters=nothing),
        Run("ainet-dam", "DAM alone", "ainet", parameters={"correction": False, "mask_ratio": 0.0}),
        Run("ainet-arc", "ARC alone (no anchors)", "ainet", parameters={"anchors": 0}),
        Run("ainet-mha", "DAM and ARC without the next region", "ainet", parameters={"neighbour": False}),
    ]


# -- features -------------------------------------------------------------------------------------------------------------


def patch_specs() -> list[PatchSpec]:
    """How patches are cut, at every magnification."""
    return [PatchSpec(mpp=mpp, size=SIDE, stride=SIDE) for mpp in MPPS]


class Mosaics:
    """Features of all slides at all magnifications, in memory; computed and stored by `SlideBags` where they are missing."""

    def __init__(self, work: Path, names: Mapping[str, Sequence[str]], encoder_folder: Path) -> None:
        self.work, self.encoder_folder, self.encoder = work, encoder_folder, load_encoder(encoder_folder)
        self.names = {part: tuple(names[part]) for part in PARTS}
        self.truths = {name: read_truth(work, name) for part in PARTS for name in self.names[part]}
        self.targets = {part: np.array([self.truths[name].positive for name in self.names[part]], np.int64) for part in PARTS}
        self._bags = {part: self._read(part) for part in PARTS}

    def _read(self, part: str) -> list[Bag]:
        names = self.names[part]
        cases = [Case(name, self.work / "slides" / f"{name}.tif", None, name, part, None, None) for name in names]
        source = SlideBags(
            cases, self.targets[part].tolist(), self.encoder, patch_specs(), store=self.work / "features", device="cpu"
        )
        bags: list[Bag] = []
        started = time.perf_counter()
        for row in range(len(source)):
            bags.append(source.bag(row))
            if row % 10 == 9:
                print(f"features of {part}: {row + 1} of {len(source)}, {time.perf_counter() - started:.0f} s", flush=True)
        return bags

    def bags(self, part: str, mpps: Sequence[float]) -> MemoryBags:
        """The slides of a part at some magnifications."""
        shown = [Shown(bag, mpps) for bag in self._bags[part]]
        return MemoryBags(shown, self.targets[part], names=self.names[part])


class Shown:
    """A bag at some of its magnifications, which counts the patches whose features were asked for."""

    def __init__(self, bag: Bag, mpps: Sequence[float]) -> None:
        self._bag, self.mpps, self.asked = bag, tuple(sorted(mpps, reverse=True)), 0
        self._children: dict[tuple[float, float], NDArray[np.int64]] = {}

    def grid(self, mpp: float) -> PatchGrid:
        return self._bag.grid(mpp)

    def features(self, mpp: float, rows: NDArray[np.int64] | torch.Tensor | None = None) -> torch.Tensor:
        found = self._bag.features(mpp, rows)
        self.asked += len(found)
        return found

    def children(self, mpp: float, finer: float, rows: NDArray[np.int64] | torch.Tensor | None = None) -> NDArray[np.int64]:
        key = mpp, finer
        if key not in self._children:
            self._children[key] = self._bag.children(mpp, finer)
        table = self._children[key]
        return table if rows is None else table[np.asarray(rows)]


# -- one run --------------------------------------------------------------------------------------------------------------


def settings_of(run: Run, common: Mapping[str, Any], seed: int) -> TrainingSettings:
    """The recipe's own settings, with what all runs of this benchmark share."""
    return RECIPES[run.method].settings(**{**common, **run.settings, "seed": seed})


def do(run: Run, seed: int, mosaics: Mosaics, common: Mapping[str, Any], *, test: bool = True) -> dict[str, Any]:
    """Train, then judge; gives what the finished run's file holds."""
    name = f"{run.name}-{seed}"
    path = mosaics.work / "runs" / f"{name}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = settings_of(run, common, seed)
    started = time.process_time()
    if run.name == "lrmil":
        models = _staged(run, mosaics, settings, path.with_suffix(""))
    else:
        models = {"": _plain(run, mosaics, settings, path.with_suffix(""))}
    told: dict[str, Any] = {"run": asdict(run), "seed": seed, "settings": settings.model_dump(mode="json")}
    told["seconds"] = time.process_time() - started
    for key, (model, mpps, best_epoch) in models.items():
        answer = {"best_epoch": best_epoch, "validation": judged(model, mosaics, "validation", mpps)}
        if test:
            answer["test"] = judged(model, mosaics, "test", mpps)
        told |= answer if not key else {key: answer}
    if test:
        with written_whole(path) as target:
            target.write_text(json.dumps(told) + "\n")
    return told


Trained = tuple["MILModel", tuple[float, ...], int]


def _plain(run: Run, mosaics: Mosaics, settings: TrainingSettings, folder: Path) -> Trained:
    torch.manual_seed(settings.seed)
    model = build_mil(run.method, mosaics.encoder.dimension, len(CLASSES), run.parameters)
    train, validation = (mosaics.bags(part, run.mpps) for part in ("train", "validation"))
    spec = RECIPES[run.method]
    # a student's recipe is in stages; without a teacher it learns from labels alone, as ABMIL does
    recipe = (RECIPES["abmil"] if spec.stages else spec).make(model, train, settings)
    identity = json.dumps([asdict(run), settings.model_dump(mode="json"), mosaics.encoder.digest], sort_keys=True)
    outcome = _through(Trainer(recipe, validation, folder, identity=identity).run())
    return model, run.mpps, outcome.best_epoch


def _staged(run: Run, mosaics: Mosaics, settings: TrainingSettings, folder: Path) -> dict[str, Trained]:
    """LRMIL: the student, and the teacher beside it."""
    where = str(mosaics.encoder_folder)
    spec = ModelSpec(
        id="mosaic-lrmil",
        method="lrmil",
        parameters=dict(run.parameters),
        classes=CLASSES,
        positive_class=CLASSES[1],
        encoder=EncoderReference.to(mosaics.encoder, where),
        mpps=run.mpps,
        patch_size=SIDE,
        stride=SIDE,
    )
    train, validation = (mosaics.bags(part, run.mpps) for part in ("train", "validation"))
    stages = RECIPES["lrmil"].stages
    assert stages is not None
    result = _through(stages(StagedTask(train, validation, settings, spec, folder, identity=mosaics.encoder.digest)))
    teacher = result.models["teacher"][0]
    notes = result.notes
    return {
        "": (result.model, (run.mpps[0],), notes["5-student"]["best_epoch"]),
        "teacher": (teacher, (run.mpps[-1],), notes["2-teacher"]["best_epoch"]),
    }


def _through(events: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def judged(model: MILModel, mosaics: Mosaics, part: str, mpps: tuple[float, ...]) -> dict[str, Any]:
    """Figures of a part, patches asked for, and how well attention finds AC where there is any."""
    bags = mosaics.bags(part, mpps)
    found: list[float] = []
    looked: list[tuple[float, float]] = []

    def on_bag(row: int, output: MILOutput) -> None:
        truth = mosaics.truths[bags.names[row]]
        if not truth.positive or FINE not in output.attention:
            return
        labels = truth.labels(bags.bag(row).grid(FINE).xy)
        rows = output.rows.get(FINE)
        if rows is not None:
            looked.append((float(labels[rows.numpy()].mean()), float(labels.mean())))
        elif 0 < labels.sum() < len(labels):
            found.append(float(roc_auc_score(labels, output.attention[FINE].double().numpy())))

    scores = score(model, bags, CLASSES, on_bag)
    asked = [bags.bag(row).asked for row in range(len(bags))]  # type: ignore[attr-defined]
    told = measure(scores, positive=CLASSES[1], draws=200 if part == "test" else 0)
    return {
        "figures": told["figures"],
        "probabilities": scores.probabilities[:, 1].round(5).tolist(),
        "patches": float(np.mean(asked)),
        "attention_auc": float(np.mean(found)) if found else None,
        "seen_ac": [float(np.mean(column)) for column in zip(*looked, strict=True)] if looked else None,
    }


def truth_table(mosaics: Mosaics) -> dict[str, Any]:
    """What the slides of each part are: counts, tissue cells, AC share of positive ones, patches at each mpp."""
    table = {}
    for part in PARTS:
        kinds = [mosaics.truths[name].kinds for name in mosaics.names[part]]
        shares = [float((k == KINDS.index("AC")).sum() / (k >= 0).sum()) for k in kinds]
        positive = [share for share in shares if share > 0]
        bags = mosaics.bags(part, MPPS)
        counts = {f"{mpp:g}": float(np.mean([len(bags.bag(r).grid(mpp)) for r in range(len(bags))])) for mpp in MPPS}
        table[part] = {
            "slides": len(kinds),
            "positive": len(positive),
            "cells": float(np.mean([(k >= 0).sum() for k in kinds])),
            "shares": [min(positive), float(np.median(positive)), max(positive)] if positive else None,
            "patches": counts,
        }
    return table
