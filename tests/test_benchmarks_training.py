"""The benchmarks that reproduce papers run, can be stopped and started again, and say what they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def weno_modules(monkeypatch):
    """The benchmark's own modules."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import reproduce_weno
    import weno_data
    import weno_page
    import weno_plan

    return reproduce_weno, weno_data, weno_page, weno_plan


def test_wenos_table_in_seconds_and_not_twice(weno_modules, tmp_path, monkeypatch, capsys):
    wanted = ["--quick", "--ratios", "0.3", "--device", "cpu", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    command = [sys.executable, str(BENCHMARKS / "reproduce_weno.py"), *wanted, "--threads", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert "abmil+weno-30-seed0-4-epochs" in ran.stdout
    cells = json.loads((tmp_path / "out" / "tiny-mil.json").read_text())
    assert [(cell["teacher"], cell["with_weno"]) for cell in cells] == [
        (teacher, weno) for teacher in ("abmil", "dsmil") for weno in (False, True)
    ]
    assert all(0.5 < cell["bag"] <= 1 for cell in cells)
    page = (tmp_path / "out" / "tiny-mil.md").read_text()
    assert "| 30% | ABMIL + WENO |" in page
    monkeypatch.setattr(sys, "argv", ["reproduce_weno.py", *wanted])
    weno_modules[0].main()
    assert capsys.readouterr().out == ""  # all cells are there
    assert (tmp_path / "out" / "tiny-mil.md").read_text() == page


def test_both_methods_start_the_same(weno_modules):
    _, _, _, plan = weno_modules
    models = []
    for with_weno in (False, True):
        torch.manual_seed(0)
        models.append(plan.make_model(plan.TINY, "abmil", with_weno=with_weno))
    for part in ("encoder", "teacher"):
        one, other = (getattr(model, part).state_dict() for model in models)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_no_image_is_in_two_bags_or_on_two_sides(weno_modules):
    _, data, _, _ = weno_modules
    pixels = np.zeros((600, 3, 4, 4), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = np.arange(600) // 256, np.arange(600) % 256  # each image has its number
    positive = np.arange(600) < 200
    bags = data.bags_of(data.Images("numbers", pixels, positive, pixels, positive), 0.5, 10, seed=1)
    seen = []
    for side in (bags.train, bags.validation):
        for row in range(len(side)):
            corner = side.bag(row).pixels[:, 0, 0].numpy().astype(int)
            numbers = corner[:, 0] * 256 + corner[:, 1]
            seen += numbers.tolist()
            (labels,) = side.instance_labels(row).values()
            assert labels.tolist() == (numbers < 200).astype(int).tolist()
            assert labels.sum() == (5 if side.targets[row] else 0)
    assert len(seen) == len(set(seen)) > 500


def test_page_compares_means_over_seeds(weno_modules):
    _, _, page, _ = weno_modules
    same = {
        "bag": 1.0,
        "instance_in_positive": 0.9,
        "teacher_bag": 1.0,
        "epochs": 3,
        "seconds": 5,
        "device": "here",
        "torch": "2",
    }
    plan = {"encoder": "small", "model": {"hidden": 256}, "settings": {"accumulate": 4}}
    told = {"optimiser": "adamw", "learning_rate": 5e-4, "schedule": "cosine"}
    bags = {"train": [3, 2], "validation": [1, 1], "test": [4, 4]}
    cell = {"ratio": 0.2, "teacher": "abmil", **same, "plan": plan, "settings": told, "bags": bags}
    cells = [
        {**cell, "with_weno": with_weno, "seed": seed, "instance": 0.8 + 0.1 * with_weno + 0.02 * seed}
        for with_weno in (False, True)
        for seed in (0, 1)
    ]
    text = page.page("cifar", cells)
    assert "| 20% | ABMIL | 0.8100 (0.800 to 0.820) | 0.9000 (0.900 to 0.900)" in text
    assert ".9581, 1.0" in text
    assert "above the plain method's in 1 of 1 cells" in text
    assert "- 20%, ABMIL, 3 epochs: +0.1000 (+0.1000, +0.1000 by seed)" in text
    assert "hidden 256, accumulate 4" in text
    assert "20%: 2 + 3 train, 1 + 1 validation, 4 + 4 test" in text
    assert "not the paper's but a smaller one" in text


def test_real_images_are_in_their_published_order(weno_modules, real_data, tmp_path):
    _, data, _, _ = weno_modules
    images = data.cifar(real_data("cifar10").parent, tmp_path)
    assert images.train.shape == (50_000, 3, 32, 32)
    assert (images.train_positive.sum(), images.test_positive.sum()) == (5000, 1000)
    assert images.train_positive[:3].tolist() == [False, True, True]  # frog, truck, truck
    again = data.cifar(real_data("cifar10").parent, tmp_path)
    assert np.array_equal(images.test, again.test)
