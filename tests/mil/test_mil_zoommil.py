"""ZoomMIL and its differentiable top-K, against the dense form of the same equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import ModelError
from napari_wsimil.mil import build_mil
from napari_wsimil.mil.topk import perturbed_topk
from napari_wsimil.patches.grid import PatchGrid

WIDTH = 6


def grid(cells, mpp):
    cells = np.asarray(cells, dtype=np.int64).reshape(-1, 2)
    cells = cells[np.lexsort((cells[:, 0], cells[:, 1]))]
    step = 256 * mpp / 0.25
    return PatchGrid((cells * step).astype(np.int64), cells, np.ones(len(cells), np.float32), mpp, 256, 256, step, step)


def square(columns, rows):
    return [(x, y) for y in range(rows) for x in range(columns)]


class CountingBag(FeatureBag):
    """Counts the patches whose features were asked for, which is what an encoder would have to encode."""

    def features(self, mpp, rows=None):
        found = super().features(mpp, rows)
        self.asked = {**getattr(self, "asked", {}), mpp: getattr(self, "asked", {}).get(mpp, 0) + len(found)}
        return found


def pyramid(columns=4, rows=3, mpps=(2.0, 1.0, 0.5), drop=0.0, seed=0, kind=CountingBag):
    """A bag of nested grids; `drop` leaves out that share of the patches of each finer grid."""
    random = np.random.default_rng(seed)
    grids, tables = {}, {}
    for mpp in mpps:
        k = round(mpps[0] / mpp)
        cells = np.array(square(columns * k, rows * k))
        if mpp != mpps[0] and drop:
            keep = random.random(len(cells)) >= drop
            keep[random.integers(len(cells))] = True
            cells = cells[keep]
        grids[mpp] = grid(cells, mpp)
        tables[mpp] = torch.from_numpy(random.normal(size=(len(cells), WIDTH))).float()
    return kind(tables, grids)


def make(magnifications=3, selected=4, classes=2, seed=0, **changes):
    torch.manual_seed(seed)
    options = {"hidden": 5, "attention": 4, "magnifications": magnifications, "selected": selected} | changes
    return build_mil("zoommil", WIDTH, classes, options).eval()


# -- differentiable top-K ---------------------------------------------------------------------------------------------------


def dense_topk(scores, k, noise, sigma):
    """T (K, N) and the one-hot choices (S, K, N), as the equations say it."""
    picks = (scores[None] + sigma * noise).topk(k, dim=1).indices.sort(dim=1).values
    onehot = torch.nn.functional.one_hot(picks, scores.shape[0]).to(scores.dtype)
    return onehot.mean(0), onehot


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(3)
    scores = torch.softmax(torch.randn(12, generator=generator, dtype=torch.float64), 0)
    return scores, torch.randn(50, 12, generator=generator, dtype=torch.float64)


def test_matrix_is_the_mean_of_the_choices(drawn):
    scores, noise = drawn
    matrix = perturbed_topk(scores, 4, noise, 0.05).dense()
    torch.testing.assert_close(matrix, dense_topk(scores, 4, noise, 0.05)[0])
    torch.testing.assert_close(matrix.sum(1), torch.ones(4, dtype=torch.float64))
    assert (matrix.sum(0) <= 1 + 1e-9).all()


def test_without_noise_it_is_the_hard_choice(drawn):
    scores, noise = drawn
    matrix = perturbed_topk(scores, 4, noise, 1e-12).dense()
    assert matrix.argmax(1).tolist() == scores.topk(4).indices.sort().values.tolist()
    assert matrix.max(1).values.tolist() == [1.0] * 4


def test_diagonal_gradient_is_the_published_einsum(drawn):
    scores, noise = drawn
    upstream = torch.randn(4, 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    leaf = scores.clone().requires_grad_()
    (perturbed_topk(leaf, 4, noise, 0.05, control_variate=False).dense() * upstream).sum().backward()
    onehot = dense_topk(scores, 4, noise, 0.05)[1]
    published = torch.einsum("kj,skj,sj->j", upstream, onehot, noise) / (50 * 0.05)
    # entries of T that are 0 have no gradient of their own: the published sum does not see them either
    torch.testing.assert_close(leaf.grad, published)


def test_full_gradient_is_equation_5(drawn):
    scores, noise = drawn
    upstream = torch.randn(4, 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    leaf = scores.clone().requires_grad_()
    (perturbed_topk(leaf, 4, noise, 0.05, jacobian="full", control_variate=False).dense() * upstream).sum().backward()
    onehot = dense_topk(scores, 4, noise, 0.05)[1]
    torch.testing.assert_close(leaf.grad, torch.einsum("kn,skn,sj->j", upstream, onehot, noise) / (50 * 0.05))


@pytest.mark.parametrize("jacobian", ["diag", "full"])
def test_control_variate_is_the_leave_one_out_form(drawn, jacobian):
    scores, noise = drawn
    upstream = torch.randn(4, 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    leaf = scores.clone().requires_grad_()
    (perturbed_topk(leaf, 4, noise, 0.05, jacobian=jacobian).dense() * upstream).sum().backward()
    mean, onehot = dense_topk(scores, 4, noise, 0.05)
    centred = (onehot - mean) * 50 / 49
    if jacobian == "diag":
        # only entries of T that are not 0 carry a gradient
        expected = torch.einsum("kj,skj,sj->j", upstream * (mean > 0), centred, noise) / (50 * 0.05)
    else:
        expected = torch.einsum("kn,skn,sj->j", upstream * (mean > 0), centred, noise) / (50 * 0.05)
    torch.testing.assert_close(leaf.grad, expected)


@pytest.mark.parametrize("control_variate", [True, False])
def test_full_gradient_matches_finite_differences(control_variate):
    generator = torch.Generator().manual_seed(0)
    scores = torch.softmax(torch.randn(6, generator=generator, dtype=torch.float64) / 3, 0)
    upstream = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    half = torch.randn(200_000, 6, generator=generator, dtype=torch.float64)
    noise = torch.cat([half, -half])
    leaf = scores.clone().requires_grad_()
    choice = perturbed_topk(leaf, 2, noise, 0.05, jacobian="full", control_variate=control_variate)
    (choice.dense() * upstream).sum().backward()
    step = 0.01
    differences = torch.stack(
        [
            (
                (dense_topk(scores + step * unit, 2, noise, 0.05)[0] - dense_topk(scores - step * unit, 2, noise, 0.05)[0])
                * upstream
            )
            .sum()
            .div(2 * step)
            for unit in torch.eye(6, dtype=torch.float64)
        ]
    )
    assert (leaf.grad - differences).norm() < 0.02 * differences.norm()


@pytest.mark.parametrize("children", [4, 16])
def test_children_move_with_their_parents_like_the_kronecker_product(drawn, children):
    scores, noise = drawn
    table = torch.randn(12 * children, 3, dtype=torch.float64)
    choice = perturbed_topk(scores, 4, noise, 0.05)
    by_kron = torch.kron(choice.dense(), torch.eye(children, dtype=torch.float64)) @ table
    torch.testing.assert_close(choice.mix(table.unflatten(0, (12, children))).flatten(0, 1), by_kron)


def test_gradients_of_the_mixture(drawn):
    scores, noise = drawn
    leaf, table = scores.clone().requires_grad_(), torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    choice = perturbed_topk(leaf, 4, noise, 0.05)
    assert torch.autograd.gradcheck(
        lambda weights, rows: choice._replace(weights=weights).mix(rows), (choice.weights.detach().requires_grad_(), table)
    )
    upstream = torch.randn(4, 3, dtype=torch.float64)
    (choice.mix(table) * upstream).sum().backward()
    expected, table.grad = table.grad.clone(), None
    sparse_to_scores, leaf.grad = leaf.grad.clone(), None
    (perturbed_topk(leaf, 4, noise, 0.05).dense() @ table * upstream).sum().backward()
    torch.testing.assert_close(table.grad, expected)
    torch.testing.assert_close(leaf.grad, sparse_to_scores)


# -- the network ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("magnifications", "classes", "count"), [(3, 3, 2_890_504), (3, 2, 2_889_991), (2, 3, 1_839_878), (2, 2, 1_839_365)]
)
def test_published_parameter_counts(magnifications, classes, count):
    network = build_mil("zoommil", 1024, classes, {"magnifications": magnifications})
    assert sum(p.numel() for p in network.parameters()) == count


def linear(layer, x):
    return x @ layer.weight.T + layer.bias


def gated(attention, h):
    return linear(attention.score, torch.tanh(linear(attention.content, h)) * torch.sigmoid(linear(attention.gate, h)))[:, 0]


def reference(network, tables, factors, noise=None, sigma=None):
    """Section 2.2 with dense T and Kronecker products; tables (N r, D) parent by parent. Hard top-K where there is no noise."""
    levels, pooled = list(tables), 0
    for m in range(len(levels)):
        e = torch.relu(linear(network.embed[m][0], levels[m]))
        pooled = pooled + torch.softmax(gated(network.attention[m], e), 0) @ e
        if m == len(levels) - 1:
            break
        a = torch.softmax(gated(network.zoom[m], e), 0)
        k = min(network.selected, len(a))
        if k == len(a):
            matrix = torch.eye(k, dtype=a.dtype)
        elif noise is None:
            matrix = torch.nn.functional.one_hot(a.topk(k).indices.sort().values, len(a)).to(a.dtype)
        else:
            matrix = dense_topk(a, k, noise[m], sigma)[0]
        for q in range(m + 1, len(levels)):
            r = factors[q] // factors[m]
            levels[q] = torch.kron(matrix, torch.eye(r, dtype=a.dtype)) @ levels[q]
    return linear(network.classifier, pooled)


def ordered(bag):
    """Tables in the order of the parents of the coarsest magnification."""
    first = bag.mpps[0]
    return [bag.features(first)] + [bag.features(m)[torch.from_numpy(bag.children(first, m)).flatten()] for m in bag.mpps[1:]]


@pytest.mark.parametrize(
    ("mpps", "factors"), [((2.0, 1.0, 0.5), (1, 4, 16)), ((2.0, 0.5), (1, 16)), ((2.0, 1.0, 0.25), (1, 4, 64))]
)
def test_it_is_the_equations(mpps, factors):
    bag = pyramid(mpps=mpps)
    network = make(len(mpps))
    torch.testing.assert_close(network(bag).logits, reference(network, ordered(bag), factors), rtol=1e-5, atol=1e-6)


def test_training_is_the_equations(monkeypatch):
    bag = pyramid()
    network = make(dropout=0.0, sigma=0.02, samples=30).train()
    noise = [torch.randn(30, 12), torch.randn(30, 16)]
    queue = list(noise)
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: queue.pop(0))
    logits = network(bag).logits
    torch.testing.assert_close(logits, reference(network, ordered(bag), (1, 4, 16), noise, 0.02), rtol=1e-4, atol=1e-5)
    logits[0].backward()
    assert network.zoom[0].content.weight.grad.abs().sum() > 0
    assert network.zoom[1].content.weight.grad.abs().sum() > 0
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert all(name.endswith("score.bias") for name in silent), silent


def test_where_all_are_chosen_there_is_no_choice():
    """N <= K: T is the identity, without noise and without a gradient to the attention that would choose."""
    bag = pyramid()
    network = make(2, selected=12, dropout=0.0, sigma=10.0)
    two = FeatureBag({m: bag.features(m) for m in (2.0, 1.0)}, {m: bag.grid(m) for m in (2.0, 1.0)})
    evaluated = network(two).logits
    losses = network.train().losses(two, torch.tensor(0))
    torch.testing.assert_close(losses.output.logits, evaluated, rtol=1e-5, atol=1e-6)
    losses.total.backward()
    assert all(p.grad is None or not p.grad.any() for p in network.zoom.parameters())
    assert network.embed[0][0].weight.grad.any()


@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_training_without_noise_answers_as_in_evaluation(drop):
    bag = pyramid(drop=drop)
    network = make(dropout=0.0, sigma=1e-9)
    evaluated = network(bag).logits
    torch.testing.assert_close(network.train()(bag).logits, evaluated, rtol=1e-4, atol=1e-5)


def test_only_children_of_the_chosen_are_asked_for():
    bag = pyramid(columns=6, rows=5)
    output = make(selected=3)(bag)
    assert bag.asked == {2.0: 30, 1.0: 3 * 4, 0.5: 3 * 4}
    chosen = output.zoom[2.0].rows.numpy()
    assert set(output.rows[1.0].tolist()) == set(bag.children(2.0, 1.0, chosen).flatten().tolist())
    assert set(output.rows[0.5].tolist()) == set(bag.children(1.0, 0.5, output.zoom[1.0].rows.numpy()).flatten().tolist())
    assert set(output.zoom[1.0].rows.tolist()) <= set(output.rows[1.0].tolist())
    assert 2.0 not in output.rows
    for mpp, count in {2.0: 30, 1.0: 12, 0.5: 12}.items():
        assert output.attention[mpp].shape == (count,)
        assert output.attention[mpp].sum().item() == pytest.approx(1, abs=1e-5)
    assert output.zoom[2.0].scores.tolist() == sorted(output.zoom[2.0].scores.tolist(), reverse=True)


def test_logits_are_attention_times_evidence_over_all_magnifications():
    output = make()(pyramid())
    total = sum(output.attention[m] @ output.instance_logits[m] for m in output.attention)
    torch.testing.assert_close(total, output.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("magnifications", "counts", "encoded"),
    [
        ("5-10-20, CRC", (217, 868, 3468), 345),
        ("EFF 5-10, CRC", (217, 868), 265),
        ("1.25-2.5-10, BRIGHT", (62, 248, 3968), 302),
    ],
)
def test_patch_counts_of_the_paper(magnifications, counts, encoded):
    k = {"5-10-20, CRC": 16, "EFF 5-10, CRC": 12, "1.25-2.5-10, BRIGHT": 12}[magnifications]
    mpps = {2: (2.0, 1.0), 3: (2.0, 1.0, 0.5) if "CRC" in magnifications else (8.0, 4.0, 1.0)}[len(counts)]
    columns = {217: (31, 7), 62: (31, 2)}[counts[0]]
    bag = pyramid(*columns, mpps=mpps)
    make(len(mpps), selected=k)(bag)
    assert sum(bag.asked.values()) == encoded


def test_order_of_patches_does_not_matter():
    bag = pyramid()
    network = make()
    turned_grids = {
        m: grid(np.array(square(4 * k, 3 * k)) * [-1, 1] + [4 * k - 1, 0], m) for m, k in ((2.0, 1), (1.0, 2), (0.5, 4))
    }
    # the same slide mirrored: other rows for the same parents; children change places within a parent, which mixes nothing here
    tables = {}
    for m, k in ((2.0, 1), (1.0, 2), (0.5, 4)):
        at = bag.grid(m).rows_of(turned_grids[m].cells * [-1, 1] + [4 * k - 1, 0])
        tables[m] = bag.features(m)[torch.from_numpy(at)]
    torch.testing.assert_close(network(FeatureBag(tables, turned_grids)).logits, network(bag).logits, rtol=1e-5, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(columns=st.integers(1, 5), rows=st.integers(1, 4), selected=st.integers(1, 9), drop=st.sampled_from([0.0, 0.5, 1.0]))
def test_any_grid(columns, rows, selected, drop):
    bag = pyramid(columns, rows, drop=min(drop, 0.99), seed=columns)
    network = make(selected=selected, dropout=0.0, samples=5)
    assert network(bag).logits.isfinite().all()
    network.train().losses(bag, torch.tensor(1)).total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_parents_without_children_are_not_chosen():
    bag = pyramid(2, 1, mpps=(2.0, 1.0))
    left = [row for row, cell in enumerate(bag.grid(1.0).cells) if cell[0] < 2]
    cut = FeatureBag(
        {2.0: bag.features(2.0), 1.0: bag.features(1.0)[left]}, {2.0: bag.grid(2.0), 1.0: grid(bag.grid(1.0).cells[left], 1.0)}
    )
    for seed in range(6):
        output = make(2, selected=1, seed=seed)(cut)
        assert output.zoom[2.0].rows.tolist() == [0]
        assert output.zoom[2.0].scores.tolist() == [1.0]


def test_wrong_number_of_magnifications():
    with pytest.raises(ModelError, match=r"looks at 3 magnifications, but the slide was given at 2 \(2, 1 µm"):
        make(3)(pyramid(mpps=(2.0, 1.0)))


def test_evaluation_is_deterministic_and_training_is_not():
    bag, network = pyramid(6, 6), make(dropout=0.0)
    assert torch.equal(network(bag).logits, network(bag).logits)
    network.train()
    assert not torch.equal(network(bag).logits, network(bag).logits)


def test_noise_relative_to_the_number_of_patches(monkeypatch):
    seen = []
    real = perturbed_topk

    def spy(scores, k, noise, sigma, **options):
        seen.append(sigma)
        return real(scores, k, noise, sigma, **options)

    monkeypatch.setattr("napari_wsimil.mil.methods.zoommil.perturbed_topk", spy)
    make(2, relative_sigma=0.1).train()(pyramid(mpps=(2.0, 1.0)))
    assert seen == [pytest.approx(0.1 / 12)]


def test_bfloat16_chooses_as_float32():
    bag = pyramid(8, 8)
    network = make(selected=5).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.losses(bag, torch.tensor(0))
    loss.total.backward()
    assert loss.output.attention[2.0].dtype == torch.float32
    assert loss.total.dtype == torch.float32


def test_compiles():
    bag, network = pyramid(), make()
    torch.testing.assert_close(torch.compile(network, backend="eager")(bag).logits, network(bag).logits)


def test_flops_of_the_paper():
    """Table 7.1: TFLOP of a slide = patches encoded x 3.93 GFLOP (ResNet-50 to layer 3), as far as means are round."""
    published = {(3468,): 13.63, (217, 12 * 4): 1.06, (217, 16 * 4, 16 * 4): 1.40, (2473, 300 * 4): 14.94, (9892,): 39.12}
    for patches, tflop in published.items():
        assert sum(patches) * 3.93e-3 == pytest.approx(tflop, rel=0.04)
    # BRIGHT: the paper's own counts and costs differ by 8 % (methods.md 7.1)
    for patches, tflop in {(62, 48, 12 * 16): 1.29, (62, 8 * 4): 0.40}.items():
        assert sum(patches) * 3.93e-3 == pytest.approx(tflop, rel=0.09)


# -- ablations ----------------------------------------------------------------------------------------------------------------


def test_one_attention_for_both_zooms_where_it_pools():
    bag = pyramid(columns=5, rows=4)
    output = make(dual=False)(bag)
    for mpp in (2.0, 1.0):
        visited = torch.arange(20) if mpp == 2.0 else output.rows[mpp]
        best = visited[output.attention[mpp].argsort(descending=True)[:4]]
        assert output.zoom[mpp].rows.tolist() == best.tolist()
    network = make(dual=False, dropout=0.0, sigma=0.02).train()
    network.losses(bag, torch.tensor(0)).total.backward()
    assert not len(network.zoom)
    assert network.attention[0].content.weight.grad.any()


@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_plain_top_k_trains_on_what_evaluation_looks_at_and_does_not_learn_to_choose(drop):
    bag = pyramid(drop=drop)
    network = make(dropout=0.0, choice="top")
    evaluated = network(bag).logits
    losses = network.train().losses(bag, torch.tensor(1))
    torch.testing.assert_close(losses.output.logits, evaluated, rtol=1e-4, atol=1e-5)
    losses.total.backward()
    assert all(p.grad is None or not p.grad.any() for p in network.zoom.parameters())


def test_blind_choice_varies_in_training_and_is_the_same_for_every_prediction():
    bag = pyramid(columns=6, rows=6)
    network = make(dropout=0.0, choice="random")
    first, second = network(bag), network(bag)
    assert first.zoom[2.0].rows.tolist() == second.zoom[2.0].rows.tolist()
    torch.testing.assert_close(first.logits, second.logits, rtol=0, atol=0)
    other = make(seed=5, dropout=0.0, choice="random")(bag)
    assert other.zoom[2.0].rows.tolist() == first.zoom[2.0].rows.tolist()
    network.train()
    assert len({tuple(network(bag).logits.tolist()) for _ in range(5)}) == 5


def test_blind_choice_takes_no_patch_without_children():
    bag = pyramid(columns=5, rows=4, drop=0.9)
    childless = set(np.flatnonzero((bag.children(2.0, 1.0) < 0).all(axis=1)).tolist())
    assert childless
    output = make(magnifications=3, selected=4, choice="random")(bag)
    assert not childless & set(output.zoom[2.0].rows.tolist())
