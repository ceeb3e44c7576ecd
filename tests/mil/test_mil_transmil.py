from __future__ import annotations

import math

import pytest
import torch
from counting import count
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import ModelError
from napari_wsimil.mil import build_mil, chunks, nystrom
from napari_wsimil.mil.methods.transmil import TransMIL
from napari_wsimil.mil.nystrom import NystromAttention, pseudo_inverse

SMALL = {"hidden": 12, "heads": 3, "landmarks": 5}


def model(dtype=torch.float32, **changes) -> TransMIL:
    torch.manual_seed(0)
    return TransMIL(7, 3, **(SMALL | changes)).to(dtype).eval()


def bag(length: int, dtype=torch.float32) -> FeatureBag:
    return FeatureBag(
        {0.5: torch.randn(length, 7, generator=torch.Generator().manual_seed(length), dtype=torch.float64).to(dtype)}
    )


# the method from its equations, with whole matrices and loops


def pinv_steps(x, steps, largest):
    z = x.T / largest
    eye = torch.eye(len(x), dtype=x.dtype)
    for _ in range(steps):
        xz = x @ z
        z = z / 4 @ (13 * eye - xz @ (15 * eye - xz @ (7 * eye - xz)))
    return z


def naive_nystrom(layer: NystromAttention, x):
    """Tokens after the layer (n, d) and its whole attention matrices (heads, n', n')."""
    n, d = x.shape
    m, heads = layer.landmarks, layer.heads
    width = d // heads
    pad = (m - n % m) % m
    x = torch.cat([torch.zeros(pad, d, dtype=x.dtype), x])
    q, k, v = (x @ layer.project.weight[i * d : (i + 1) * d].T for i in range(3))
    q = q / math.sqrt(width)
    run = len(x) // m
    matrices, mutual = [], []
    for h in range(heads):
        columns = slice(h * width, (h + 1) * width)
        ql = torch.stack([q[j * run : (j + 1) * run, columns].mean(dim=0) for j in range(m)])
        kl = torch.stack([k[j * run : (j + 1) * run, columns].mean(dim=0) for j in range(m)])
        first = torch.softmax(q[:, columns] @ kl.T, dim=1)
        middle = torch.softmax(ql @ kl.T, dim=1)
        last = torch.softmax(ql @ k[:, columns].T, dim=1)
        mutual.append(middle)
        matrices.append((first, middle, last))
    largest = max(float(x.sum(dim=1).max()) for x in mutual) * max(float(x.sum(dim=0).max()) for x in mutual)
    out, attention = [], []
    for h, (first, middle, last) in enumerate(matrices):
        columns = slice(h * width, (h + 1) * width)
        whole = first @ pinv_steps(middle, layer.iterations, largest) @ last
        attention.append(whole)
        kernel = layer.residual.weight[h, 0, :, 0]
        padded = torch.cat([torch.zeros(16, width, dtype=x.dtype), v[:, columns], torch.zeros(16, width, dtype=x.dtype)])
        nearby = torch.stack([kernel @ padded[i : i + 33] for i in range(len(x))])
        out.append(whole @ v[:, columns] + nearby)
    mixed = torch.cat(out, dim=1) @ layer.mix[0].weight.T + layer.mix[0].bias
    return mixed[-n:], torch.stack(attention)


def naive(net: TransMIL, x):
    """Logits, attention of the class token to patches, evidence."""
    length = len(x)
    h = torch.relu(x @ net.embed[0].weight.T + net.embed[0].bias)
    side = math.ceil(math.sqrt(length))
    repeats = side * side - length
    tokens = torch.cat([net.class_token, h, h[:repeats]])
    norms = [lambda t, n=n: functional.layer_norm(t, n.normalized_shape, n.weight, n.bias) for n in net.norms]
    tokens = tokens + naive_nystrom(net.first, norms[0](tokens))[0]
    placed = tokens.clone()
    for row in range(side):
        for column in range(side):
            for conv, reach in zip(net.positions, (3, 2, 1), strict=True):
                placed[1 + row * side + column] += conv.bias
                for down in range(-reach, reach + 1):
                    for right in range(-reach, reach + 1):
                        if 0 <= row + down < side and 0 <= column + right < side:
                            neighbour = tokens[1 + (row + down) * side + column + right]
                            placed[1 + row * side + column] += conv.weight[:, 0, reach + down, reach + right] * neighbour
    mixed, attention = naive_nystrom(net.last, norms[1](placed))
    logits = norms[2](placed + mixed) @ net.classifier.weight.T + net.classifier.bias
    of_class = attention.mean(dim=0)[-len(tokens), -len(tokens) + 1 :].clamp(min=0)
    shares = of_class[:length].clone()
    shares[:repeats] += of_class[length:]
    return logits[0], shares / shares.sum() if shares.sum() > 0 else torch.full((length,), 1 / length), logits[1 : length + 1]


