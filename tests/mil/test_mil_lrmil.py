"""LRMIL: losses against their formulas, places of children, and a student that learns from a teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_wsimil.bags import FeatureBag
from napari_wsimil.mil import build_mil
from napari_wsimil.mil.cross_resolution import CNNTaps, FeatureAdapter, Taps, ViTTaps, child_means, patch_distillation
from napari_wsimil.mil.methods.lrmil import LRMIL, Lesson, lesson
from napari_wsimil.patches.grid import PatchGrid


def grid(cells, mpp):
    cells = np.asarray(cells, dtype=np.int64).reshape(-1, 2)
    cells = cells[np.lexsort((cells[:, 0], cells[:, 1]))]
    step = 256 * mpp / 0.5
    return PatchGrid((cells * step).astype(np.int64), cells, np.ones(len(cells), np.float32), mpp, 256, 256, step, step)


def make(classes=2, width=6, seed=0, **changes):
    torch.manual_seed(seed)
    return LRMIL(width, classes, **({"attention": 4} | changes)).eval()


def bag(patches, width=6, seed=1):
    return FeatureBag({2.0: torch.randn(patches, width, generator=torch.Generator().manual_seed(seed))})


@pytest.mark.parametrize(
    ("width", "gated", "teacher", "student"),
    [
        (768, False, 100_099, 101_637),
        (768, True, 198_531, 200_069),
        (512, False, 66_819, 67_845),
        (512, True, 132_483, 133_509),
    ],
)
def test_published_parameter_counts(width, gated, teacher, student):
    def count(network):
        return sum(p.numel() for p in network.parameters())

    assert count(LRMIL(width, 2, gated=gated, student=False)) == teacher
    assert count(build_mil("lrmil", width, 2, {"gated": gated})) == student


# -- stage 1: places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 4])
def test_tokens_are_put_to_the_child_that_lies_there(k):
    """A coarse patch of k x k children in distinct colours: the mean of the tokens over each child's place is its colour."""
    coarse, fine = grid([(0, 0)], 0.5 * k), grid([(x, y) for y in range(k) for x in range(k)], 0.5)
    colours = torch.arange(k * k, dtype=torch.float32)  # by row of the fine grid: row by row
    tokens = torch.zeros(1, 16, 16, 1)
    for row, (x, y) in enumerate(fine.cells):
        side = 16 // k
        tokens[0, y * side : (y + 1) * side, x * side : (x + 1) * side] = colours[row]
    children = torch.from_numpy(coarse.children(fine))
    torch.testing.assert_close(child_means(tokens, k)[..., 0], colours[children])


def test_tokens_that_can_not_be_cut():
    with pytest.raises(ValueError, match="14, 14"):
        child_means(torch.zeros(1, 14, 14, 1), 4)


# -- stage 1: losses ----------------------------------------------------------------------------------------------------------


def random_taps(n, r, width=5, layers=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    coarse = Taps(
        tuple(draw(n, 8, 8, width) for _ in range(layers)), tuple(draw(n, width) for _ in range(layers)), draw(n, width)
    )
    fine = Taps((), tuple(draw(n, r, width) for _ in range(layers)), draw(n, r, width))
    return coarse, fine


def test_losses_of_patches_are_the_formulas():
    coarse, fine = random_taps(3, 4)
    present = torch.tensor([[True] * 4, [True, False, True, False], [False] * 4])
    attention = torch.rand(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    losses = patch_distillation(coarse, fine, present, attention)
    layer, final = [], []
    for n in (0, 1):
        there = [k for k in range(4) if present[n, k]]
        for tokens, vectors in zip(coarse.grids, fine.vectors, strict=True):
            windows = child_means(tokens, 2)
            layer.append(torch.stack([functional.mse_loss(windows[n, k], vectors[n, k]) for k in there]).mean())
        share = attention[n, there] / attention[n, there].sum()
        final.append(sum(w * functional.mse_loss(coarse.final[n], fine.final[n, k]) for w, k in zip(share, there, strict=True)))
    torch.testing.assert_close(losses.layers, torch.stack(layer).reshape(2, 2).mean())
    torch.testing.assert_close(losses.final, torch.stack(final).mean())
    torch.testing.assert_close(losses.total(2.0, 3.0), 2 * losses.layers + 3 * losses.final)


def test_absent_children_may_be_anything():
    coarse, fine = random_taps(2, 4)
    present = torch.tensor([[True, True, False, True]] * 2)
    attention = torch.rand(2, 4, dtype=torch.float64)
    before = patch_distillation(coarse, fine, present, attention).total()
    for table in (*fine.vectors, fine.final):
        table[:, 2] = float("nan")
    attention[:, 2] = float("nan")
    torch.testing.assert_close(patch_distillation(coarse, fine, present, attention).total(), before)


def test_no_child_anywhere_is_no_loss():
    coarse, fine = random_taps(2, 4)
    assert patch_distillation(coarse, fine, torch.zeros(2, 4, dtype=torch.bool), torch.ones(2, 4)).total().item() == 0


def test_attention_loss_is_least_at_the_weighted_mean_of_the_children():
    _, fine = random_taps(1, 4)
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.1]], dtype=torch.float64)
    feature = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([feature])

    def loss():
        optimiser.zero_grad()
        value = patch_distillation(
            Taps((), (), feature), Taps((), (), fine.final), torch.ones(1, 4, dtype=torch.bool), attention
        ).final
        value.backward()
        return value

    for _ in range(5):
        optimiser.step(loss)
    torch.testing.assert_close(
        feature.detach(), (attention / attention.sum())[..., None].mul(fine.final).sum(1), rtol=1e-5, atol=1e-6
    )


