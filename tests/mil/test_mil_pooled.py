"""Mean, max, CLAM, DSMIL, ACMIL and DTFD against their equations, written out again in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_wsimil.bags import FeatureBag
from napari_wsimil.mil import METHODS, build_mil
from napari_wsimil.mil.chunks import attention_pool, in_chunks

NAMES = ["mean", "max", "abmil", "clam", "dsmil", "acmil", "dtfd"]
SMALL = {
    "mean": {"hidden": 8},
    "max": {"hidden": 8},
    "abmil": {"hidden": 8, "attention": 5},
    "clam": {"hidden": 8, "attention": 5},
    "dsmil": {"query": 6},
    "acmil": {"hidden": 8, "attention": 5},
    "dtfd": {"hidden": 8, "attention": 5},
}


def make(name, classes=2, in_features=12, seed=0, **changes):
    torch.manual_seed(seed)
    return build_mil(name, in_features, classes, SMALL[name] | changes).eval()


def table(count, width=12, seed=1):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def bag(count, **options):
    return FeatureBag({0.5: table(count, **options)})


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "in_features", "classes", "options", "count"),
    [
        ("mean", 1024, 2, {}, 525_826),
        ("max", 1024, 2, {}, 525_826),
        ("clam", 1024, 2, {}, 790_791),
        ("clam", 1024, 2, {"branches": "multi"}, 791_048),
        ("clam", 512, 2, {}, 528_647),
        ("clam", 512, 2, {"branches": "multi"}, 528_904),
        ("clam", 768, 2, {}, 659_719),
        ("clam", 768, 2, {"branches": "multi"}, 659_976),
        ("clam", 1024, 2, {"attention": 384}, 922_247),
        ("clam", 1024, 2, {"attention": 384, "branches": "multi"}, 922_632),
        ("clam", 1024, 3, {}, 792_330),
        ("clam", 1024, 3, {"branches": "multi"}, 792_844),
        ("dsmil", 512, 2, {"negative_class": False}, 85_252),
        ("dsmil", 512, 2, {"negative_class": False, "values": True}, 347_908),
        ("dsmil", 512, 2, {"negative_class": False, "nonlinear": False}, 68_740),
        ("dsmil", 512, 2, {}, 83_202),
        ("dsmil", 1024, 2, {"negative_class": False}, 153_860),
        ("dsmil", 1024, 2, {"negative_class": False, "values": True}, 1_203_460),
        ("acmil", 1024, 2, {}, 662_417),
        ("acmil", 512, 2, {}, 200_593),
        ("acmil", 384, 2, {}, 84_369),
        ("dtfd", 1024, 2, {}, 789_254),
    ],
)
def test_published_parameter_counts(name, in_features, classes, options, count):
    assert parameters(build_mil(name, in_features, classes, options)) == count


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None)
@given(count=st.integers(1, 40), classes=st.integers(2, 4))
def test_any_bag_and_any_number_of_classes(name, count, classes):
    network, its_bag = make(name, classes), bag(count)
    with torch.inference_mode():
        output = network(its_bag)
    assert output.logits.shape == (classes,)
    assert output.logits.isfinite().all()
    assert output.attention[0.5].shape == (count,)
    assert output.attention[0.5].sum().item() == pytest.approx(1, abs=1e-5)
    assert (output.attention[0.5] >= 0).all()
    assert output.instance_logits[0.5].shape == (count, classes)
    if output.class_attention is not None:
        torch.testing.assert_close(output.class_attention[0.5].sum(0), torch.ones(classes))
    assert network.probabilities(output.logits).sum().item() == pytest.approx(1)
    assert METHODS[name].shows >= {"instance_logits"}
    assert ("class_attention" in METHODS[name].shows) >= (output.class_attention is not None)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "dtfd"])
def test_order_of_patches_does_not_matter(name):
    network, order = make(name), torch.randperm(25, generator=torch.Generator().manual_seed(5))
    plain, shuffled = network(bag(25)), network(FeatureBag({0.5: table(25)[order]}))
    torch.testing.assert_close(shuffled.logits, plain.logits)
    torch.testing.assert_close(shuffled.attention[0.5], plain.attention[0.5][order])
    torch.testing.assert_close(shuffled.instance_logits[0.5], plain.instance_logits[0.5][order])


@pytest.mark.parametrize("name", NAMES)
def test_chunks_change_nothing(name, monkeypatch):
    network, its_bag = make(name, 3), bag(1000)
    whole = network(its_bag)
    for function in (attention_pool, in_chunks):
        monkeypatch.setattr(function, "__defaults__", (64,))
    with torch.inference_mode():
        parts = network(its_bag)
    torch.testing.assert_close(parts.logits, whole.logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts.attention[0.5], whole.attention[0.5], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(parts.instance_logits[0.5], whole.instance_logits[0.5], rtol=1e-5, atol=1e-6)


def test_chunks_stand_far_apart_scores():
    values = torch.randn(10, 3)
    scores = torch.tensor([-500.0, 3, 2, 90, 88, 1, -2, 700, 699, 0])[:, None]
    index = torch.arange(10, dtype=torch.float32)[:, None]
    with torch.no_grad():
        pooled = attention_pool(lambda part: (scores[part[:, 0].long()], values[part[:, 0].long()]), index, size=3)
    torch.testing.assert_close(pooled.weights, torch.softmax(scores, 0))
    torch.testing.assert_close(pooled.values, torch.softmax(scores, 0).T @ values)


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_is_deterministic_and_gradients_reach_everything(name):
    network = make(name)
    assert torch.equal(network(bag(30)).logits, network(bag(30)).logits)
    network.train()
    network.losses(bag(30), torch.tensor(1)).total.backward()
    missing = {key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    # softmax does not see what shifts all logits of an attention alike; the other class's patches teach only where exclusive
    blind = {"attention.score.bias", "slide_attention.score.bias", "patch_classifiers.0.weight", "patch_classifiers.0.bias"}
    assert missing <= blind, missing


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_stays_close(name):
    network = make(name, in_features=64)
    its_bag = FeatureBag({0.5: table(300, 64)})
    plain = network(its_bag)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(its_bag)
    assert half.attention[0.5].dtype == torch.float32
    assert half.attention[0.5].sum().item() == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(half.logits.float(), plain.logits, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_compiles_without_breaking_off(name):
    # the graph breaks where Python must look at a number (which class wins); the numbers stay the same
    network = make(name)
    compiled = torch.compile(network, backend="eager")
    torch.testing.assert_close(compiled(bag(20)).logits, network(bag(20)).logits)


def test_mean_is_the_mean_and_max_the_max():
    for name in ("mean", "max"):
        network, features = make(name, 3).double(), table(20).double()
        first, last = network.classifier[0], network.classifier[3]
        each = torch.relu(features @ first.weight.T + first.bias) @ last.weight.T + last.bias
        output = network(FeatureBag({0.5: features}))
        expected = each.mean(0) if name == "mean" else each.max(0).values
        torch.testing.assert_close(output.logits, expected)
        if name == "max":
            assert output.class_attention[0.5].argmax(0).tolist() == each.argmax(0).tolist()
            assert output.attention[0.5].argmax() == each[:, output.logits.argmax()].argmax()


def gated(attention, h):
    linear = lambda layer, x: x @ layer.weight.T + layer.bias  # noqa: E731
    return linear(attention.score, torch.tanh(linear(attention.content, h)) * torch.sigmoid(linear(attention.gate, h)))


@pytest.mark.parametrize("branches", ["single", "multi"])
@pytest.mark.parametrize("exclusive", [True, False])
def test_clam_is_its_equations(branches, exclusive):
    network = make("clam", 3, branches=branches, exclusive=exclusive, sampled=2).double()
    features = table(9).double()
    h = torch.relu(features @ network.embed[0].weight.T + network.embed[0].bias)
    a = torch.softmax(gated(network.attention, h), 0)
    logits = torch.stack(
        [
            network.classifier.weight[c] @ (a[:, c if branches == "multi" else 0] @ h) + network.classifier.bias[c]
            for c in range(3)
        ]
    )
    losses = network.losses(FeatureBag({0.5: features}), torch.tensor(1))
    # sums over the bag are float32 by design
    torch.testing.assert_close(losses.output.logits.double(), logits, rtol=1e-5, atol=1e-5)
    expected = 0.0
    for c in range(3) if exclusive else [1]:
        order = a[:, c if branches == "multi" else 0].argsort(descending=True)
        head = network.patch_classifiers[c]
        z = h @ head.weight.T + head.bias
        if c == 1:
            rows, truth = torch.cat([order[:2], order[-2:]]), torch.tensor([1, 1, 0, 0])
        else:
            rows, truth = order[:2], torch.tensor([0, 0])
        expected = expected + functional.cross_entropy(z[rows], truth)
    expected = expected / 3 if exclusive else expected
    torch.testing.assert_close(losses.parts["patches"].double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses.total, 0.7 * losses.parts["bag"] + 0.3 * losses.parts["patches"])
    z = torch.stack([h @ head.weight.T + head.bias for head in network.patch_classifiers], 1)
    torch.testing.assert_close(losses.output.instance_logits[0.5], z[..., 1] - z[..., 0])


@pytest.mark.parametrize("count", [1, 7, 8, 15, 16])
def test_clam_on_small_bags(count):
    network = make("clam").train()
    losses = network.losses(bag(count), torch.tensor(0))
    losses.total.backward()
    assert losses.total.isfinite()
    assert (losses.parts["patches"].item() == 0) == (count == 1)


@pytest.mark.parametrize(("classes", "negative"), [(2, True), (2, False), (3, True), (3, False)])
def test_dsmil_is_its_equations(classes, negative):
    network = make("dsmil", classes, negative_class=negative, values=True).double()
    features = table(11).double()
    c = features @ network.patch_classifier.weight.T + network.patch_classifier.bias
    q = torch.tanh(
        torch.relu(features @ network.query[0].weight.T + network.query[0].bias) @ network.query[2].weight.T
        + network.query[2].bias
    )
    a = torch.softmax(q @ q[c.argmax(0)].T / 6**0.5, 0)
    v = torch.relu(features @ network.values[1].weight.T + network.values[1].bias)
    b = a.T @ v
    streams = classes - negative
    slide = torch.stack([(network.classifier.weight[k] * b).sum() + network.classifier.bias[k] for k in range(streams)])
    losses = network.losses(FeatureBag({0.5: features}), torch.tensor(classes - 1))
    logits = losses.output.logits.double()
    torch.testing.assert_close(logits[int(negative) :], slide, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses.output.class_attention[0.5][:, int(negative) :].double(), a, rtol=1e-4, atol=1e-6)
    truth = functional.one_hot(torch.tensor(classes - 1), classes).double()[int(negative) :]
    expected = 0.5 * functional.binary_cross_entropy_with_logits(slide, truth)
    expected = expected + 0.5 * functional.binary_cross_entropy_with_logits(c.max(0).values, truth)
    torch.testing.assert_close(losses.total.double(), expected, rtol=1e-4, atol=1e-5)
    if negative and classes == 2:
        torch.testing.assert_close(network.probabilities(logits)[1], torch.sigmoid(slide[0]), rtol=1e-4, atol=1e-5)
        assert (losses.output.instance_logits[0.5][:, 0] == 0).all()
    if not negative:
        each = torch.sigmoid(slide)
        torch.testing.assert_close(network.probabilities(logits), each / each.sum(), rtol=1e-4, atol=1e-5)


def test_acmil_is_its_equations():
    network = make("acmil", 3, branches=4).double()
    features = table(10).double()
    h = torch.relu(features @ network.embed[0].weight.T)
    a = torch.softmax(gated(network.attention, h), 0)
    losses = network.losses(FeatureBag({0.5: features}), torch.tensor(2))
    slide = a.mean(1) @ h @ network.classifier.weight.T + network.classifier.bias
    branches = torch.stack([a[:, m] @ h @ head.weight.T + head.bias for m, head in enumerate(network.branch_classifiers)])
    torch.testing.assert_close(losses.output.logits.double(), slide, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses.output.attention[0.5].double(), a.mean(1), rtol=1e-5, atol=1e-7)
    pairs = [functional.cosine_similarity(a[:, i], a[:, j], dim=0) for i in range(4) for j in range(i + 1, 4)]
    expected = functional.cross_entropy(slide[None], torch.tensor([2])) + torch.stack(pairs).mean()
    expected = expected + functional.cross_entropy(branches, torch.tensor([2] * 4))
    torch.testing.assert_close(losses.total.double(), expected, rtol=1e-5, atol=1e-5)


def test_acmil_hides_favourites_in_training_only():
    network = make("acmil", masked=10, mask_share=0.6, branches=3)
    scores = torch.randn(50, 3)
    hidden = network._hide_favourites(scores) < -1e8
    assert hidden.sum(0).tolist() == [6, 6, 6]
    assert all(set(hidden[:, m].nonzero()[:, 0].tolist()) <= set(scores[:, m].topk(10).indices.tolist()) for m in range(3))
    drawn = {tuple(network._hide_favourites(scores)[:, 0].tolist()) for _ in range(10)}
    assert len(drawn) > 1
    assert torch.equal(network(bag(50)).logits, network(bag(50)).logits)
    network.train()
    assert not torch.equal(network(bag(50)).logits, network(bag(50)).logits)
    assert network(bag(1)).attention[0.5].tolist() == [1.0]
    assert make("acmil", branches=1).losses(bag(9), torch.tensor(0)).parts["likeness"].item() == 0


@pytest.mark.parametrize("distil", ["afs", "max", "maxmin"])
def test_dtfd_is_its_equations(distil):
    network = make("dtfd", 2, distil=distil, groupings=1).double()
    features = table(10).double()
    h = torch.relu(features @ network.embed[0].weight.T)
    s = gated(network.attention, h)[:, 0]
    groups = torch.randperm(10, generator=torch.Generator().manual_seed(0)).tensor_split(4)
    handed, tier1 = [], []
    for rows in groups:
        a = torch.softmax(s[rows], 0)
        tier1.append(a @ h[rows] @ network.group_classifier.weight.T + network.group_classifier.bias)
        p = torch.softmax((a[:, None] * h[rows]) @ network.group_classifier.weight.T, 1)[:, 1]
        choice = {"afs": [a @ h[rows]], "max": [h[rows][p.argmax()]], "maxmin": [h[rows][p.argmax()], h[rows][p.argmin()]]}
        handed += choice[distil]
    handed = torch.stack(handed)
    b = torch.softmax(gated(network.slide_attention, handed)[:, 0], 0)
    slide = b @ handed @ network.classifier.weight.T + network.classifier.bias
    losses = network.losses(FeatureBag({0.5: features}), torch.tensor(1))
    torch.testing.assert_close(losses.output.logits.double(), slide, rtol=1e-4, atol=1e-5)
    expected = functional.cross_entropy(slide[None], torch.tensor([1]))
    expected = expected + functional.cross_entropy(torch.stack(tier1), torch.tensor([1] * 4))
    torch.testing.assert_close(losses.total.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("distil", ["afs", "max", "maxmin"])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_dtfd_with_fewer_patches_than_groups(distil, count):
    network = make("dtfd", distil=distil).train()
    network.losses(bag(count), torch.tensor(1)).total.backward()
    assert network.eval()(bag(count)).attention[0.5].sum().item() == pytest.approx(1, abs=1e-5)


def test_dtfd_second_tier_teaches_the_first_only_when_asked():
    for detach in (True, False):
        network = make("dtfd", detach=detach).train()
        network(bag(12)).logits[0].backward()
        assert (network.embed[0].weight.grad is None) == detach


def test_weights_of_classes_count():
    for name in NAMES:
        network = make(name)
        plain = network.losses(bag(9), torch.tensor(1)).parts["bag"]
        weighted = network.losses(bag(9), torch.tensor(1), torch.tensor([1.0, 3.0])).parts["bag"]
        assert weighted.item() == pytest.approx(plain.item() * 3, rel=1e-4)
