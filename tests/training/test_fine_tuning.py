"""Fine-tuning: what changes and what does not, for every method; what polygons teach; a run from package to package."""

from __future__ import annotations

import csv
import json
import math
from copy import deepcopy

import h5py
import numpy as np
import pytest
import shapely
import torch

import napari_wsimil as ws
from napari_wsimil.annotations import Annotations, Region
from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import TrainingError, WsimilError
from napari_wsimil.mil import METHODS, build_mil
from napari_wsimil.mil.adapted import Adapted
from napari_wsimil.packages import load_model
from napari_wsimil.patches.grid import PatchGrid
from napari_wsimil.training.bag_sets import MemoryBags, NoBags
from napari_wsimil.training.bag_sets.annotated import AnnotatedBags
from napari_wsimil.training.data.manifest import read_manifest
from napari_wsimil.training.fine_tuning import FineTuning, FineTuningPlan, FineTuningSettings, fine_tune, tunable
from napari_wsimil.training.fine_tuning.freezing import train_mode
from napari_wsimil.training.fine_tuning.losses import attention_loss, patch_loss
from napari_wsimil.training.fine_tuning.sides import fine_tuning_split
from napari_wsimil.training.fine_tuning.study import make_lesson
from napari_wsimil.training.trainer import Trainer

WIDTH = 16
CLASSES = ("normal", "tumour")
SMALL = {
    "ainet": {"regions": 2, "anchors": 2},
    "transmil": {"hidden": 16, "landmarks": 8},
    "weno": {"projection": 16, "student": 24},
    "zoommil": {"magnifications": 2, "selected": 3},
}
FORMS = [
    *((name, {}) for name in METHODS),
    ("clam", {"branches": "multi"}),
    ("ainet", {"aggregator": "ilra", "aggregator_width": 8}),
    ("weno", {"teacher": "dsmil"}),
    ("weno", {"teacher": "clam"}),
]
every_form = pytest.mark.parametrize(
    ("name", "more"), FORMS, ids=["-".join(map(str, (name, *more.values()))) for name, more in FORMS]
)


def make(name, more=None, seed=0):
    usual = {"hidden": 16, "attention": 8, "query": 8}
    known = METHODS[name].parameters.model_fields
    chosen = {key: value for key, value in usual.items() if key in known} | SMALL.get(name, {}) | (more or {})
    torch.manual_seed(seed)
    return build_mil(name, WIDTH, 2, chosen).eval().requires_grad_(False)


def grid(columns, rows, mpp=0.5):
    down, right = np.divmod(np.arange(columns * rows), columns)
    cells, step = np.stack([right, down], axis=1), 256 * mpp / 0.5
    xy = (cells * step).astype(np.int64)
    return PatchGrid(xy, cells, np.ones(len(cells), np.float32), mpp, 256, 256, step, step)


def slide(seed=0, *, several=False):
    """4 x 3 patches, or as many at 1 µm per pixel with their children."""
    generator = torch.Generator().manual_seed(seed)
    grids = {1.0: grid(4, 3, 1.0), 0.5: grid(8, 6)} if several else {0.5: grid(4, 3)}
    return FeatureBag({mpp: torch.randn(len(one), WIDTH, generator=generator) for mpp, one in grids.items()}, grids)


def drawn(*regions):
    return Annotations(None, tuple(Region(name, shapely.box(*box)) for name, box in regions))


def tiny(name):
    several = METHODS[name].magnifications[1] is None
    bags = MemoryBags([slide(seed, several=several) for seed in range(3)], [1, 0, -1])
    first = drawn(("tumour", (0, 0, 512, 512)), ("!tumour", (512, 0, 1024, 256)))
    return AnnotatedBags(bags, [first, None, drawn(("normal", (0, 0, 512, 256)))], CLASSES)


def settings(**given):
    return FineTuningSettings(**({"epochs": 2, "learning_rate": 0.01} | given))


def run(recipe, folder, validation=None):
    steps = Trainer(recipe, validation or NoBags(), folder).run()
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return end.value, events


# -- what changes -------------------------------------------------------------------------------------------------------------


