from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wsimil.bags import FeatureBag
from napari_wsimil.encoders.small_images import SmallImageCNN
from napari_wsimil.errors import ModelError
from napari_wsimil.mil import build_mil
from napari_wsimil.mil.methods.weno import make_teacher
from napari_wsimil.mil.teaching import LogitRange, hard_rows, pseudo_labels, student_loss, teacher_loss

SMALL = {"projection": 8, "hidden": 6, "attention": 5, "student": 7}
TEACHERS = ["abmil", "dsmil", "clam", "transmil"]


def make(teacher="abmil", seed=0, **changes):
    torch.manual_seed(seed)
    return build_mil("weno", 12, 2, SMALL | {"teacher": teacher} | changes).eval()


def bag(count, seed=1):
    return FeatureBag({0.5: torch.randn(count, 12, generator=torch.Generator().manual_seed(seed))})


def spread(network, seed=3):
    """The published start is so small that all patches look alike; give the weights some size."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
    return network


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_published_parameter_counts():
    network = build_mil("weno", 512, 2)
    assert count(network.encoder) == 263_680
    assert count(network.teacher) == 2_102_275
    assert count(network.student) == 18_890_754
    assert count(make_teacher("abmil", 1728, 1024, 512, 0.5)) == 3_347_459
    # methods.md counts 2,050 more for DSMIL's teacher: a second Linear(1024, 2) of which its description knows nothing
    assert count(make_teacher("dsmil", 512, 1024, 512, 0.5)) == 3_682_310 - 2_050
    assert count(SmallImageCNN()) == 2_826_432
    assert count(build_mil("weno", 1728, 2, {"projection": 0}).student) == 23_871_490
    assert SmallImageCNN()(torch.rand(2, 3, 32, 32)).shape == (2, SmallImageCNN.dimension)


def test_two_classes_only():
    with pytest.raises(ModelError, match="two classes apart"):
        build_mil("weno", 12, 3)


# -- labels for the student ---------------------------------------------------------------------------------------------------


def test_range_is_of_all_slides():
    seen = LogitRange()
    for values in ([1.0, 3.0], [-2.0, 0.5], [float("nan"), 2.0]):
        seen.add(torch.tensor(values))
    assert (seen.low, seen.high) == (-2.0, 3.0)


def test_labels_are_stretched_logits():
    seen = LogitRange(-2.0, 3.0)
    labels = pseudo_labels(torch.tensor([-2.0, 0.5, 3.0, 9.0, -9.0]), seen, positive=True)
    torch.testing.assert_close(labels, torch.tensor([1e-5, 0.5, 1 - 1e-5, 1 - 1e-5, 1e-5]))
    assert pseudo_labels(torch.tensor([-2.0, 0.5, 3.0]), seen, positive=False).tolist() == [0.0, 0.0, 0.0]


def test_labels_of_a_teacher_who_does_not_know():
    for seen in (LogitRange(), LogitRange(1.0, 1.0)):
        assert pseudo_labels(torch.ones(3), seen, positive=True).tolist() == [0.5] * 3


def test_losses_by_hand():
    logits, labels = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([0.8, 0.0])
    q = torch.sigmoid(torch.tensor([1.0, -2.0]))
    expected = (
        -(0.1 * 0.2 * torch.log(1 - q[0] + 1e-5) + 0.9 * 0.8 * torch.log(q[0] + 1e-5) + 0.1 * torch.log(1 - q[1] + 1e-5)) / 2
    )
    torch.testing.assert_close(student_loss(logits, labels, 0.1), expected)
    p = torch.softmax(torch.tensor([0.3, 1.2]), 0)
    torch.testing.assert_close(teacher_loss(torch.tensor([0.3, 1.2]), torch.tensor(1)), -torch.log(p[1] + 1e-5))
    torch.testing.assert_close(teacher_loss(torch.tensor([0.3, 1.2]), torch.tensor(0)), -torch.log(p[0] + 1e-5))
    assert teacher_loss(torch.tensor([-200.0, 200.0]), torch.tensor(0)).isfinite()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 1), st.integers(0, 40))
def test_mining_keeps_the_hard_and_at_least_one(values, threshold, most):
    q = torch.tensor(values)
    rows = hard_rows(q, threshold=threshold, most=most)
    assert len(rows) >= 1
    assert rows.tolist() == sorted(set(rows.tolist()))
    if most:
        assert len(rows) == min(most, len(q))
        assert q[rows].max() <= q.sort().values[len(rows) - 1]
    elif (q <= threshold).any():
        assert (q[rows] <= threshold).all()
        assert len(rows) == (q <= threshold).sum()
    else:
        assert q[rows].item() == q.max().item()


# -- the network --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("teacher", TEACHERS)
@settings(max_examples=8, deadline=None)
@given(patches=st.integers(1, 40))
def test_slide_is_as_positive_as_its_most_positive_patch(teacher, patches):
    network = spread(make(teacher))
    with torch.inference_mode():
        output = network(bag(patches))
    q = torch.softmax(output.instance_logits[0.5], 1)[:, 1]
    assert network.probabilities(output.logits)[1].item() == pytest.approx(q.max().item(), abs=1e-6)
    assert output.attention[0.5].sum().item() == pytest.approx(1, abs=1e-5)
    assert output.attention[0.5].shape == (patches,)


@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize("patches", [1, 2, 30])
def test_teacher_and_student_leave_each_other_alone(teacher, patches):
    network = spread(make(teacher)).train()
    losses, scores = network.teacher_losses(bag(patches), torch.tensor(1))
    losses.total.backward()
    assert scores.shape == (patches,)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.teacher.parameters())
    assert all(p.grad is None for p in network.student.parameters())
    if patches > 1:
        assert network.encoder.linear.weight.grad.abs().sum() > 0
    network.zero_grad()
    network.student_losses(bag(patches).features(0.5), torch.full((patches,), 0.3)).backward()
    assert all(p.grad is None or not p.grad.abs().sum() for p in network.teacher.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.student.parameters())
    assert network.encoder.linear.bias.grad is not None


def test_teacher_sees_only_hard_patches_of_positive_slides():
    network = spread(make(mine_above=0.5))
    its_bag = bag(40)
    encoded = network.encoder(its_bag.features(0.5))
    kept = hard_rows(network.student_probabilities(encoded), threshold=0.5)
    assert 0 < len(kept) < 40
    _, all_scores = network.teacher_losses(its_bag, torch.tensor(1))
    _, mined = network.teacher_losses(its_bag, torch.tensor(1), mine=True)
    torch.testing.assert_close(mined[kept], all_scores[kept])
    left_out = [row for row in range(40) if row not in set(kept.tolist())]
    assert (mined[left_out] == mined[kept].min()).all()
    _, negative = network.teacher_losses(its_bag, torch.tensor(0), mine=True)
    torch.testing.assert_close(negative, all_scores)


def test_published_teacher_is_its_equations():
    network = spread(make("abmil"))
    teacher, features = network.teacher, bag(9).features(0.5)
    z = network.encoder(features)
    u = torch.relu(teacher.trunk[4](torch.relu(teacher.trunk[1](z))))
    scores = teacher.score[2](torch.tanh(teacher.score[0](u)))[:, 0]
    logits = teacher.classifier(torch.softmax(scores, 0) @ u)
    losses, seen = network.teacher_losses(bag(9), torch.tensor(1))
    torch.testing.assert_close(seen, scores.detach())
    torch.testing.assert_close(losses.total, teacher_loss(logits, torch.tensor(1)))
    torch.testing.assert_close(network.attention_logits(features), scores.detach())


def test_published_dsmil_teacher_teaches_by_its_stream_of_patches():
    network = spread(make("dsmil"))
    teacher = network.teacher
    u = teacher.trunk(network.encoder(bag(9).features(0.5)))
    each = teacher.patches(u)
    q = teacher.query(u)
    a = torch.softmax(q @ q[each.argmax(0)].T / 6**0.5, 0)
    logits = teacher.classifier((a.T @ teacher.values(u))[None])[0, :, 0]
    losses, seen = network.teacher_losses(bag(9), torch.tensor(0))
    torch.testing.assert_close(seen, each[:, 1].detach())
    telling = each[each[:, 1].argmax()]
    expected = 0.5 * teacher_loss(logits, torch.tensor(0)) + 0.5 * teacher_loss(telling, torch.tensor(0))
    torch.testing.assert_close(losses.total, expected)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_one_slide_at_a_time_trains_both(teacher):
    network = spread(make(teacher)).train()
    losses = network.losses(bag(20), torch.tensor(1))
    losses.total.backward()
    assert set(losses.parts) == {"teacher", "student"}
    for part in (network.teacher, network.student, network.encoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_it_learns_which_patches_are_positive():
    """Alternating as published on features where positive patches differ: the student ranks patches it was never told about."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(5)
    bags = []
    for number in range(40):
        features, label = torch.randn(30, 12, generator=generator), number % 2
        truth = torch.zeros(30)
        if label:
            truth[:6] = 1
            features[:6, :3] += 3
        bags.append((FeatureBag({0.5: features}), label, truth))
    network = spread(make(hidden=16, attention=8, student=16, dropout=0.0)).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for epoch in range(12):
        seen = LogitRange()
        for its_bag, label, _ in bags:
            losses, scores = network.teacher_losses(its_bag, torch.tensor(label), mine=epoch > 8)
            seen.add(scores)
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()
        for its_bag, label, _ in bags:
            labels = pseudo_labels(network.attention_logits(its_bag.features(0.5)), seen, bool(label))
            optimiser.zero_grad()
            network.student_losses(its_bag.features(0.5), labels).backward()
            optimiser.step()
    network.eval()
    q = torch.cat([network.student_probabilities(network.encoder(b.features(0.5))) for b, _, _ in bags])
    truth = torch.cat([truth for _, _, truth in bags])
    better = (q[truth == 1][:, None] > q[truth == 0][None]).float().mean()
    assert better > 0.9  # 0.5 is chance
