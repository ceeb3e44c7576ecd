"""Each method learns by its own recipe, whose defaults are the paper's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import ModelError, TrainingError
from napari_wsimil.mil import METHODS, build_mil
from napari_wsimil.mil import regions as region_memory
from napari_wsimil.patches import PatchGrid
from napari_wsimil.training.bag_sets import MemoryBags
from napari_wsimil.training.recipes import RECIPES
from napari_wsimil.training.runs.plan import TrainingPlan, recipe_of, sorted_out
from napari_wsimil.training.settings import TrainingSettings, published
from napari_wsimil.training.trainer import Trainer

SMALL = {
    "abmil": {"hidden": 16, "attention": 8},
    "acmil": {"hidden": 16, "attention": 8, "branches": 2, "masked": 2},
    "ainet": {"regions": 2, "anchors": 2, "width": 8},
    "clam": {"hidden": 16, "attention": 8, "sampled": 2},
    "dsmil": {"query": 8},
    "dtfd": {"hidden": 16, "attention": 8, "groups": 2, "groupings": 2},
    "ilra": {"hidden": 16, "heads": 2},
    "max": {"hidden": 16},
    "mean": {"hidden": 16},
    "transmil": {"hidden": 16, "heads": 2, "landmarks": 4},
    "weno": {"hidden": 16, "attention": 8, "student": 16},
    "zoommil": {"magnifications": 2, "selected": 3, "hidden": 16, "attention": 8, "samples": 20},
}
SINGLE = sorted(name for name, recipe in RECIPES.items() if recipe.stages is None)
COMMON = set(TrainingSettings.model_fields)


def grid(side, mpp):
    column, row = np.meshgrid(np.arange(side), np.arange(side))
    cells = np.stack([column.ravel(), row.ravel()], axis=1).astype(np.int64)
    step = 256 * mpp / 0.5
    return PatchGrid((cells * step).astype(np.int64), cells, np.ones(len(cells), np.float32), mpp, 256, 256, step, step)


def easy_bags(count=8, seed=0, width=16):
    """Slides of 16 fine and 4 coarse patches; in those of the positive class all patches are shifted."""
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    grids = {1.0: grid(2, 1.0), 0.5: grid(4, 0.5)}
    bags = []
    for target in targets:
        tables = {mpp: random.normal(0.4 * (2 * target - 1), 0.5, (len(grids[mpp]), width)) for mpp in grids}
        bags.append(FeatureBag({mpp: torch.tensor(table, dtype=torch.float32) for mpp, table in tables.items()}, grids))
    return MemoryBags(bags, targets)


def recipe_for(name, bags, **settings):
    torch.manual_seed(0)
    allowed = set(METHODS[name].parameters.model_fields)
    parameters = {key: value for key, value in SMALL[name].items() if key in allowed}
    model = build_mil(name, 16, 2, parameters)
    return RECIPES[name].make(model, bags, RECIPES[name].settings(**settings))


def epochs_of(recipe, folder, seed=1):
    events = list(Trainer(recipe, easy_bags(6, seed), folder).run())
    return [event.data for event in events if event.kind == "epoch"]


def test_every_method_has_a_recipe():
    assert set(RECIPES) == set(METHODS)
    assert set(SMALL) == set(SINGLE)


@pytest.mark.parametrize("name", SINGLE)
def test_two_epochs_by_the_published_settings(name, tmp_path):
    told = epochs_of(recipe_for(name, easy_bags(), epochs=2), tmp_path)
    assert len(told) == 2
    assert all(math.isfinite(value) for data in told for value in data["losses"].values())
    assert (tmp_path / "best.safetensors").is_file()


@pytest.mark.parametrize("name", SINGLE)
def test_the_loss_falls_where_classes_are_easy_to_tell_apart(name, tmp_path):
    faster = {"learning_rate": 0.01, "schedule": "constant", "patience": 0, "select_from": 0.0}
    # WENO: the teacher's loss, since its student learns from labels that change
    part, more = ("teacher", {"optimiser": "adam", "mine_after": 100}) if name == "weno" else ("loss", {})
    told = epochs_of(recipe_for(name, easy_bags(), epochs=6, **faster, **more), tmp_path)
    assert told[-1]["losses"][part] < told[0]["losses"][part]
    assert max(data["validation"]["auc"] for data in told) > 0.85


PUBLISHED = {
    "clam": {"learning_rate": 1e-4, "weight_decay": 1e-5, "epochs": 200, "patience": 20, "patience_from": 50},
    "dsmil": {"betas": (0.5, 0.9), "weight_decay": 1e-3, "schedule": "cosine", "schedule_end": 5e-6, "epochs": 50},
    "transmil": {"optimiser": "lookahead-radam", "learning_rate": 2e-4, "accumulate": 2, "patience": 10},
    "ilra": {"schedule": "cosine", "epochs": 100, "schedule_end": 0.0},
    "acmil": {"optimiser": "adamw", "schedule": "cosine", "epochs": 50, "select": "auc+f1"},
    "dtfd": {"weight_decay": 1e-4, "schedule_at": (100,), "schedule_factor": 0.2, "clip": 5.0, "select_from": 0.8},
    "zoommil": {"schedule": "plateau", "schedule_factor": 0.8, "schedule_patience": 5, "balanced": "sampling"},
    "ainet": {"optimiser": "adamw", "learning_rate": 1e-4, "select": "auc+f1", "patience": 20, "patience_from": 50},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_the_published_ones(name):
    chosen = RECIPES[name].settings().model_dump()
    assert {key: chosen[key] for key in PUBLISHED[name]} == PUBLISHED[name]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_setting_says_what_it_is_and_where_its_default_comes_from(name):
    for field in RECIPES[name].settings.model_fields.values():
        assert field.description
        assert field.json_schema_extra["source"]
    # one name must never mean two things on the command line
    assert not set(METHODS[name].parameters.model_fields) & set(RECIPES[name].settings.model_fields)


def test_a_changed_default_keeps_help_and_limits():
    class Settings(TrainingSettings):
        clip: float = published("clip", 3.0, "a paper", guess=True)

    field, first = Settings.model_fields["clip"], TrainingSettings.model_fields["clip"]
    assert Settings().clip == 3.0
    assert field.description == first.description
    assert field.metadata == first.metadata
    assert field.json_schema_extra == {"source": "a paper", "guess": True}
    with pytest.raises(ValueError, match="greater than or equal"):
        Settings(clip=-1)


def test_dtfd_trains_its_tiers_with_an_optimiser_each_that_sees_only_its_own_loss():
    bags = easy_bags()
    recipe = recipe_for("dtfd", bags, clip=0.0, optimiser="sgd", learning_rate=1.0, weight_decay=0.0, schedule="constant")
    assert set(recipe.optimisers) == {"pseudo_bags", "slide"}
    owned = [{p for group in o.param_groups for p in group["params"]} for o in recipe.optimisers.values()]
    assert not owned[0] & owned[1]
    assert owned[0] | owned[1] == set(recipe.model.parameters())
    model, row = recipe.model, 0
    model.train()
    torch.manual_seed(5)
    losses = model.losses(bags.bag(row), torch.tensor(0))
    first = torch.autograd.grad(losses.parts["pseudo_bags"], model.embed[0].weight, retain_graph=True)[0]
    second = torch.autograd.grad(losses.parts["bag"], model.classifier.weight)[0]
    before = model.embed[0].weight.clone(), model.classifier.weight.clone()
    torch.manual_seed(5)
    recipe.step("slides", np.array([row]), {row: bags.bag(row)})
    torch.testing.assert_close(before[0] - model.embed[0].weight, first)
    torch.testing.assert_close(before[1] - model.classifier.weight, second)


def test_dtfd_limits_the_gradient_of_each_part_by_itself():
    bags = easy_bags()
    limit = 1e-3
    recipe = recipe_for("dtfd", bags, clip=limit, optimiser="sgd", learning_rate=1.0, weight_decay=0.0, schedule="constant")
    groups = [group["params"] for optimiser in recipe.optimisers.values() for group in optimiser.param_groups]
    before = [[p.detach().clone() for p in group] for group in groups]
    recipe.step("slides", np.array([0]), {0: bags.bag(0)})
    assert len(groups) == 4
    for group, old in zip(groups, before, strict=True):
        moved = math.sqrt(sum(float((p.detach() - q).square().sum()) for p, q in zip(group, old, strict=True)))
        assert 0 < moved <= limit * 1.001


def test_dtfd_with_a_frozen_tier_trains_the_other():
    model = build_mil("dtfd", 16, 2, SMALL["dtfd"])
    for part in (model.embed, model.attention, model.group_classifier):
        part.requires_grad_(requires_grad=False)
    recipe = RECIPES["dtfd"].make(model, easy_bags(), RECIPES["dtfd"].settings())
    assert set(recipe.optimisers) == {"slide"}


def test_regions_are_made_once_for_a_slide_not_in_every_epoch(tmp_path, monkeypatch):
    made = []
    original = region_memory.regions_of
    monkeypatch.setattr(region_memory, "_memory", region_memory._Memory(1000))
    monkeypatch.setattr(region_memory, "regions_of", lambda places, *rest: made.append(len(places)) or original(places, *rest))
    epochs_of(recipe_for("ainet", easy_bags(), epochs=3), tmp_path)
    # all toy slides have the same places
    assert made == [16]


def test_zoommil_draws_its_noise_from_the_step_alone():
    bags = easy_bags()
    recipe = recipe_for("zoommil", bags)
    recipe.model.train()
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(float(recipe.model.losses(bags.bag(0), torch.tensor(0)).total.detach()))
    assert losses[0] == losses[1] != losses[2]


def test_values_are_shared_out_between_method_and_training():
    assert sorted_out("clam", {"hidden": 8, "epochs": 3, "sampled": 2}) == ({"hidden": 8, "sampled": 2}, {"epochs": 3})
    with pytest.raises(TrainingError, match=r"clam has nothing called 'hiden'; .*hidden.*epochs"):
        sorted_out("clam", {"hiden": 8})


def test_what_can_not_be_trained_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match=r"'clem' is not known; this version has abmil"):
        recipe_of("clem")
    plan = {"manifest": tmp_path / "m.csv", "out": tmp_path / "out"}
    with pytest.raises(TrainingError, match=r"The setting 'epochs' of abmil can't be 0"):
        TrainingPlan(method="abmil", settings={"epochs": 0}, **plan)
    with pytest.raises(TrainingError, match=r"abmil has no setting 'epoch'; it has epochs"):
        TrainingPlan(method="abmil", settings={"epoch": 2}, **plan)
    with pytest.raises(TrainingError, match=r"The hyper-parameter 'hidden' of abmil can't be 'wide'"):
        TrainingPlan(method="abmil", parameters={"hidden": "wide"}, **plan)
    with pytest.raises(TrainingError, match=r"There is no fold 6 of 5"):
        TrainingPlan(method="abmil", folds=5, fold=6, **plan)