@every_form
@pytest.mark.parametrize("tune", ["all", "head", "adapter"])
def test_only_what_is_tuned_changes(name, more, tune):
    base = make(name, more)
    before = {key: value.clone() for key, value in base.state_dict().items()}
    network = tunable(deepcopy(base), name, WIDTH, tune)
    recipe = FineTuning(network, tiny(name), settings(tune=tune, learn_from="both"), classes=2, positive=1)
    bags = {row: recipe.bags.bag(row) for row in range(3)}
    for seed in range(2):
        torch.manual_seed(seed)
        told = recipe.step("slides", np.arange(3), bags)
        assert math.isfinite(told["loss"])
        assert math.isfinite(told["polygons"])
    inner = network.network if tune == "adapter" else network
    changed = {key for key, value in inner.state_dict().items() if not torch.equal(value, before[key])}
    if tune == "adapter":
        assert isinstance(network, Adapted)
        assert not changed
        assert network.adapter.change[2].weight.abs().sum() > 0
    elif tune == "head":
        assert changed
        assert all(METHODS[name].in_head(key) for key in changed)
    else:
        assert changed >= {key for key, _ in base.named_parameters() if "classifier" in key and "sure" not in key}


@every_form
def test_the_head_is_a_small_part_and_all_of_it_learns(name, more):
    """From labels and polygons together, so that heads of slides, of their parts and of patches all get gradients."""
    network = tunable(make(name, more), name, WIDTH, "head")
    of_head = {key: value for key, value in network.named_parameters() if value.requires_grad}
    assert of_head
    if "aggregator" not in more:  # all of the other method is the head then
        assert sum(value.numel() for value in of_head.values()) < sum(value.numel() for value in network.parameters()) / 2
    recipe = FineTuning(network, tiny(name), settings(tune="head", learn_from="both"), classes=2)
    total = torch.zeros(())
    train_mode(network)
    for row in range(3):
        loss, _ = recipe._losses(row, recipe.bags.bag(row))
        total = total + loss
    total.backward()
    silent = {key for key, value in of_head.items() if value.grad is None}
    assert silent <= {"sure_classifier.weight", "sure_classifier.bias"}  # which only a teacher teaches


@every_form
def test_an_adapter_begins_as_nothing_and_is_kept_in_the_package(name, more, tmp_path, random_encoder):
    from napari_wsimil.packages import EncoderReference, ModelSpec, save_model

    encoder, encoder_name = random_encoder
    usual = make(name, more)
    bag = slide(3, several=METHODS[name].magnifications[1] is None)
    with torch.inference_mode():
        before, after = usual(bag), tunable(deepcopy(usual), name, WIDTH, "adapter").eval()(bag)
    assert torch.equal(before.logits, after.logits)
    if more or name not in ("abmil", "zoommil"):
        return
    mpps = (1.0, 0.5) if name == "zoommil" else (0.5,)
    parameters = {"hidden": 16, "attention": 8} | SMALL.get(name, {})
    spec = ModelSpec(
        id="adapted",
        method=name,
        parameters=parameters,
        classes=CLASSES,
        encoder=EncoderReference.to(encoder, encoder_name),
        mpps=mpps,
        adapter=True,
    )
    network = Adapted(build_mil(name, encoder.dimension, 2, parameters), encoder.dimension)
    torch.nn.init.normal_(network.adapter.change[2].weight)
    kept = save_model(tmp_path / "model", network, spec)
    assert isinstance(load_model(tmp_path / "model").mil, Adapted)
    grids = {mpp: bag.grid(mpp) for mpp in mpps}
    wide = FeatureBag({mpp: torch.randn(len(one), encoder.dimension) for mpp, one in grids.items()}, grids)
    with torch.inference_mode():
        assert torch.equal(kept.mil(wide).logits, network.eval()(wide).logits)
        assert not torch.equal(kept.mil(wide).logits, network.network(wide).logits)
    bare = spec.model_copy(update={"adapter": False})
    assert save_model(tmp_path / "bare", network.network, bare).digest != kept.digest