def test_attention_of_nothing_weights_children_alike():
    coarse, fine = random_taps(1, 4)
    present = torch.tensor([[True, True, False, True]])
    none, even = (
        patch_distillation(coarse, fine, present, values.expand(1, 4)).final for values in (torch.zeros(1), torch.ones(1))
    )
    torch.testing.assert_close(none, even)


# -- stage 1: encoders --------------------------------------------------------------------------------------------------------


def vit(size=64):
    import transformers

    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, image_size=size, patch_size=16
    )
    return transformers.ViTModel(config, add_pooling_layer=False).eval()


def test_vision_transformer_is_tapped():
    network, pixels = vit(), torch.randn(2, 3, 64, 64)
    taps = ViTTaps(network, (0, 1))(pixels)
    states = network(pixels, output_hidden_states=True)
    assert [tokens.shape for tokens in taps.grids] == [(2, 4, 4, 16)] * 2
    # at the size that it was made for, interpolated positions are the positions
    torch.testing.assert_close(taps.final, states.last_hidden_state[:, 0])
    torch.testing.assert_close(taps.vectors[1], states.hidden_states[2][:, 0])
    torch.testing.assert_close(taps.grids[0][:, 1, 2], states.hidden_states[1][:, 1 + 4 + 2])


def test_vision_transformer_takes_other_sizes():
    assert ViTTaps(vit(), (0,))(torch.randn(1, 3, 128, 128)).grids[0].shape == (1, 8, 8, 16)


def test_convolutional_network_is_tapped():
    stages = [torch.nn.Conv2d(3, 4, 3, stride=2, padding=1), torch.nn.Conv2d(4, 6, 3, stride=2, padding=1)]
    pixels = torch.randn(2, 3, 128, 128)
    taps = CNNTaps(stages, side=16)(pixels)
    assert [tokens.shape for tokens in taps.grids] == [(2, 16, 16, 4), (2, 16, 16, 6)]
    torch.testing.assert_close(taps.final, stages[1](stages[0](pixels)).mean((2, 3)))


@pytest.mark.parametrize("kind", ["vit", "cnn"])
def test_coarse_encoder_learns_to_see_what_its_children_show(kind):
    """A few steps of stage 1 bring the coarse features nearer to those of the frozen encoder on the children."""
    torch.manual_seed(1)
    if kind == "vit":
        frozen, student = ViTTaps(vit(), (0, 1)), ViTTaps(vit(), (0, 1))
    else:
        stages = lambda: [torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.Conv2d(8, 8, 3, padding=1)]  # noqa: E731
        # a small linear network sees the same at both magnifications: let the student start elsewhere
        frozen, student = CNNTaps(stages(), 4), CNNTaps(stages(), 4)
    large = torch.nn.functional.interpolate(torch.randn(6, 3, 16, 16), size=128, mode="bilinear")
    children = torch.stack(
        [large[:, :, y : y + 64, x : x + 64] for x in (0, 64) for y in (0, 64)], 1
    )  # right outer, down inner
    small = torch.nn.functional.avg_pool2d(large, 2)
    with torch.no_grad():
        seen = frozen(children.flatten(0, 1))
        fine = Taps((), tuple(v.unflatten(0, (6, 4)) for v in seen.vectors), seen.final.unflatten(0, (6, 4)))
    present, attention = torch.ones(6, 4, dtype=torch.bool), torch.rand(6, 4)
    optimiser = torch.optim.Adam(student.parameters(), lr=3e-3)
    course = []
    for _ in range(25):
        loss = patch_distillation(student(small), fine, present, attention).total()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        course.append(loss.item())
    assert course[-1] < 0.7 * course[0]


def test_adapter_starts_as_the_identity():
    features = torch.randn(4, 8)
    assert torch.equal(FeatureAdapter(8)(features), features)


