"""Epochs, the choice of the best one, stopping and going on."""

import numpy as np
import pytest
import torch

from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import TrainingError
from napari_wsimil.mil import build_mil
from napari_wsimil.training.bag_sets import MemoryBags
from napari_wsimil.training.evaluation.metrics import selection_value
from napari_wsimil.training.evaluation.scoring import score
from napari_wsimil.training.events import read_events
from napari_wsimil.training.optimisers import LookaheadRAdam, make_optimiser, scheduled
from napari_wsimil.training.recipe import BagRecipe, bag_order, class_weights
from napari_wsimil.training.settings import TrainingSettings
from napari_wsimil.training.trainer import Trainer


def toy_bags(count=12, seed=0, width=6):
    """Positive bags hold two instances that are far out in the first direction."""
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    bags = []
    for target in targets:
        features = random.normal(size=(int(random.integers(4, 9)), width)).astype(np.float32)
        features[:2, 0] += 4 * target
        bags.append(FeatureBag({1.0: torch.from_numpy(features)}))
    return MemoryBags(bags, targets)


def make(folder, *, identity="", bags=None, **settings):
    torch.manual_seed(7)
    model = build_mil("abmil", 6, 2, {"hidden": 8, "attention": 4, "dropout": 0.25})
    chosen = TrainingSettings(**{"epochs": 5, "learning_rate": 1e-2, "patience": 0, **settings})
    return Trainer(BagRecipe(model, bags or toy_bags(), chosen), toy_bags(seed=1), folder, identity=identity)


def finish(trainer):
    events = list(trainer.run())
    return events, trainer.recipe.model.state_dict()


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


VARIANTS = [
    {},
    {"optimiser": "adamw", "accumulate": 5, "schedule": "cosine", "balanced": "sampling"},
    {"optimiser": "sgd", "momentum": 0.9, "schedule": "plateau", "schedule_patience": 0, "clip": 0.5},
    {"optimiser": "lookahead-radam", "schedule": "steps", "schedule_at": (2, 3), "balanced": "loss"},
    {"optimiser": "radam", "precision": "bf16", "select": "auc"},
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.parametrize("stops", [(1, 1, 1), (17,), (3, 11, 12, 2, 9)])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, settings, stops):
    whole, weights = finish(make(tmp_path / "whole", **settings))
    for count in stops:
        steps = make(tmp_path / "broken", **settings).run()
        taken = 0
        for event in steps:
            taken += event.kind == "step"
            if taken == count:
                break
        steps.close()
    events, again = finish(make(tmp_path / "broken", **settings))
    assert equal(weights, again)
    assert events[0].data["resumed"]
    kept = [event for event in read_events(tmp_path / "broken" / "events.jsonl") if event.kind == "epoch"]
    assert [event.epoch for event in kept] == list(range(5))
    for event, other in zip(kept, (event for event in whole if event.kind == "epoch"), strict=True):
        same = {name: value for name, value in other.data.items() if name != "seconds"}
        assert {name: value for name, value in event.data.items() if name != "seconds"} == same


def test_a_finished_run_is_not_trained_again(tmp_path):
    _, weights = finish(make(tmp_path))
    events, again = finish(make(tmp_path))
    assert [event.kind for event in events] == ["start", "finish"]
    assert equal(weights, again)


def test_it_learns_and_keeps_the_best_epoch(tmp_path):
    trainer = make(tmp_path, epochs=40, select="loss")
    events, _ = finish(trainer)
    epochs = [event.data for event in events if event.kind == "epoch"]
    losses = [epoch["validation"]["loss"] for epoch in epochs]
    assert losses[0] > 2 * min(losses)
    assert events[-1].data["best_epoch"] == int(np.argmin(losses))
    assert epochs[-1]["validation"]["auc"] > 0.95
    assert -selection_value(score(trainer.recipe.model, toy_bags(seed=1)), "loss") == pytest.approx(min(losses), rel=1e-6)


def test_patience_ends_it(tmp_path):
    events, _ = finish(make(tmp_path, epochs=200, learning_rate=0.1, patience=3, patience_from=6))
    assert events[-1].data["stopped"] == "patience"
    assert 6 <= events[-1].data["epochs"] < 200
    assert events[-1].data["epochs"] - 1 - events[-1].data["best_epoch"] >= 3


def test_another_run_in_the_folder_is_refused(tmp_path):
    finish(make(tmp_path, identity="a"))
    with pytest.raises(TrainingError, match="other settings or other slides"):
        list(make(tmp_path, identity="b").run())


def test_a_loss_that_is_no_number_is_a_sentence_and_changes_no_file(tmp_path):
    bags = toy_bags()
    bags.bag(3).features(1.0)[:] = float("nan")
    with pytest.raises(TrainingError, match="not a number in epoch 1"):
        list(make(tmp_path, bags=bags).run())


def test_learning_rates_follow_their_schedule():
    base = {"learning_rate": 1.0, "epochs": 10}
    cosine = TrainingSettings(schedule="cosine", schedule_end=0.2, **base)
    assert [scheduled(cosine, epoch) for epoch in (0, 5, 10)] == pytest.approx([1.0, 0.6, 0.2])
    steps = TrainingSettings(schedule="steps", schedule_at=(3, 6), schedule_factor=0.5, **base)
    assert [scheduled(steps, epoch) for epoch in (0, 2, 3, 6)] == [1.0, 1.0, 0.5, 0.25]
    assert scheduled(TrainingSettings(schedule="plateau"), 4) is None


def test_lookahead_goes_half_the_way_every_few_steps():
    slow, fast = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    lookahead, plain = LookaheadRAdam([slow], every=5, lr=0.1), torch.optim.RAdam([fast], lr=0.1)
    for step in range(1, 6):
        for parameter, optimiser in ((slow, lookahead), (fast, plain)):
            parameter.grad = torch.tensor([0.5, step * 0.1])
            optimiser.step()
        if step < 5:
            assert torch.equal(slow, fast)
    expected = torch.tensor([1.0, -2.0]) + 0.5 * (fast.detach() - torch.tensor([1.0, -2.0]))
    assert torch.allclose(slow, expected)


def test_frozen_parameters_are_left_out():
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    assert len(make_optimiser(TrainingSettings(), layer.parameters()).param_groups[0]["params"]) == 1


def test_rare_classes_are_drawn_as_often_as_common_ones():
    targets = np.array([0] * 90 + [1] * 10)
    settings = TrainingSettings(balanced="sampling")
    drawn = [targets[bag_order(targets, settings, np.random.default_rng(seed))].mean() for seed in range(30)]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.05)
    assert sorted(bag_order(targets, TrainingSettings(), np.random.default_rng(0))) == list(range(100))


def test_class_weights_are_inverse_to_counts():
    weights = class_weights(np.array([0, 0, 0, 1]), torch.device("cpu"))
    assert weights.tolist() == pytest.approx([4 / 6, 2.0])