def test_parts_that_stay_keep_their_statistics_and_drop_nothing():
    network = tunable(make("weno"), "weno", WIDTH, "head")
    train_mode(network)
    assert network.training
    assert not network.encoder.norm.training
    assert not network.teacher.trunk[0].training
    whole = tunable(make("weno"), "weno", WIDTH, "all")
    train_mode(whole)
    assert whole.encoder.norm.training
    assert whole.teacher.trunk[0].training


def test_an_adapter_is_tuned_on_not_put_on_another():
    once = tunable(make("abmil"), "abmil", WIDTH, "adapter")
    assert tunable(once, "abmil", WIDTH, "adapter") is once
    head = tunable(once, "abmil", WIDTH, "head")
    assert {key for key, value in head.named_parameters() if value.requires_grad} == {
        "network.classifier.weight",
        "network.classifier.bias",
    }


# -- evidence -----------------------------------------------------------------------------------------------------------------


@every_form
def test_evidence_is_what_prediction_shows(name, more):
    network = make(name, more)
    bag = slide(5, several=METHODS[name].magnifications[1] is None)
    with torch.inference_mode():
        shown, evidence = network(bag), network.evidence(bag)
    assert set(evidence) == set(bag.mpps if name == "zoommil" else bag.mpps[-1:])
    for mpp, table in shown.instance_logits.items():
        rows = shown.rows.get(mpp, slice(None))
        assert torch.allclose(evidence[mpp][rows], table, atol=1e-6)
        assert evidence[mpp].shape == (len(bag.features(mpp)), 2)


@every_form
def test_patches_teach_in_training_too(name, more):
    network = make(name, more).requires_grad_(True).train()
    evidence = network.evidence(slide(5, several=METHODS[name].magnifications[1] is None))
    table = next(iter(evidence.values()))
    patch_loss(table, torch.tensor([[False, True]]).expand(len(table), 2)).backward()
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters())


# -- losses -------------------------------------------------------------------------------------------------------------------


def test_patches_that_are_told_the_same_weigh_as_one():
    logits = torch.tensor([[0.0, 1.0], [0.0, 2.0], [3.0, 0.0], [5.0, 5.0]])
    allowed = torch.tensor([[False, True], [False, True], [True, False], [True, True]])
    p = torch.softmax(logits, dim=1)
    wanted = 0.5 * -(torch.log(p[0, 1]) + torch.log(p[1, 1])) / 2 + 0.5 * -torch.log(p[2, 0])
    assert patch_loss(logits, allowed) == pytest.approx(float(wanted))
    assert patch_loss(logits, torch.ones(4, 2, dtype=torch.bool)) is None


def test_what_a_patch_is_not_leaves_the_others_alone():
    logits = torch.tensor([[2.0, 1.0, 0.5]], requires_grad=True)
    p = torch.softmax(logits.detach(), dim=1)[0]
    loss = patch_loss(logits, torch.tensor([[False, True, True]]))
    assert loss.item() == pytest.approx(-math.log(float(p[1] + p[2])))
    loss.backward()
    assert logits.grad[0, 0] > 0
    sure = torch.tensor([[80.0, 0.0]], requires_grad=True)
    patch_loss(sure, torch.tensor([[False, True]])).backward()
    assert sure.grad.isfinite().all()


def test_attention_is_kept_away_from_where_the_class_is_not():
    attention = torch.tensor([0.1, 0.2, 0.3, 0.4])
    yes, no, unknown = [False, True], [True, False], [True, True]
    assert attention_loss(attention, torch.tensor([yes, no, unknown, unknown]), 1).item() == pytest.approx(-math.log(0.1 / 0.3))
    assert attention_loss(attention, torch.tensor([unknown, no, unknown, unknown]), 1).item() == pytest.approx(-math.log(0.8))
    assert attention_loss(attention, torch.tensor([yes, yes, unknown, unknown]), 1) is None


# -- learning -----------------------------------------------------------------------------------------------------------------


