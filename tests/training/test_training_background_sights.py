"""What is kept of a network while it learns: its answers, and what it sees on the slide that somebody watches."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

import napari_wsimil as ws
from feature_layouts import trident
from napari_wsimil.bags import FeatureBag
from napari_wsimil.bags.images import ImageBag
from napari_wsimil.packages import load_model
from napari_wsimil.training.background import keeping
from napari_wsimil.training.background.folder import BackgroundFolder
from napari_wsimil.training.background.keeping import Keeper
from napari_wsimil.training.bag_sets import MemoryBags
from napari_wsimil.training.evaluation.scoring import Scores
from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
from napari_wsimil.training.fine_tuning.run import fine_tune_steps
from napari_wsimil.training.recipe import Recipe
from napari_wsimil.training.runs.plan import TrainingPlan
from napari_wsimil.training.runs.run import train_steps
from napari_wsimil.training.watching import Glance

SIDES = ("train", "train", "train", "train", "validation", "validation")


def write_manifest(path, rows, heads=("slide", "name", "label", "split")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([heads, *rows])
    return path


@pytest.fixture(scope="module")
def slides(tmp_path_factory, write_slide):
    """A manifest with six small slides."""
    folder = tmp_path_factory.mktemp("slides")
    rows = []
    for number, side in enumerate(SIDES):
        path = write_slide(folder / f"s{number}.tiff", width=1536 + 256 * (number % 2))
        rows.append([path.name, f"slide {number}", ["normal", "tumour"][number % 2], side])
    return write_manifest(folder / "manifest.csv", rows)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def looked(steps, until="evaluation"):
    """Run until the package is there: figures and plots are not looked at here."""
    with closing(steps):
        for event in steps:
            if event.stage == until:
                return


def keeper_of(out, slide):
    files = BackgroundFolder(out)
    files.make()
    return files, Keeper(files, slide)


def sight_of(out):
    files = BackgroundFolder(out)
    told = json.loads((files.path / "sight.json").read_text())
    path = files.path / "sight.prediction.h5"
    return told, ws.load_prediction(path) if path.is_file() else None


METHODS = {
    "abmil": ((0.5,), {"hidden": 8, "attention": 4}, {}),
    "ainet": ((0.5,), {}, {}),
    "zoommil": ((1.0, 0.5), {}, {}),
    "weno": ((0.5,), {}, {}),
    "lrmil": ((1.0, 0.5), {}, {"form": "adapter", "patch_epochs": 1}),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_sight_is_what_the_finished_model_predicts(slides, store, random_encoder, tmp_path, method, monkeypatch):
    mpps, parameters, settings = METHODS[method]
    plan = TrainingPlan(
        slides,
        method,
        tmp_path / "run",
        encoder=random_encoder[1],
        mpps=mpps,
        store=store,
        parameters=parameters,
        settings={**settings, "epochs": 1},
        test=0.0,
        device="cpu",
    )
    files, keeper = keeper_of(plan.out, "slide 4")
    judged = []
    judge = Recipe.judge
    monkeypatch.setattr(Recipe, "judge", lambda self, bags: judged.append(1) or judge(self, bags))
    looked(train_steps(plan, watch=keeper))
    assert len(judged) == (2 if method == "lrmil" else 1), "looking judges nothing a second time"
    told, seen = sight_of(plan.out)
    stage = "5-student" if method == "lrmil" else "train"
    assert told == {"stage": stage, "epoch": 0, "slide": "slide 4", "missing": ""}
    path = slides.parent / "s4.tiff"
    model = load_model(plan.out / "model")
    found = ws.predict(path, model, device="cpu", store=store)
    assert dict(seen.probabilities) == pytest.approx(dict(found.probabilities), abs=1e-4)
    for name in ("attention", "class_attention", "instances", "regions"):
        here, there = getattr(seen, name), getattr(found, name)
        assert here.keys() == there.keys(), name
        for mpp, table in there.items():
            assert np.array_equal(here[mpp].xy, table.xy)
            assert here[mpp].values == pytest.approx(table.values, abs=1e-4)
    assert (seen.anchors is None, seen.zoom is None) == (found.anchors is None, found.zoom is None)
    if found.anchors is not None:
        assert np.array_equal(seen.anchors.xy, found.anchors.xy)
    for mpp, chosen in (found.zoom or {}).items():
        assert np.array_equal(seen.zoom[mpp].xy, chosen.xy)
    for name in ("slide", "patches"):
        here, there = seen.provenance[name], found.provenance[name]
        assert {key: here[key] for key in here if key != "options"} == {key: there[key] for key in here if key != "options"}
    assert seen.provenance["model"]["positive_class"] == "tumour"
    scores = files.read("validation.json", keeping.KeptScores)
    assert (scores.stage, scores.names, scores.classes) == (stage, ("slide 4", "slide 5"), ("normal", "tumour"))


def test_before_a_fine_tuning_the_network_is_looked_at_too(slides, store, random_model, tmp_path):
    plan = FineTuningPlan(
        random_model, slides, tmp_path / "run", settings={"epochs": 2, "learning_rate": 1e-2}, store=store, device="cpu"
    )
    keeper = keeper_of(plan.out, "slide 0")[1]
    seen = []

    def watch(glance):
        keeper(replace(glance, last=True))
        seen.append((glance.epoch, sight_of(plan.out)[1].attention[0.5].values))

    looked(fine_tune_steps(plan, watch=watch))
    assert [epoch for epoch, _ in seen] == [-1, 0, 1]
    before = ws.predict(slides.parent / "s0.tiff", random_model, device="cpu", store=store)
    assert seen[0][1] == pytest.approx(before.attention[0.5].values, abs=1e-5)
    assert not np.allclose(seen[0][1], seen[2][1], atol=1e-5)
    looked(fine_tune_steps(replace(plan, out=tmp_path / "other")))
    weights = [(tmp_path / name / "model" / "weights.safetensors").read_bytes() for name in ("run", "other")]
    assert weights[0] == weights[1], "watching changes nothing"


def test_features_tell_where_they_lie_or_what_is_missing(tmp_path, tiny_slide):
    random = np.random.default_rng(0)
    rows, named = [], []
    xy = np.array([(256 * column, 256 * row) for column in range(1, 4) for row in range(1, 3)], np.int64)
    for number, side in enumerate(SIDES):
        features = random.normal(size=(len(xy), 8)).astype(np.float32)
        trident(tmp_path / "h5" / f"s{number}.h5", features, xy, patch_size_level0=256.0, level0_magnification=20)
        rows.append([f"h5/s{number}.h5", f"s{number}", "ab"[number % 2], side])
        named.append([tiny_slide if number == 4 else f"s{number}.svs", f"s{number}", "ab"[number % 2], side])
    plan = TrainingPlan(
        write_manifest(tmp_path / "files.csv", rows), "abmil", tmp_path / "one", settings={"epochs": 1}, device="cpu", test=0.0
    )
    keeper = keeper_of(plan.out, "s4")[1]
    looked(train_steps(plan, watch=keeper))
    told, seen = sight_of(plan.out)
    assert "not the slide; open the slide" in told["missing"]
    assert "slide" not in seen.provenance
    assert np.array_equal(seen.attention[0.5].xy, xy[np.lexsort((xy[:, 0], xy[:, 1]))])
    plan = replace(
        plan,
        manifest=write_manifest(tmp_path / "named.csv", named),
        features=(tmp_path / "h5",),
        out=tmp_path / "two",
    )
    keeper = keeper_of(plan.out, "s4")[1]
    looked(train_steps(plan, watch=keeper))
    told, seen = sight_of(plan.out)
    assert told["missing"] == ""
    with ws.open_slide(tiny_slide) as slide:
        assert seen.provenance["slide"]["fingerprint"] == slide.fingerprint
    keeper.watch("s0")
    assert sight_of(plan.out)[0]["slide"] == "s0", "a slide that was just chosen is looked at at once"
    keeper.watch("nobody")
    told, seen = sight_of(plan.out)
    assert (seen, "none of the slides" in told["missing"]) == (None, True)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_keeping_takes_its_share_of_the_time_and_no_more(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(keeping.time, "perf_counter", clock)
    files, keeper = keeper_of(tmp_path, None)
    kept = []

    def write(name, document):
        kept.append(document.epoch)
        clock.now += 1.0

    monkeypatch.setattr(files, "write", write)
    scores = Scores(("a",), np.array([0]), np.zeros((1, 2)), np.full((1, 2), 0.5), ("x", "y"))
    bags = MemoryBags([FeatureBag({0.5: torch.zeros(2, 3)})], [0])
    glance = Glance("train", 0, torch.nn.Linear(1, 1), bags, bags, scores)
    for epoch in range(11):
        keeper(replace(glance, epoch=epoch, last=epoch == 10))
        clock.now += 1.0
    assert kept == [0, 4, 8, 10]


def test_what_can_not_be_seen_does_not_end_a_training(tmp_path, random_model, capfd):
    keeper = keeper_of(tmp_path, "a")[1]

    class Broken(FeatureBag):
        def features(self, *_):
            raise ZeroDivisionError("broken")

    bags = MemoryBags([Broken({0.5: torch.zeros(2, 3)})], [0], names=["a"])
    keeper(Glance("train", 0, random_model.mil, bags, bags, None, spec=random_model.spec))
    told, seen = sight_of(tmp_path)
    assert (seen, "ZeroDivisionError: broken" in told["missing"]) == (None, True)
    images = MemoryBags([ImageBag(torch.zeros((2, 3, 32, 32), dtype=torch.uint8), 0.5)], [0], names=["a"])
    keeper(Glance("train", 1, random_model.mil, images, images, None, last=True, spec=random_model.spec))
    told, seen = sight_of(tmp_path)
    assert (seen, "is a folder of patch images" in told["missing"]) == (None, True)
    keeper(Glance("3-distillation", 2, torch.nn.Linear(1, 1), bags, bags, None, last=True))
    assert sight_of(tmp_path)[0]["epoch"] == 1, "what is no model of slides sees none"
    assert "Traceback" in capfd.readouterr().err


def test_a_sight_file_is_never_half_there(tmp_path, random_model, slides, store):
    """A reader that opened the old file keeps it while the new one takes its place."""
    plan = FineTuningPlan(random_model, slides, tmp_path / "run", settings={"epochs": 1}, store=store, device="cpu")
    files, keeper = keeper_of(plan.out, "slide 0")
    opened = []

    def watch(glance):
        keeper(replace(glance, last=True))
        opened.append(h5py.File(files.path / "sight.prediction.h5", "r"))

    looked(fine_tune_steps(plan, watch=watch))
    assert [json.loads(file.attrs["provenance"])["training"]["epoch"] for file in opened] == [-1, 0]
    for file in opened:
        file.close()
