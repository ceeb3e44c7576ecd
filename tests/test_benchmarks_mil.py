"""The benchmark of the MIL methods runs, its references are the methods' equations, and the papers' tables come out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from napari_wsimil.mil import METHODS, build_mil

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"

WITHOUT_CHANCE = {
    "abmil": {"dropout": 0.0},
    "acmil": {"masked": 0},
    "clam": {"dropout": 0.0},
    "dtfd": {"groups": 1, "detach": False},
    "max": {"dropout": 0.0},
    "mean": {"dropout": 0.0},
    "transmil": {"dropout": 0.0},
    "weno": {"dropout": 0.0, "student": 64},
    # in 130 patches 100 draws say less than nothing without a little more noise; the reference has no control variate
    "zoommil": {"dropout": 0.0, "selected": 12, "control_variate": False, "sigma": 0.01},
}


@pytest.fixture
def modules(monkeypatch):
    """The benchmark's own modules."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import mil_bags
    import mil_references

    return mil_bags, mil_references


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("length", [1, 130])
def test_references_are_the_methods(modules, name, length):
    bags, references = modules
    torch.manual_seed(0)
    parameters = {**bags.usual_parameters(name), **WITHOUT_CHANCE.get(name, {})}
    network, bag = build_mil(name, 32, 2, parameters).eval(), bags.make_bag(name, length, 32)
    tables, known = references.tables(bag), references.prepared(name, network, bag)
    with torch.inference_mode():
        torch.testing.assert_close(
            references.REFERENCES[name](network, tables, known), network(bag).logits, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", METHODS)
def test_references_learn_as_the_methods_do(modules, name):
    """All gradients of a training step, ZoomMIL's choice included: the same draws of noise give the same."""
    bags, references = modules
    torch.manual_seed(0)
    parameters = {**bags.usual_parameters(name), **WITHOUT_CHANCE.get(name, {})}
    network, bag = build_mil(name, 32, 2, parameters).train(), bags.make_bag(name, 130, 32)
    tables, known = references.tables(bag), references.prepared(name, network, bag)
    gradients = []
    for forward in (lambda: network(bag).logits, lambda: references.REFERENCES[name](network, tables, known)):
        torch.manual_seed(1)
        network.zero_grad(set_to_none=True)
        functional.cross_entropy(forward()[None], torch.tensor([1])).backward()
        gradients.append({key: p.grad for key, p in network.named_parameters() if p.grad is not None})
    ours, theirs = gradients
    largest = max(gradient.abs().max() for gradient in theirs.values())
    for key, gradient in theirs.items():
        if key in ours:
            torch.testing.assert_close(
                ours[key], gradient, rtol=2e-3, atol=float(1e-5 * largest), msg=lambda text, key=key: f"{key}: {text}"
            )
        else:
            assert gradient.abs().max() < 1e-6 * largest, key


def test_documentation_has_the_hyper_parameters_and_counts_of_today(modules):
    import mil_parameters

    bags, _ = modules
    page = mil_parameters.PAGE.read_text(encoding="utf-8")
    assert mil_parameters.with_tables(page) == page, "run python benchmarks/mil_parameters.py"
    for name in METHODS:
        for features in (512, 1024):
            network = build_mil(name, features, 2, bags.usual_parameters(name))
            assert f"{sum(p.numel() for p in network.parameters()):,}" in page, (name, features)


@pytest.mark.usefixtures("modules")
def test_encoder_of_the_paper():
    from mil_counts import resnet50_to_layer3

    assert resnet50_to_layer3() / 1e9 == pytest.approx(4.28, abs=0.005)


def test_the_quick_run_prints_every_table(tmp_path):
    page = tmp_path / "page.md"
    command = [sys.executable, str(BENCHMARKS / "mil_heads.py"), "--quick", "--methods", "abmil", "zoommil", "--out", str(page)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    told = page.read_text()
    assert told.count("\n## ") == 8
    assert "A quick run" in told
    found = {cells[0]: cells[1:] for cells in rows(told)}
    assert [cell for key, cells in found.items() if key.startswith("AINet in front") for cell in cells[2:]] == ["yes"] * 4
    assert [cell for key, cells in found.items() if "patches encoded" in key and len(cells) == 3 for cell in cells[2:]] == [
        "yes"
    ] * 6
    assert found["CLAM-SB"][:2] == ["790,791", "790,791"]
    assert found["TransMIL"][:2] == ["2,672,146", "2,672,146"]
    assert float(found["abmil"][1].split()[0]) > 0


def rows(text):
    """Cells of all rows of all tables."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| [^-|]", line)]