def test_slides_may_have_a_label_polygons_or_both():
    bags = tiny("abmil")
    rows, told = {}, {}
    for wanted, shown in (("labels", 1), ("polygons", 2), ("both", 2)):
        recipe = FineTuning(tunable(make("abmil"), "abmil", WIDTH, "all"), bags, settings(learn_from=wanted), classes=2)
        rows[wanted] = sorted(np.concatenate(recipe.phases(0, np.random.default_rng(0))[0][1]).tolist())
        told[wanted] = set(recipe.step("slides", np.array([shown]), {shown: bags.bag(shown)}))
    assert rows == {"labels": [0, 1], "polygons": [0, 2], "both": [0, 1, 2]}
    assert told == {"labels": {"loss", "bag"}, "polygons": {"loss", "polygons"}, "both": {"loss", "polygons"}}
    mixed = recipe.step("slides", np.arange(3), {row: bags.bag(row) for row in range(3)})
    assert set(mixed) == {"loss", "bag", "polygons", "attention"}


def test_a_slide_without_the_positive_class_is_known_everywhere_when_learning_from_both():
    def parts(**given):
        network = tunable(make("abmil"), "abmil", WIDTH, "all")
        recipe = FineTuning(network, tiny("abmil"), settings(**given), classes=2, positive=1)
        return recipe.step("slides", np.array([1]), {1: recipe.bags.bag(1)})

    assert "polygons" in parts(learn_from="both")
    assert "polygons" not in parts(learn_from="both", negatives=False)


def test_nothing_to_learn_from_is_said():
    bags = MemoryBags([slide(0)], [-1])
    with pytest.raises(TrainingError, match="has a label;"):
        FineTuning(tunable(make("abmil"), "abmil", WIDTH, "all"), bags, settings(), classes=2)
    with pytest.raises(TrainingError, match="has polygons;"):
        FineTuning(tunable(make("abmil"), "abmil", WIDTH, "all"), bags, settings(learn_from="polygons"), classes=2)


def test_polygons_outside_all_patches_teach_nothing_and_break_nothing(tmp_path):
    bags = AnnotatedBags(MemoryBags([slide(0)], [-1]), [drawn(("tumour", (9000, 0, 9100, 100)))], CLASSES)
    network = tunable(make("abmil"), "abmil", WIDTH, "all")
    before = deepcopy(network.state_dict())
    run(FineTuning(network, bags, settings(learn_from="polygons"), classes=2), tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_old_slides_are_rehearsed_as_often_as_new_ones():
    new, old = MemoryBags([slide(0), slide(1)], [1, 0]), MemoryBags([slide(seed) for seed in range(2, 9)], [0, 1] * 3 + [0])
    network = tunable(make("abmil"), "abmil", WIDTH, "all")
    recipe = FineTuning(network, new, settings(rehearsal_weight=0.0), classes=2, rehearsal=[old])
    shown = [np.concatenate(recipe.phases(epoch, np.random.default_rng(epoch))[0][1]) for epoch in range(5)]
    assert all(sorted(rows[rows < 2]) == [0, 1] and (rows >= 2).sum() == 2 for rows in shown)
    assert len({tuple(sorted(rows)) for rows in shown}) > 1
    before = deepcopy(network.state_dict())
    recipe.step("slides", np.array([5]), {5: recipe.bags.bag(5)})
    assert recipe.bags.bag(5) is old.bag(3)
    change = sum((value - before[key]).abs().sum() for key, value in network.state_dict().items())
    assert change == 0  # of weight 0; AdamW pulls weights by a share that is 0 here


def test_validation_judges_by_what_is_learned(tmp_path):
    bags = tiny("abmil")
    told = {}
    for wanted in ("labels", "polygons", "both"):
        recipe = FineTuning(tunable(make("abmil"), "abmil", WIDTH, "all"), bags, settings(learn_from=wanted), classes=2)
        told[wanted] = recipe.judge(bags)
    assert told["both"]["loss"] == pytest.approx(told["labels"]["loss"] + told["polygons"]["loss"])
    assert told["polygons"]["loss"] == told["polygons"]["polygons"]
    assert math.isnan(told["labels"]["polygons"])
    assert math.isnan(recipe.judge(NoBags())["loss"])


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    def recipe():
        network = tunable(make("abmil"), "abmil", WIDTH, "adapter")
        return FineTuning(network, tiny("abmil"), settings(tune="adapter", learn_from="both", epochs=3), classes=2, positive=1)

    whole = recipe()
    run(whole, tmp_path / "whole", tiny("abmil"))
    steps = Trainer(recipe(), tiny("abmil"), tmp_path / "parts").run()
    for _ in range(5):
        next(steps)
    steps.close()
    parts = recipe()
    run(parts, tmp_path / "parts", tiny("abmil"))
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, parts.model.state_dict()[key]), key