@pytest.mark.parametrize("length", [1, 2, 3, 5, 16, 17, 30])
@torch.no_grad()
def test_it_is_the_equations(length):
    net, data = model(torch.float64), bag(length, torch.float64)
    output = net(data)
    logits, attention, evidence = naive(net, data.features(0.5))
    torch.testing.assert_close(output.logits, logits, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(output.attention[0.5], attention, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(output.instance_logits[0.5], evidence, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("length", [1, 2, 17])
@torch.no_grad()
def test_single_precision_at_the_published_size(length):
    torch.manual_seed(0)
    net = build_mil("transmil", 7, 2).eval()
    data = bag(length)
    answer = net(data).logits
    exact, _, _ = naive(net.double(), data.features(0.5).double())
    torch.testing.assert_close(answer.double(), exact, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("features", "classes", "parameters", "expected"),
    [(1024, 2, {}, 2_672_146), (1024, 3, {}, 2_672_659), (512, 2, {"hidden": 256}, 680_978)],
)
def test_parameter_counts(features, classes, parameters, expected):
    assert sum(p.numel() for p in build_mil("transmil", features, classes, parameters).parameters()) == expected


@pytest.mark.parametrize(("length", "published"), [(120, 614.3), (1000, 3302), (10_000, 27_550)])
def test_macs_of_layers(length, published):
    """As in the table, but for the last projection, which the official code also computes for the padding."""
    macs = count("transmil", 1024, length)[0].macs / 1e6
    tokens = math.ceil(math.sqrt(length)) ** 2 + 1
    assert macs + 2 * (-tokens % 256) * 512 * 512 / 1e6 == pytest.approx(published, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 150), landmarks=st.integers(1, 40))
@torch.no_grad()
def test_any_size(length, landmarks):
    output = model(landmarks=landmarks)(bag(length))
    assert output.logits.shape == (3,)
    assert torch.isfinite(output.logits).all()
    assert output.attention[0.5].shape == (length,)
    assert (output.attention[0.5] >= 0).all()
    assert output.attention[0.5].sum().item() == pytest.approx(1, abs=1e-5)
    assert output.instance_logits[0.5].shape == (length, 3)


def test_the_pseudo_inverse_nears_the_exact_one():
    torch.manual_seed(0)
    matrices = torch.softmax(3 * torch.randn(2, 6, 6, dtype=torch.float64) + 6 * torch.eye(6), dim=-1)
    exact = torch.linalg.pinv(matrices)
    errors = [float((pseudo_inverse(matrices, steps) - exact).abs().max()) for steps in (1, 6, 20)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-9


def test_with_as_many_landmarks_as_tokens_it_is_self_attention():
    torch.manual_seed(0)
    layer = NystromAttention(8, heads=2, landmarks=6, iterations=60).double().eval()
    torch.nn.init.normal_(layer.project.weight)
    tokens = torch.randn(6, 8, dtype=torch.float64)
    factors = layer.factors(tokens)
    exact = torch.softmax(factors.query @ factors.key.transpose(-1, -2), dim=-1)[0].mean(dim=0)
    for row in range(6):
        torch.testing.assert_close(layer.seen_by(factors, row, 6), exact[row], rtol=1e-4, atol=1e-6)


def test_tokens_that_come_twice_count_for_their_patch():
    net, data = model(torch.float64), bag(5, torch.float64)
    tokens = []
    original = net.last.seen_by
    net.last.seen_by = lambda factors, row, size: tokens.append(original(factors, row, size)) or tokens[0]
    output = net(data)
    positive = tokens[0][1:].clamp(min=0)
    assert len(positive) == 9
    folded = positive[:5] + torch.cat([positive[5:], torch.zeros(1)])
    torch.testing.assert_close(output.attention[0.5], folded / folded.sum())


def test_where_all_attention_is_negative_all_patches_have_the_same():
    net = model()
    net.last.seen_by = lambda factors, row, size: -torch.ones(size)
    assert net(bag(4)).attention[0.5].tolist() == [0.25] * 4


def test_attention_in_chunks_is_the_same(monkeypatch):
    net, data = model(), bag(60)
    whole = net(data)
    monkeypatch.setattr(nystrom, "CHUNK", 7)
    monkeypatch.setattr(chunks.in_chunks, "__defaults__", (7,))
    with torch.no_grad():
        parts = net(data)
    torch.testing.assert_close(parts.attention, whole.attention, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(parts.logits, whole.logits, rtol=1e-5, atol=1e-6)


def test_the_order_of_the_bag_matters_as_published():
    net, data = model(), bag(20)
    assert not torch.allclose(net(data).logits, net(FeatureBag({0.5: data.features(0.5).flip(0)})).logits, atol=1e-4)


def test_gradients_reach_every_parameter():
    net = model()
    net.losses(bag(20), torch.tensor(1)).total.backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []
    assert not net(bag(20)).attention[0.5].requires_grad


def test_evaluation_is_deterministic_and_training_is_not():
    net = model(dropout=0.5)
    assert torch.equal(net(bag(20)).logits, net(bag(20)).logits)
    net.train()
    assert not torch.equal(net(bag(20)).logits, net(bag(20)).logits)


def test_half_precision():
    net, data = model(), bag(100)
    with torch.autocast("cpu", torch.bfloat16):
        losses = net.losses(data, torch.tensor(1))
    torch.testing.assert_close(losses.output.logits.float(), net(data).logits, rtol=0.1, atol=0.1)
    torch.testing.assert_close(losses.output.attention[0.5], net(data).attention[0.5], rtol=0.3, atol=1e-3)
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
        build_mil("transmil", 7, 2, {"hidden": 12})
