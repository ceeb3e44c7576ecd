"""How WENO is trained: turns of teacher and student, labels over the whole set, hard patches, going on after a kill."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from napari_wsimil.bags import FeatureBag
from napari_wsimil.bags.images import ImageBag
from napari_wsimil.errors import TrainingError
from napari_wsimil.mil import build_mil
from napari_wsimil.mil.end_to_end import ImageEncoder, end_to_end
from napari_wsimil.mil.teaching import LogitRange, pseudo_labels
from napari_wsimil.training.bag_sets import MemoryBags
from napari_wsimil.training.recipes.weno import RECIPE, WENORecipe, WENOSettings
from napari_wsimil.training.trainer import Trainer

SMALL = {"projection": 8, "hidden": 8, "attention": 4, "student": 8, "dropout": 0.0}
FAST = {"optimiser": "adam", "learning_rate": 1e-2, "student_batch": 16, "accumulate": 1}


def feature_bags(count=6, width=5, seed=0):
    """Bags of unequal lengths; positive patches are larger in the first column."""
    random = torch.Generator().manual_seed(seed)
    bags, targets, labels = [], [], []
    for number in range(count):
        length = 5 + number
        table, truth = torch.randn(length, width, generator=random), np.zeros(length, np.int64)
        if number % 2:
            truth[:3] = 1
            table[:3, 0] += 4
        bags.append(FeatureBag({0.5: table}))
        targets.append(number % 2)
        labels.append(truth)
    return MemoryBags(bags, targets, instance_labels=labels)


def make(bags, parameters=None, **settings):
    torch.manual_seed(3)
    model = build_mil("weno", 5, 2, {**SMALL, **(parameters or {})})
    # from the published start, a step changes next to nothing
    for part in (model.teacher, model.student):
        part.apply(lambda layer: layer.reset_parameters() if isinstance(layer, nn.Linear) else None)
    return WENORecipe(model, bags, WENOSettings(**{**FAST, **settings}))


def run_epoch(recipe, epoch=0, only=None):
    recipe.begin_epoch(epoch)
    told = []
    for name, batches in recipe.phases(epoch, np.random.default_rng(epoch)):
        for batch in batches if only in (None, name) else ():
            bags = {int(row): recipe.bags.bag(int(row)) for row in recipe.rows(name, batch)}
            told.append((name, recipe.step(name, batch, bags)))
    return told


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_defaults_are_the_official_scripts():
    settings = WENOSettings()
    assert (settings.optimiser, settings.learning_rate, settings.momentum, settings.weight_decay) == ("sgd", 1e-3, 0, 0)
    assert (settings.epochs, settings.student_batch, settings.mine_after, settings.student_every) == (1500, 512, 10, 1)
    assert (settings.schedule, settings.norm_scope, settings.accumulate, settings.student_from) == ("constant", "dataset", 1, 0)
    assert RECIPE.name == "weno"
    assert RECIPE.settings is WENOSettings


def test_an_epoch_is_all_slides_and_then_all_patches_mixed():
    recipe = make(feature_bags(), accumulate=2)
    (teacher, slides), (student, patches) = recipe.phases(0, np.random.default_rng(0))
    assert (teacher, student) == ("teacher", "student")
    assert sorted(np.concatenate(slides)) == list(range(6))
    assert [len(batch) for batch in slides] == [2, 2, 2]
    assert sorted(np.concatenate(patches)) == list(range(45))  # 5 + 6 + ... + 10
    assert [len(batch) for batch in patches] == [16, 16, 13]
    assert all(len(recipe.rows("student", batch)) > 2 for batch in patches)
    again = recipe.phases(0, np.random.default_rng(0))
    assert all(np.array_equal(a, b) for a, b in zip(patches, again[1][1], strict=True))


def test_student_learns_only_in_its_epochs():
    recipe = make(feature_bags(), student_from=2, student_every=3)
    assert [len(recipe.phases(epoch, np.random.default_rng(0))) for epoch in range(7)] == [1, 1, 2, 1, 1, 2, 1]


def test_each_turn_trains_its_own_head_and_the_shared_encoder():
    recipe = make(feature_bags())
    parts = {"encoder": recipe.model.encoder, "teacher": recipe.model.teacher, "student": recipe.model.student}
    for turn, untouched in (("teacher", "student"), ("student", "teacher")):
        before = {name: state(part) for name, part in parts.items()}
        run_epoch(recipe, only=turn)
        changed = {name for name, part in parts.items() if not same(before[name], state(part))}
        assert changed == {"encoder", "teacher", "student"} - {untouched}


def test_range_is_over_all_slides_of_the_epoch_and_begins_anew():
    recipe = make(feature_bags(), learning_rate=1e-9)
    run_epoch(recipe, only="teacher")
    seen = LogitRange()
    for row in range(6):
        seen.add(recipe.model.train().attention_logits(recipe.bags.bag(row).features(0.5)))
    kept = recipe.numbers()
    assert kept["range"] == pytest.approx([seen.low, seen.high], abs=1e-5)
    recipe.begin_epoch(0)  # a run that goes on inside the epoch
    assert recipe.numbers()["range"] == kept["range"]
    recipe.begin_epoch(1)
    assert recipe.numbers()["range"] is None


def test_labels_are_0_in_negative_slides_and_stretched_in_positive_ones():
    recipe = make(feature_bags())
    run_epoch(recipe, only="teacher")
    keys = np.arange(45)
    slides = recipe._slides(keys)
    assert np.bincount(slides).tolist() == [5, 6, 7, 8, 9, 10]
    encoded = torch.randn(45, 8)
    labels = recipe._labels(encoded, keys, slides)
    positive = torch.from_numpy(slides % 2 == 1)
    assert (labels[~positive] == 0).all()
    scores = recipe.model.teacher(encoded)[0].detach()
    expected = pseudo_labels(scores, LogitRange(*recipe.numbers()["range"]), positive=True)
    torch.testing.assert_close(labels[positive], expected[positive])


def test_labels_over_the_range_of_each_slide():
    recipe = make(feature_bags(), norm_scope="bag")
    run_epoch(recipe, only="teacher")
    keys = np.arange(45)
    slides = recipe._slides(keys)
    labels = recipe._labels(torch.zeros(45, 8), keys, slides).numpy()
    for row in range(6):
        of_slide = labels[slides == row]
        assert of_slide.max() == pytest.approx(1 - 1e-5 if row % 2 else 0, abs=1e-6)
        assert of_slide.min() == pytest.approx(1e-5 if row % 2 else 0, abs=1e-6)


def test_a_teacher_that_compares_patches_labels_them_in_their_own_slide():
    recipe = make(feature_bags(), {"teacher": "clam"})
    run_epoch(recipe, only="teacher")
    keys = np.array([5, 6, 44])  # two of slide 1, the last of slide 5
    labels = recipe._labels(torch.zeros(3, 8), keys, recipe._slides(keys))
    known = recipe._known.scores
    assert known.shape == (45,)
    expected = pseudo_labels(known[keys], LogitRange(*recipe.numbers()["range"]), positive=True)
    torch.testing.assert_close(labels, expected)
    assert all(np.isfinite(losses["loss"]) for _, losses in run_epoch(recipe, epoch=1))


def test_hard_patches_only_after_the_epoch_of_the_settings(monkeypatch):
    recipe = make(feature_bags(), {"mine_above": 0.4}, mine_after=1)
    asked = []
    taught = recipe.model.taught
    monkeypatch.setattr(
        recipe.model, "taught", lambda *given, mine: asked.append((recipe._epoch, mine)) or taught(*given, mine=mine)
    )
    for epoch in range(3):
        run_epoch(recipe, epoch, only="teacher")
    assert set(asked) == {(0, False), (1, False), (2, True)}


def test_slides_of_a_step_are_encoded_together():
    """The mean of two slides in one step is that of both by hand, normalised over both."""
    recipe = make(feature_bags(), accumulate=2)
    model = recipe.model.train()
    tables = [recipe.bags.bag(row).features(0.5) for row in (2, 3)]
    before = state(model)
    with torch.no_grad():
        encoded = model.encoder(torch.cat(tables)).split([7, 8])
        by_hand = [model.teacher(part, torch.tensor(row % 2))[2] for row, part in zip((2, 3), encoded, strict=True)]
    model.load_state_dict(before)
    recipe.begin_epoch(0)
    told = recipe.step("teacher", np.array([2, 3]), {row: recipe.bags.bag(row) for row in (2, 3)})
    assert told["loss"] == told["teacher"] == pytest.approx(float(sum(by_hand)) / 2, rel=1e-5)


def test_without_a_student_it_is_the_plain_method():
    recipe = make(feature_bags(), {"answer": "teacher"})
    assert set(recipe.optimisers) == {"encoder", "teacher"}
    before = state(recipe.model.student)
    assert {name for name, _ in run_epoch(recipe, 20)} == {"teacher"}
    assert same(before, state(recipe.model.student))
    recipe.model.eval()
    output = recipe.model(recipe.bags.bag(1))
    encoded = recipe.model.encoder(recipe.bags.bag(1).features(0.5))
    scores, logits, _ = recipe.model.teacher(encoded)
    torch.testing.assert_close(output.logits, logits)
    evidence = output.instance_logits[0.5]
    torch.testing.assert_close(evidence[:, 1] - evidence[:, 0], scores)


def test_other_models_are_refused():
    with pytest.raises(TrainingError, match="weno only"):
        WENORecipe(build_mil("abmil", 5, 2), feature_bags(), WENOSettings())


@pytest.mark.parametrize(("teacher", "scope"), [("abmil", "dataset"), ("clam", "dataset"), ("abmil", "bag")])
@pytest.mark.parametrize("stop", [1, 4, 8, 12])
def test_a_run_that_stops_at_any_step_comes_to_the_same_weights(tmp_path, teacher, scope, stop):
    def trainer(folder):
        given = {"epochs": 3, "norm_scope": scope, "mine_after": 0, "schedule": "cosine", "patience": 0}
        recipe = make(feature_bags(), {"teacher": teacher, "mine_above": 0.4}, **given)
        return recipe, Trainer(recipe, feature_bags(seed=1), tmp_path / folder)

    whole, run = trainer("whole")
    list(run.run())
    _, broken = trainer("broken")
    steps = (event for event in broken.run() if event.kind == "step")
    assert len(list(itertools.islice(steps, stop))) == stop
    steps.close()
    resumed, run = trainer("broken")
    list(run.run())
    assert same(state(whole.model), state(resumed.model))
    assert whole.numbers() == resumed.numbers()


def image_bags(count=8, seed=0):
    random = np.random.default_rng(seed)
    bags, labels = [], []
    for number in range(count):
        pixels = random.integers(0, 120, (6, 3, 8, 8), dtype=np.uint8)
        truth = np.zeros(6, np.int64)
        if number % 2:
            truth[:2] = 1
            pixels[:2, 0] += 130
        bags.append(ImageBag(torch.from_numpy(pixels)))
        labels.append(truth)
    return MemoryBags(bags, [number % 2 for number in range(count)], instance_labels=labels)


def image_model(method, parameters):
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return end_to_end(ImageEncoder(network, mirror=True), build_mil(method, 6, 2, parameters))


def test_it_learns_end_to_end_from_images():
    """The red images are found without a label of any of them."""
    torch.manual_seed(0)
    bags = image_bags()
    model = image_model("weno", {**SMALL, "projection": 0})
    recipe = WENORecipe(model, bags, WENOSettings(**FAST | {"accumulate": 4, "student_batch": 24}))
    for part in (model.teacher, model.student):
        part.apply(lambda layer: layer.reset_parameters() if isinstance(layer, nn.Linear) else None)
    before = state(model.encoder)
    for epoch in range(15):
        run_epoch(recipe, epoch)
    assert not same(before, state(model.encoder))
    model.eval()
    with torch.inference_mode():
        evidence = torch.cat([model(bags.bag(row)).instance_logits[1.0] for row in range(8)])
    told = (evidence[:, 1] - evidence[:, 0]).numpy()
    truth = np.concatenate([bags.instance_labels(row)[1.0] for row in range(8)])
    assert told[truth == 1].min() > told[truth == 0].max()


@pytest.mark.parametrize("method", ["abmil", "dsmil", "clam"])
def test_any_method_learns_behind_an_image_encoder(method):
    torch.manual_seed(0)
    model, bags = image_model(method, {}), image_bags()
    losses = model.losses(bags.bag(1), torch.tensor(1))
    losses.total.backward()
    assert model.encoder.network[0].weight.grad.abs().sum() > 0
    model.eval()
    output = model(bags.bag(1))
    assert output.attention[1.0].shape == (6,)
    assert model.probabilities(output.logits).sum().item() == pytest.approx(1)


def test_an_image_encoder_in_parts_is_the_whole(monkeypatch):
    monkeypatch.setattr("napari_wsimil.mil.end_to_end.CHUNK", 2)
    encoder = ImageEncoder(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1)).eval()
    images = torch.rand(5, 3, 8, 8)
    normal = (images - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.2, 0.1]).view(3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(images), encoder.network(normal))