# -- what it is for -----------------------------------------------------------------------------------------------------------


def planted(count, seed, *, confounded):
    """Slides of 10 x 6 patches: tumour is feature 0; a pen, feature 1, is on each tumour slide (confounded) or half of all."""
    random = np.random.default_rng(seed)
    bags, targets, truth = [], [], []
    for number in range(count):
        target = number % 2
        features = random.normal(size=(60, WIDTH)).astype(np.float32)
        inside = np.zeros(60, bool)
        if target:
            inside[[11, 12, 21, 22, 31, 32]] = True
            features[inside, 0] += 2.5
        if target if confounded else number // 2 % 2:
            features[[7, 8, 17, 18, 27, 28, 37, 38], 1] += 4
        bags.append(FeatureBag({0.5: torch.from_numpy(features)}, {0.5: grid(10, 6)}))
        targets.append(target)
        truth.append(inside)
    return bags, targets, truth


def patch_auc(network, bags, truth):
    from sklearn.metrics import roc_auc_score

    found = []
    with torch.inference_mode():
        for bag, inside in zip(bags, truth, strict=True):
            if inside.any():
                evidence = network.eval()(bag).instance_logits[0.5]
                found.append(roc_auc_score(inside, (evidence[:, 1] - evidence[:, 0]).numpy()))
    return float(np.mean(found))


@pytest.mark.parametrize(
    ("name", "tune"), [("abmil", "all"), ("abmil", "adapter"), ("clam", "head"), ("dsmil", "all"), ("weno", "adapter")]
)
def test_polygons_on_two_slides_mend_what_a_pen_spoiled(name, tune, tmp_path):
    bags, targets, _ = planted(16, 0, confounded=True)
    learned = make(name).requires_grad_(True)
    base = FineTuning(learned, MemoryBags(bags, targets), settings(learning_rate=2e-3, epochs=4), classes=2)
    run(base, tmp_path / "base")
    fresh, _, truth = planted(20, 1, confounded=False)
    before = patch_auc(learned, fresh, truth)
    recipe = corrected(learned, name, tune, MemoryBags(bags, targets), epochs=12)
    run(recipe, tmp_path / "tuned")
    assert patch_auc(recipe.model, fresh, truth) > before + 0.05


def corrected(network, name, tune, rehearsal, **given):
    """Two of four slides are marked: where the tumour is, and that the pen is none."""
    marked = drawn(("tumour", (256, 256, 768, 1024)), ("not tumour", (1792, 0, 2304, 1024)))
    bags, targets, _ = planted(4, 2, confounded=True)
    new = AnnotatedBags(MemoryBags(bags, targets), [None, marked, None, marked], CLASSES)
    chosen = settings(tune=tune, learn_from="both", learning_rate=5e-3, **given)
    network = tunable(deepcopy(network), name, WIDTH, tune)
    return FineTuning(network, new, chosen, classes=2, positive=1, rehearsal=[rehearsal])


def test_attention_leaves_the_pen(tmp_path):
    bags, targets, _ = planted(16, 0, confounded=True)
    learned = make("abmil").requires_grad_(True)
    run(FineTuning(learned, MemoryBags(bags, targets), settings(learning_rate=2e-3, epochs=8), classes=2), tmp_path / "base")
    fresh, _, _ = planted(20, 1, confounded=False)
    pen = [7, 8, 17, 18, 27, 28, 37, 38]

    def on_the_pen(network):
        with torch.inference_mode():
            return np.mean([float(network.eval()(bag).attention[0.5][pen].sum()) for bag in fresh[2::4] + fresh[3::4]])

    left = {}
    for weight in (0.0, 1.0):
        recipe = corrected(learned, "abmil", "all", MemoryBags(bags, targets), epochs=10, attention_weight=weight)
        run(recipe, tmp_path / str(weight))
        left[weight] = on_the_pen(recipe.model)
    assert left[1.0] < min(0.8 * on_the_pen(learned), left[0.0])


