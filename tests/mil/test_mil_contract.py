"""What forms, packages, jobs and trainers may expect of any method, asked of every one in the registry."""

from __future__ import annotations

import math

import annotated_types
import numpy as np
import pytest
import torch

import napari_wsimil as ws
from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import ModelError
from napari_wsimil.mil import METHODS, build_mil
from napari_wsimil.mil.chunks import attention_pool, in_chunks
from napari_wsimil.packages import EncoderReference, ModelSpec, load_model, save_model
from napari_wsimil.patches.grid import PatchGrid

WIDTH = 32
PYRAMID = (2.0, 1.0, 0.5)
EXTRAS = ("class_attention", "anchors", "regions", "zoom", "instance_logits")

SMALL = {
    "clam": {"branches": "multi"},
    "ainet": {"regions": 3, "anchors": 4},
    "transmil": {"hidden": 16, "landmarks": 8},
    "weno": {"projection": 16, "student": 24},
    "zoommil": {"magnifications": 2, "selected": 3},
}
"""Sizes for which a test needs no second, and the choices with which each method shows all that it can."""


def small(name):
    """Hyper-parameters of a small network of any method."""
    usual = {"hidden": 24, "attention": 12, "query": 12}
    return {key: value for key, value in usual.items() if key in METHODS[name].parameters.model_fields} | SMALL.get(name, {})


def make(name, classes=2, parameters=None, seed=0):
    torch.manual_seed(seed)
    return build_mil(name, WIDTH, classes, parameters).eval()


def grid(cells, mpp):
    cells = np.asarray(cells, dtype=np.int64).reshape(-1, 2)
    cells = cells[np.lexsort((cells[:, 0], cells[:, 1]))]
    step = 256 * mpp / 0.25
    return PatchGrid((cells * step).astype(np.int64), cells, np.ones(len(cells), np.float32), mpp, 256, 256, step, step)


def slide(count, mpps, seed=1):
    """A bag of `count` patches at the coarsest magnification with all their children, and its places."""
    width = math.isqrt(count - 1) + 1
    coarse = [divmod(i, width)[::-1] for i in range(count)]
    generator = torch.Generator().manual_seed(seed)
    grids, tables = {}, {}
    for mpp in mpps:
        k = round(mpps[0] / mpp)
        grids[mpp] = grid([(x * k + i, y * k + j) for x, y in coarse for i in range(k) for j in range(k)], mpp)
        tables[mpp] = torch.randn(len(grids[mpp]), WIDTH, generator=generator)
    return FeatureBag(tables, grids)


def bag_for(name, count, parameters=None, seed=1):
    """A bag of as many magnifications as a method looks at."""
    if METHODS[name].magnifications == (1, 1):
        return slide(count, PYRAMID[-1:], seed)
    magnifications = (parameters or {}).get("magnifications", METHODS[name].parameters().magnifications)
    return slide(count, PYRAMID[-magnifications:], seed)


def without_places(bag):
    return FeatureBag({mpp: bag.features(mpp) for mpp in bag.mpps})


every_method = pytest.mark.parametrize("name", METHODS)
networks = {}


def with_defaults(name):
    """The network with all defaults; tests must not change it."""
    if name not in networks:
        networks[name] = make(name)
    return networks[name]


# -- what forms show --------------------------------------------------------------------------------------------------------


@every_method
def test_a_method_says_what_it_is(name):
    method = METHODS[name]
    assert method.name == name
    assert method.source.startswith("https://")
    assert method.title == method.title.strip() != ""
    assert method.summary.endswith(".")
    assert len(method.summary) < 130
    assert "\n" not in method.summary
    assert method.shows <= set(EXTRAS)
    least, most = method.magnifications
    assert 1 <= least <= (most or least)


@every_method
def test_every_parameter_says_what_it_is(name):
    method = METHODS[name]
    defaults = method.parameters()
    for key, field in method.parameters.model_fields.items():
        extra = field.json_schema_extra
        assert field.description.endswith("."), key
        assert len(field.description) < 130, key
        assert extra["source"].strip(), key
        assert isinstance(extra["guess"], bool), key
        if type(field.default) in (int, float):
            assert any(isinstance(limit, annotated_types.Ge | annotated_types.Gt) for limit in field.metadata), key
    # a form that shows the defaults and gives them back changes nothing
    assert method.parameters.model_validate(defaults.model_dump()) == defaults
    assert method.parameters.model_json_schema()["additionalProperties"] is False


def wrong_values(field):
    """Values outside the stated range, or of another kind."""
    for limit in field.metadata:
        if isinstance(limit, annotated_types.Ge):
            yield limit.ge - 1
        elif isinstance(limit, annotated_types.Gt):
            yield limit.gt
        elif isinstance(limit, annotated_types.Le):
            yield limit.le + 1
        elif isinstance(limit, annotated_types.Lt):
            yield limit.lt
    if type(field.default) in (int, float):
        yield "many"
    elif isinstance(field.default, bool):
        yield "perhaps"