# -- stage 2 ------------------------------------------------------------------------------------------------------------------


def test_lesson_by_hand():
    children = torch.tensor([[0, 1, -1, -1], [2, -1, -1, -1], [-1, -1, -1, -1]])
    attention = torch.tensor([0.1, 0.3, 0.6])
    expected = {"mean": [0.2, 0.6, 0.0], "sum": [0.4, 0.6, 0.0], "max": [0.3, 0.6, 0.0]}
    for gather, values in expected.items():
        taught = lesson(torch.tensor([1.0, 2.0]), attention, children, gather)
        torch.testing.assert_close(taught.attention, torch.tensor(values) / sum(values))
        assert taught.present.tolist() == [True, True, False]


def test_losses_of_the_student_are_the_formulas():
    network = make(
        3, temperature=2.0, attention_temperature=0.5, teacher_weight=0.7, attention_weight=0.3, sure_weight=0.2, sure=1
    )
    features = bag(5).features(2.0)
    h = features
    scores = network.attention(h)[:, 0]
    logits = network.classifier(torch.softmax(scores, 0) @ h)
    taught = Lesson(
        torch.tensor([0.5, -1.0, 2.0]), torch.tensor([0.5, 0.1, 0.0, 0.15, 0.25]), torch.tensor([True, True, False, True, True])
    )
    losses = network.distillation_losses(bag(5), torch.tensor(2), taught)

    def kl(p, q):
        return (p * (p.log() - q.log())).sum()

    rows = [0, 1, 3, 4]
    wanted = taught.attention[rows] ** 2 / (taught.attention[rows] ** 2).sum()
    parts = {
        "bag": functional.cross_entropy(logits[None], torch.tensor([2])),
        "teacher": 4 * kl(torch.softmax(taught.logits / 2, 0), torch.softmax(logits / 2, 0)),
        "attention": 0.25 * kl(wanted, torch.softmax(scores[rows] / 0.5, 0)),
        "sure": functional.cross_entropy(network.sure_classifier(h[[0, 1]]), torch.tensor([1, 0])),
    }
    for name, part in parts.items():
        torch.testing.assert_close(losses.parts[name], part, msg=name)
    torch.testing.assert_close(
        losses.total, parts["bag"] + 0.7 * parts["teacher"] + 0.3 * parts["attention"] + 0.2 * parts["sure"]
    )


def test_a_perfect_student_has_nothing_to_learn():
    network = make()
    output = network(bag(7))
    taught = Lesson(output.logits.detach(), output.attention[2.0].detach(), torch.ones(7, dtype=torch.bool))
    parts = network.distillation_losses(bag(7), torch.tensor(0), taught).parts
    assert parts["teacher"].item() == pytest.approx(0, abs=1e-6)
    assert parts["attention"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("patches", [1, 2, 9])
def test_any_slide(patches):
    network = make(sure_weight=1.0, projection=5)
    for present in (torch.ones(patches, dtype=torch.bool), torch.zeros(patches, dtype=torch.bool)):
        taught = Lesson(torch.zeros(2), torch.full((patches,), 1 / patches) * present, present)
        losses = network.distillation_losses(bag(patches), torch.tensor(1), taught)
        losses.total.backward()
        assert losses.total.isfinite()


def test_sure_patches_teach_what_predicts_only_behind_a_projection():
    taught = Lesson(torch.zeros(2), torch.tensor([0.5, 0.3, 0.1, 0.1]), torch.ones(4, dtype=torch.bool))
    network = make(sure_weight=1.0, projection=5)
    network.distillation_losses(bag(4), torch.tensor(1), taught).parts["sure"].backward()
    assert network.embed[0].weight.grad.abs().sum() > 0


def test_student_predicts_from_coarse_patches_alone():
    output = make()(bag(9))
    assert list(output.attention) == [2.0]
    torch.testing.assert_close(output.attention[2.0] @ output.instance_logits[2.0], output.logits, rtol=1e-5, atol=1e-6)


def test_student_learns_where_to_look_from_the_teacher():
    """Labels say nothing here; the attention of the teacher alone shows the student which patches count."""
    generator = torch.Generator().manual_seed(0)
    network = make(width=6, slide_weight=0.0, teacher_weight=0.0).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        features = torch.randn(20, 6, generator=generator)
        wanted = torch.softmax(2 * features[:, 0], 0)
        taught = Lesson(torch.zeros(2), wanted, torch.ones(20, dtype=torch.bool))
        loss = network.distillation_losses(FeatureBag({2.0: features}), torch.tensor(0), taught).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    features = torch.randn(200, 6, generator=generator)
    attention = network.eval()(FeatureBag({2.0: features})).attention[2.0]
    assert torch.corrcoef(torch.stack([attention.log(), features[:, 0]]))[0, 1] > 0.9