# -- runs ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path, random_model):
    """A manifest of feature files at origin (1000, 500), of which some have labels, some polygons, some both."""
    width, places = random_model.encoder.dimension, grid(8, 6)
    random = np.random.default_rng(0)
    square = [[[0, 0], [1024, 0], [1024, 768], [0, 768], [0, 0]]]
    other = [[[[x + 1024, y] for x, y in ring] for ring in square]][0]
    rows = [["slide", "label", "patient", "annotation"]]
    for number in range(14):
        features = random.normal(size=(48, width)).astype(np.float32)
        if number % 2:
            features[(places.cells < (4, 3)).all(axis=1), :8] += 2
        with h5py.File(tmp_path / f"s{number}.h5", "w") as file:
            file["features"] = features
            file["features"].attrs["encoder"] = random_model.encoder.id
            file["coords"] = places.xy + np.array([1000, 500])
            file["coords"].attrs.update(
                patch_size=256, patch_size_level0=256.0, overlap=0, mpp_target=0.5, level0_origin=(1000, 500)
            )
        annotation = ""
        if number % 4 == 1 or number == 12:
            annotation = f"s{number}.geojson"
            drawn_here = [("Tumour", square), ("Normal", other), ("Vessel", other)] if number % 2 else [("!tumour", square)]
            features_drawn = [
                {
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": rings},
                    "properties": {"classification": name},
                }
                for name, rings in drawn_here
            ]
            (tmp_path / annotation).write_text(json.dumps(features_drawn))
        label = "" if number in (12, 13) else CLASSES[number % 2]
        rows.append([f"s{number}.h5", label, f"p{number}", annotation])
    with (tmp_path / "study.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "study.csv"


def test_from_package_to_package(study, random_model, tmp_path):
    events = []
    done = fine_tune(
        random_model,
        study,
        tmp_path / "run",
        tune="adapter",
        learn_from="both",
        settings={"epochs": 2},
        validation=0.3,
        rehearsal=None,
        device="cpu",
        on_event=events.append,
    )
    model = load_model(tmp_path / "run" / "model")
    assert done.model.digest == model.digest != random_model.digest
    assert isinstance(model.mil, Adapted)
    for key, value in random_model.mil.state_dict().items():
        assert torch.equal(model.mil.state_dict()[f"network.{key}"], value), key
    told = model.spec.training
    assert told["fine_tuned_from"]["digest"] == random_model.digest
    assert (told["tune"], told["learn_from"], told["rehearsal_slides"]) == ("adapter", "both", 0)
    assert told["annotated_slides"] >= 2
    assert told["regions"].keys() <= {"Tumour", "Normal", "Vessel", "!tumour"}
    assert 0 < told["numbers_changed"] < told["numbers"]
    assert model.spec.classes == CLASSES
    assert model.spec.id == "random-tuned"
    assert any("Vessel" in notice for notice in json.loads((tmp_path / "run" / "settings.json").read_text())["notices"])
    assert {"step", "epoch"} <= {event.kind for event in events}
    assert any("polygons" in event.data["losses"] for event in events if event.kind == "step")
    again = fine_tune(
        random_model, study, tmp_path / "run", tune="adapter", learn_from="both", settings={"epochs": 2}, validation=0.3,
        device="cpu", resume=True,
    )  # fmt: skip
    assert again.model.digest == model.digest
    second = fine_tune(model, study, tmp_path / "second", tune="head", settings={"epochs": 1}, rehearsal=labelled(study))
    assert second.model.spec.id == "random-tuned-2"
    # what is learned from now is not rehearsed as it was
    assert second.model.spec.training["rehearsal_slides"] == 0
    assert torch.equal(second.model.mil.adapter.change[2].weight, model.mil.adapter.change[2].weight)


def labelled(study):
    """The slides with labels only."""
    lines = study.read_text().splitlines()
    path = study.with_name("labelled.csv")
    path.write_text("\n".join(lines[:13]))
    return path


def test_a_tuned_package_predicts(tiny_slide, random_model, tmp_path):
    from napari_wsimil.packages import save_model

    network = Adapted(deepcopy(random_model.mil), random_model.encoder.dimension)
    model = save_model(tmp_path / "same", network, random_model.spec.model_copy(update={"adapter": True}))
    before, after = ws.predict(tiny_slide, random_model), ws.predict(tiny_slide, model)
    assert before.probabilities == pytest.approx(after.probabilities)
    torch.nn.init.normal_(network.adapter.change[2].weight)
    moved = save_model(tmp_path / "other", network, random_model.spec.model_copy(update={"adapter": True}))
    assert ws.predict(tiny_slide, moved).probabilities != pytest.approx(before.probabilities, abs=1e-6)


def test_polygons_are_where_qupath_counts_from(study, random_model):
    from napari_wsimil.training.fine_tuning.drawn import read_drawn

    manifest = read_manifest(study, classes=CLASSES, labelled=False)
    region = read_drawn(manifest.cases[1:2])[0].regions[0]
    assert region.shape.bounds == (1000, 500, 2024, 1268)


def test_slides_without_labels_teach_and_never_judge(study):
    manifest = read_manifest(study, classes=CLASSES, labelled=False)
    split, notices = fine_tuning_split(manifest, 0.3, 0.0, 0)
    assert all(case.label for case in split.validation)
    assert {case.name for case in split.train} >= {"s12", "s13"}
    assert not notices
    alone, notices = fine_tuning_split(manifest, 0.0, 0.0, 0)
    assert len(alone.train) == 14
    assert len(alone.validation) == 12
    assert "say nothing about other slides" in notices[0]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"learn_from": "polygons", "names": {"Vessel": "fat"}}, "can't stand for 'fat'"),
        ({"settings": {"speed": 3}}, "no setting 'speed'"),
        ({"settings": {"epochs": 0}}, "'epochs' of fine-tuning can't be 0"),
        ({"tune": "tail"}, "'tune' of fine-tuning can't be 'tail'"),
        ({"learn_from": "polygons", "settings": {"rest": "fat"}}, "none of normal, tumour"),
    ],
)
def test_choices_that_can_not_be(study, random_model, tmp_path, choices, words):
    with pytest.raises(WsimilError, match=words):
        fine_tune(random_model, study, tmp_path / "run", **choices)


