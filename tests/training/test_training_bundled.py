"""The command that makes the bundled weights, in its quick form, and the weights that ship."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import napari_wsimil as ws
from napari_wsimil.samples._layout import make_layout
from napari_wsimil.training.bundled.accuracy import measure
from napari_wsimil.training.bundled.making import main
from napari_wsimil.training.bundled.tissue_types import TYPES, sample_patches, type_map

PACKAGE = Path(ws.__file__).parent


def test_quick_run_makes_a_model_that_predicts_and_resumes(tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    arguments = ["--quick", "--work", str(work), "--out", str(out)]
    first = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert first.exit_code == 0
    assert "slide AUC" in first.output
    trained = (work / "encoder.pt").stat().st_mtime_ns
    model = ws.load_model(out / "model")
    assert model.spec.metrics["slides"] == 4
    assert f"{model.spec.metrics['slide_auc']:.3f}" in model.card
    assert "not for diagnosis" in model.card

    again = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert (work / "encoder.pt").stat().st_mtime_ns == trained
    assert ws.load_model(out / "model").digest == model.digest  # the same seeds give the same weights
    assert again.output.count("loss") < first.output.count("loss")


def test_quick_weights_never_replace_the_bundled_ones(tmp_path):
    before = (PACKAGE / "packages" / "bundled" / "model.json").read_bytes()
    result = CliRunner().invoke(main, ["--quick", "--work", str(tmp_path)])
    assert result.exit_code == 2
    assert "--out" in result.output
    assert (PACKAGE / "packages" / "bundled" / "model.json").read_bytes() == before


def test_patches_are_labelled_by_what_is_painted():
    patches, shares = sample_patches(range(2), windows=7, size=2048)
    assert patches.shape == (56, 256, 256, 3)
    assert shares.sum(1) == pytest.approx(np.ones(56), abs=1e-5)
    glass = shares[:, TYPES.index("glass")] > 0.98
    tumour = shares[:, TYPES.index("tumour")] > 0.6
    assert tumour.any()
    assert patches[tumour].mean() < 190
    assert not glass.any() or patches[glass].mean() > 230


def test_type_map_has_tumour_only_where_there_are_foci():
    assert (type_map(make_layout("tumour", 1, 2048)) == TYPES.index("tumour")).any()
    assert not (type_map(make_layout("normal", 1, 2048)) == TYPES.index("tumour")).any()


def test_bundled_weights_are_small_and_say_what_they_are():
    weights = [PACKAGE / folder / "bundled" / "weights.safetensors" for folder in ("encoders", "packages")]
    assert sum(path.stat().st_size for path in weights) < 12e6
    model = ws.load_model("bundled")
    assert model.spec.metrics["slide_auc"] >= 0.95
    assert model.spec.metrics["attention_auc"] >= 0.90
    for text in (model.card, (PACKAGE / "encoders" / "bundled" / "README.md").read_text()):
        assert "For demonstration, not for diagnosis" in text


def test_bundled_model_finds_tumour_on_new_slides():
    accuracy = measure(ws.load_model("bundled"), range(41_000, 41_004), size=4096)
    assert [result.probability > 0.5 for result in accuracy.results] == [True, False, True, False]
    assert accuracy.attention_auc >= 0.90
    assert accuracy.instance_auc >= 0.90
