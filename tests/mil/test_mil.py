from __future__ import annotations

import pytest
import torch
from pydantic import BaseModel

from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import ModelError
from napari_wsimil.mil import METHODS, GatedAttention, build_mil
from napari_wsimil.mil.methods.abmil import ABMIL


def model(**changes) -> ABMIL:
    torch.manual_seed(0)
    return ABMIL(12, 3, **({"hidden": 8, "attention": 5} | changes)).eval()


def bag(count: int = 20, seed: int = 0) -> FeatureBag:
    return FeatureBag({0.5: torch.randn(count, 12, generator=torch.Generator().manual_seed(seed))})


@pytest.mark.parametrize(("length", "width"), [(512, 128), (512, 256), (8, 5)])
def test_gated_attention_parameters(length, width):
    attention = GatedAttention(length, width)
    assert sum(p.numel() for p in attention.parameters()) == 2 * (length * width + width) + width + 1


def test_gated_attention_is_the_formula():
    torch.manual_seed(0)
    attention = GatedAttention(4, 3)
    h = torch.randn(6, 4)
    v, u, w = attention.content, attention.gate, attention.score
    gated = torch.tanh(h @ v.weight.T + v.bias) * torch.sigmoid(h @ u.weight.T + u.bias)
    torch.testing.assert_close(attention(h), gated @ w.weight.T + w.bias)
    assert GatedAttention(4, 3, gated=False).gate is None


@pytest.mark.parametrize(
    ("features", "attention", "count"),
    [(384, 128, 329_603), (512, 256, 526_595), (1024, 128, 657_283), (1024, 256, 788_739), (1536, 384, 1_182_339)],
)
def test_published_parameter_counts(features, attention, count):
    network = ABMIL(features, 2, hidden=512, attention=attention)
    assert sum(p.numel() for p in network.parameters()) == count


def test_output_shapes_and_attention_sums_to_one():
    output = model()(bag(20))
    assert output.logits.shape == (3,)
    assert output.attention[0.5].shape == (20,)
    assert output.instance_logits[0.5].shape == (20, 3)
    assert output.attention[0.5].sum().item() == pytest.approx(1, abs=1e-6)
    assert output.anchors is None
    assert output.zoom is None


@pytest.mark.parametrize("gated", [True, False])
def test_bag_logits_are_the_weighted_mean_of_instance_logits(gated):
    output = model(gated=gated)(bag(30))
    torch.testing.assert_close(output.attention[0.5] @ output.instance_logits[0.5], output.logits, rtol=1e-5, atol=1e-6)


def test_order_of_patches_does_not_matter():
    network, order = model(), torch.randperm(25, generator=torch.Generator().manual_seed(5))
    plain, shuffled = network(bag(25)), network(FeatureBag({0.5: bag(25).features(0.5)[order]}))
    torch.testing.assert_close(shuffled.logits, plain.logits)
    torch.testing.assert_close(shuffled.attention[0.5], plain.attention[0.5][order])
    torch.testing.assert_close(shuffled.instance_logits[0.5], plain.instance_logits[0.5][order])


def test_one_patch_gets_all_attention():
    output = model()(bag(1))
    assert output.attention[0.5].tolist() == [1.0]
    torch.testing.assert_close(output.instance_logits[0.5][0], output.logits)


def test_evaluation_is_deterministic_and_training_is_not():
    network = model(dropout=0.5)
    assert torch.equal(network(bag()).logits, network(bag()).logits)
    network.train()
    assert not torch.equal(network(bag()).logits, network(bag()).logits)


def test_gradients_reach_every_parameter():
    network = model().train()
    network(bag()).logits[0].backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    # the bias of the attention's score shifts all logits alike, which softmax does not see
    assert set(without) <= {"attention.score.bias"}


def test_finest_magnification_is_used():
    fine = bag(9).features(0.5)
    output = model()(FeatureBag({0.5: fine, 2.0: torch.zeros(4, 12)}))
    assert set(output.attention) == {0.5}
    torch.testing.assert_close(output.logits, model()(FeatureBag({0.5: fine})).logits)


def test_registry_says_what_each_number_means():
    for method in METHODS.values():
        assert issubclass(method.parameters, BaseModel)
        assert method.source.startswith("https://")
        for name, field in method.parameters.model_fields.items():
            assert field.description, name
            assert field.json_schema_extra["source"], name
            assert field.default is not None


def test_build_mil_uses_the_parameters():
    assert build_mil("abmil", 256, 2, {"hidden": 64}).classifier.in_features == 64
    assert build_mil("abmil", 256, 2).classifier.in_features == 512


@pytest.mark.parametrize(
    ("method", "parameters", "says"),
    [
        ("zoom", {}, "'zoom' is not known; this version has abmil"),
        ("abmil", {"hidden": 0}, "'hidden'"),
        ("abmil", {"dropout": 1.0}, "'dropout'"),
        ("abmil", {"layers": 3}, "'layers'"),
    ],
)
def test_bad_requests(method, parameters, says):
    with pytest.raises(ModelError, match=says):
        build_mil(method, 256, 2, parameters)
