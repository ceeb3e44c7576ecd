from __future__ import annotations

import math

import pytest
import torch
from counting import count
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import ModelError
from napari_wsimil.mil import build_mil, chunks
from napari_wsimil.mil.methods.ilra import ILRA, GatedBlock


def model(dtype=torch.float32, **changes) -> ILRA:
    torch.manual_seed(0)
    net = ILRA(7, 3, **({"hidden": 12, "heads": 3, "rank": 2} | changes)).to(dtype).eval()
    for module in net.modules():  # as made, biases are 0, and would not be seen to be forgotten
        for name, value in module.named_parameters(recurse=False):
            if "bias" in name:
                torch.nn.init.normal_(value)
    return net


def bag(length: int, dtype=torch.float32, seed: int = 0) -> FeatureBag:
    return FeatureBag(
        {0.5: torch.randn(length, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)}
    )


# the method from its equations, with torch's own multi-head attention


def block(b: GatedBlock, Q, K):
    """(tokens, attention (queries, keys) mean over the heads)."""
    q, k, v = b.fc_q(Q), b.fc_k(K), b.fc_v(K)
    A, weights = b.attention(q, k, v)
    O = b.norms[0](q + A)  # noqa: E741 - the paper's letter
    O = b.norms[1](O + torch.relu(b.fc_o(O)))  # noqa: E741
    if b.gate is not None:
        gate = b.gate(Q)
        O = O * (gate * torch.sigmoid(gate))  # noqa: E741
    return O, weights


def naive(net: ILRA, x):
    matrices = []
    for layer in net.layers:
        H, to_patches = block(layer.gathering, layer.latents, x)
        x, to_latents = block(layer.spreading, x, H)
        matrices.append((torch.eye(len(x), dtype=x.dtype) + to_latents @ to_patches) / 2)
    pooled, attention = block(net.pooling, net.query, x)
    for matrix in reversed(matrices):
        attention = attention @ matrix
    evidence = torch.stack([net.classifier(block(net.pooling, net.query, row[None])[0])[0] for row in x])
    return net.classifier(pooled)[0], attention[0], evidence


@pytest.mark.parametrize("length", [1, 2, 17])
@pytest.mark.parametrize(
    "changes", [{}, {"rank": 1}, {"rank": 5}, {"normalised": False}, {"layers": 1}, {"layers": 3}, {"heads": 1}]
)
@torch.no_grad()
def test_it_is_the_equations(length, changes):
    net, data = model(torch.float64, **changes), bag(length, torch.float64)
    output = net(data)
    logits, attention, evidence = naive(net, data.features(0.5))
    torch.testing.assert_close(output.logits, logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(output.attention[0.5], attention, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(output.instance_logits[0.5], evidence, rtol=1e-5, atol=1e-6)


def test_of_one_patch_the_evidence_is_the_answer():
    output = model()(bag(1))
    torch.testing.assert_close(output.instance_logits[0.5][0], output.logits)
    assert output.attention[0.5].tolist() == [1.0]


@pytest.mark.parametrize(("features", "expected"), [(512, 3_163_394), (768, 3_425_538), (1024, 3_687_682)])
def test_parameter_counts(features, expected):
    assert sum(p.numel() for p in build_mil("ilra", features, 2).parameters()) == expected


@pytest.mark.parametrize(("length", "published"), [(120, 190.0), (1000, 1578), (10_000, 15_770)])
def test_macs_of_layers(length, published):
    leaves, products = count("ilra", 1024, length)
    assert leaves.macs / 1e6 == pytest.approx(published, rel=1e-3)
    assert leaves.parameters == 2_371_074
    assert products > leaves.macs


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 100), rank=st.integers(1, 8), layers=st.integers(1, 3))
@torch.no_grad()
def test_any_size(length, rank, layers):
    output = model(rank=rank, layers=layers)(bag(length))
    assert torch.isfinite(output.logits).all()
    assert output.attention[0.5].shape == (length,)
    assert (output.attention[0.5] >= 0).all()
    assert output.attention[0.5].sum().item() == pytest.approx(1, abs=1e-5)
    assert output.instance_logits[0.5].shape == (length, 3)


def test_the_order_of_the_bag_does_not_matter():
    net, data, mixed = model(), bag(40), torch.randperm(40, generator=torch.Generator().manual_seed(0))
    output, other = net(data), net(FeatureBag({0.5: data.features(0.5)[mixed]}))
    torch.testing.assert_close(other.logits, output.logits)
    torch.testing.assert_close(other.attention[0.5], output.attention[0.5][mixed])
    torch.testing.assert_close(other.instance_logits[0.5], output.instance_logits[0.5][mixed])


def test_chunks_give_the_same_numbers(monkeypatch):
    net, data = model(), bag(100)
    whole = net(data)
    for function in (chunks.in_chunks, chunks.attention_pool):
        monkeypatch.setattr(function, "__defaults__", (7,))
    with torch.no_grad():
        parts = net(data)
    torch.testing.assert_close(parts.logits, whole.logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts.attention, whole.attention, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(parts.instance_logits, whole.instance_logits, rtol=1e-5, atol=1e-5)


def test_gradients_reach_every_parameter():
    net = model().train()
    losses = net.losses(bag(20), torch.tensor(1))
    losses.total.backward()
    assert losses.output.instance_logits is None
    # what shifts all keys alike shifts all logits of a query alike, which softmax does not see
    untaught = {name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-7}
    assert all(name.endswith("fc_k.bias") for name in untaught)


def test_one_latent_token_leaves_nothing_to_choose():
    """As published: at rank 1 each patch gives the only latent token all its attention, whatever the keys."""
    net = model(rank=1)
    net.losses(bag(20), torch.tensor(1)).total.backward()
    for name, p in net.named_parameters():
        assert (p.grad.abs().max() < 1e-7) == ("spreading.fc_k" in name or name.endswith("fc_k.bias")), name


def test_evaluation_and_training_agree():
    net = model()
    answer = net(bag(20)).logits
    assert torch.equal(net(bag(20)).logits, answer)
    assert torch.equal(net.train()(bag(20)).logits, answer)


def test_half_precision():
    net, data = model(), bag(200)
    with torch.autocast("cpu", torch.bfloat16):
        losses = net.losses(data, torch.tensor(1))
    assert losses.output.attention[0.5].sum().item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(losses.output.logits.float(), net(data).logits, rtol=0.1, atol=0.1)
    losses.total.backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_one_graph_when_compiled():
    net = model()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    with torch.no_grad():
        for length in (20, 30):
            torch.testing.assert_close(compiled(bag(length)).logits, net(bag(length)).logits)


def test_heads_must_share_the_width():
    with pytest.raises(ModelError, match="use a multiple of 8"):
        build_mil("ilra", 7, 2, {"hidden": 12})


def test_weights_start_as_in_the_official_code():
    weight = build_mil("ilra", 512, 2).pooling.fc_v.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.02)