def test_no_polygons_to_learn_from(study, random_model, tmp_path):
    with pytest.raises(TrainingError, match="names no polygons"):
        fine_tune(random_model, plain(study), tmp_path / "run", learn_from="both")


def plain(study):
    """Without the column of annotations."""
    lines = [line.rpartition(",")[0] for line in study.read_text().splitlines()]
    path = study.with_name("plain.csv")
    path.write_text("\n".join(lines))
    return path


def test_polygons_of_no_class_of_the_model(study, random_model, tmp_path):
    for path in study.parent.glob("*.geojson"):
        path.write_text(path.read_text().replace("umour", "umult").replace("Normal", "Stroma"))
    with pytest.raises(TrainingError, match="no polygon of a class of the model"):
        fine_tune(random_model, study, tmp_path / "run", learn_from="polygons")
    names = {"Tumult": "tumour", "Stroma": "normal"}
    plan = FineTuningPlan(random_model, study, tmp_path / "run", settings={"learn_from": "polygons"}, names=names)
    _, lesson = make_lesson(plan)
    assert lesson.provenance()["regions"]["Tumult"] >= 2
    assert lesson.drawn.notices == ("Polygons of the classes Vessel (4) take no part: the model does not know these.",)


def test_learning_rates_follow_what_is_tuned():
    assert FineTuningSettings().learning_rate == FineTuningSettings(tune="all").learning_rate == 3e-5
    assert FineTuningSettings(tune="head").learning_rate == 3e-4
    assert FineTuningSettings(tune="head", learning_rate=0.1).learning_rate == 0.1


def test_a_plan_is_checked_when_it_is_made(random_model, tmp_path):
    with pytest.raises(TrainingError, match="no setting"):
        FineTuningPlan(random_model, tmp_path / "a.csv", tmp_path / "run", settings={"speed": 1})