@every_method
def test_wrong_parameters_are_refused_by_name(name):
    for key, field in METHODS[name].parameters.model_fields.items():
        for value in wrong_values(field):
            with pytest.raises(ModelError, match=f"hyper-parameter '{key}' of {name} can't be used"):
                build_mil(name, WIDTH, 2, {key: value})
    with pytest.raises(ModelError, match="'no_such_thing'"):
        build_mil(name, WIDTH, 2, {"no_such_thing": 1})


# -- what comes out ---------------------------------------------------------------------------------------------------------


def check(output, network, bag, classes):
    """Shapes, sums and finiteness of an output."""
    assert output.logits.shape == (classes,)
    assert output.logits.isfinite().all()
    assert network.probabilities(output.logits).sum().item() == pytest.approx(1)
    lengths = {mpp: len(output.rows[mpp]) if mpp in output.rows else len(bag.features(mpp)) for mpp in output.attention}
    for mpp, attention in output.attention.items():
        assert attention.shape == (lengths[mpp],)
        assert attention.sum().item() == pytest.approx(1, abs=1e-4)
        assert (attention >= 0).all()
    for table in (output.class_attention, output.instance_logits):
        for mpp, values in (table or {}).items():
            assert values.shape == (lengths[mpp], classes)
            assert values.isfinite().all()
    for values in (output.class_attention or {}).values():
        torch.testing.assert_close(values.sum(0), torch.ones(classes), rtol=0, atol=1e-4)
    for mpp, numbers in (output.regions or {}).items():
        assert numbers.shape == (lengths[mpp],)
        assert set(numbers.tolist()) == set(range(int(numbers.max()) + 1))
    for chosen in [output.anchors, *(output.zoom or {}).values()]:
        if chosen is not None:
            assert chosen.rows.shape == chosen.scores.shape
            assert len(set(chosen.rows.tolist())) == len(chosen.rows)
            assert 0 <= int(chosen.rows.min()) <= int(chosen.rows.max()) < len(bag.features(chosen.mpp))
            assert chosen.scores.tolist() == sorted(chosen.scores.tolist(), reverse=True)


@every_method
@pytest.mark.parametrize("count", [1, 2, 3, 17, 300])
def test_defaults_answer_for_any_bag(name, count):
    network, bag = with_defaults(name), bag_for(name, count)
    with torch.inference_mode():
        check(network(bag), network, bag, 2)


@every_method
def test_many_classes(name):
    if name == "weno":
        with pytest.raises(ModelError, match="two classes"):
            make(name, classes=4)
        return
    network, bag = make(name, 4, small(name)), bag_for(name, 9, small(name))
    check(network(bag), network, bag, 4)


@every_method
def test_places_are_not_needed_where_only_one_magnification_is_looked_at(name):
    if METHODS[name].magnifications != (1, 1):
        pytest.skip("children need places")
    network, bag = make(name, parameters=small(name)), without_places(bag_for(name, 20))
    check(network(bag), network, bag, 2)


@every_method
def test_a_method_shows_what_it_says(name):
    """`shows` is exactly what comes out with the choice that shows most; with the defaults it may be less."""
    shown = {key for key in EXTRAS if getattr(make(name, parameters=small(name))(bag_for(name, 30, small(name))), key)}
    assert shown == METHODS[name].shows
    usually = {key for key in EXTRAS if getattr(with_defaults(name)(bag_for(name, 30)), key)}
    assert usually <= METHODS[name].shows


@every_method
def test_evaluation_is_deterministic_and_changes_nothing(name):
    network, bag = make(name, parameters=small(name)), bag_for(name, 40, small(name))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(1)
    first = network(bag)
    torch.manual_seed(2)
    second = network(bag)
    assert torch.equal(first.logits, second.logits)
    for mpp, attention in first.attention.items():
        assert torch.equal(attention, second.attention[mpp])
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@every_method
def test_long_bags_in_chunks_give_the_same_numbers(name, monkeypatch):
    network, bag = make(name, parameters=small(name)), bag_for(name, 150, small(name))
    whole = network(bag)
    for function in (attention_pool, in_chunks):
        monkeypatch.setattr(function, "__defaults__", (32,))
    with torch.inference_mode():
        parts = network(bag)
    torch.testing.assert_close(parts.logits, whole.logits, rtol=1e-5, atol=1e-5)
    for mpp, attention in whole.attention.items():
        torch.testing.assert_close(parts.attention[mpp], attention, rtol=1e-4, atol=1e-6)


@every_method
def test_bfloat16_stays_close(name):
    network, bag = make(name, parameters=small(name)), bag_for(name, 200, small(name))
    plain = network(bag)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        half = network(bag)
    for attention in half.attention.values():
        assert attention.sum().item() == pytest.approx(1, abs=5e-3)
        assert attention.dtype == torch.float32
    assert (half.logits.float() - plain.logits).abs().max() < 0.05 + 0.1 * plain.logits.abs().max()


@every_method
def test_compiled_is_the_same(name):
    network, bag = make(name, parameters=small(name)), bag_for(name, 20, small(name))
    torch.compiler.reset()
    compiled = torch.compile(network, backend="eager")
    with torch.inference_mode():
        torch.testing.assert_close(compiled(bag).logits, network(bag).logits)


@every_method
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cuda_gives_the_same(name):
    parameters = small(name)
    network, bag = make(name, parameters=parameters), bag_for(name, 200, parameters)
    with torch.inference_mode():
        here = network(bag)
        there = network.to("cuda")(bag)
    torch.testing.assert_close(there.logits.cpu(), here.logits, rtol=1e-3, atol=1e-4)
    for mpp, attention in here.attention.items():
        torch.testing.assert_close(there.attention[mpp].cpu(), attention, rtol=1e-3, atol=1e-5)


# -- what a trainer minimises -----------------------------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize("weights", [None, (0.5, 2.0)], ids=["", "weighted"])
def test_losses_are_finite_and_go_backward(name, count, weights):
    network, bag = make(name, parameters=small(name)).train(), bag_for(name, count, small(name))
    losses = network.losses(bag, torch.tensor(1), None if weights is None else torch.tensor(weights))
    assert losses.total.shape == ()
    assert losses.total.dtype == torch.float32
    assert losses.total.isfinite()
    assert losses.parts
    assert all(part.isfinite() and part.shape == () for part in losses.parts.values())
    assert losses.output.logits.shape == (2,)
    losses.total.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0


@every_method
def test_a_few_steps_learn_a_slide(name):
    """Whatever the method, it can tell two slides apart that differ."""
    network, parameters = make(name, parameters=small(name)).train(), small(name)
    bags = [bag_for(name, 12, parameters, seed) for seed in (3, 4)]
    for mpp in bags[1].mpps:
        bags[1].features(mpp)[:, :4] += 2
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        sum(network.losses(bag, torch.tensor(label)).total for label, bag in enumerate(bags)).backward()
        optimiser.step()
    network.eval()
    positive = [network.probabilities(network(bag).logits)[1].item() for bag in bags]
    assert positive[0] < positive[1]


# -- magnifications, packages and jobs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.magnifications != (1, 1)])
@pytest.mark.parametrize("given", [1, 3])
def test_a_magnification_too_few_or_too_many_is_said(name, given):
    network = make(name, parameters=small(name))
    for mode in (True, False):
        with pytest.raises(ModelError, match=f"looks at 2 magnifications, but the slide was given at {given}"):
            network.train(mode)(slide(6, PYRAMID[-given:]))


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.magnifications == (1, 1)])
def test_one_magnification_means_the_finest(name):
    network, bag = make(name, parameters=small(name)), slide(5, PYRAMID)
    fine = FeatureBag({0.5: bag.features(0.5)}, {0.5: bag.grid(0.5)})
    assert set(network(bag).attention) == {0.5}
    assert torch.equal(network(bag).logits, network(fine).logits)


@every_method
def test_a_package_of_it_predicts_a_slide(name, random_encoder, tiny_slide, tmp_path):
    encoder, encoder_name = random_encoder
    torch.manual_seed(0)
    parameters = small(name)
    network = build_mil(name, encoder.dimension, 2, parameters).eval()
    spec = ModelSpec(
        id=name,
        method=name,
        parameters=parameters,
        classes=("normal", "tumour"),
        positive_class="tumour",
        encoder=EncoderReference.to(encoder, encoder_name),
        mpps=(0.5,) if METHODS[name].magnifications == (1, 1) else (1.0, 0.5),
    )
    save_model(tmp_path, network, spec)
    model = load_model(tmp_path)
    assert not model.mil.training
    for key, value in network.state_dict().items():
        torch.testing.assert_close(model.mil.state_dict()[key], value)
    result = ws.predict(tiny_slide, model)
    assert sum(result.probabilities.values()) == pytest.approx(1)
    for scores in result.attention.values():
        assert scores.values.sum() == pytest.approx(1, abs=1e-4)
    extras = {
        "class_attention": result.class_attention,
        "anchors": result.anchors,
        "regions": result.regions,
        "zoom": result.zoom,
        "instance_logits": result.instances,
    }
    assert {key for key, value in extras.items() if value} == METHODS[name].shows
