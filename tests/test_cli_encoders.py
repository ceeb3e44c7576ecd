"""The command `encoders`, and the option --encoder of the others."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_wsimil.cli import main
from napari_wsimil.encoders.foreign import loading
from napari_wsimil.encoders.foreign.known import KNOWN

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _nothing_cached(monkeypatch):
    monkeypatch.setattr(loading, "in_cache", lambda repo: repo == "owkin/phikon")


def run(*arguments):
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code
    return 0


def test_lists_what_is_known(capsys):
    assert run("encoders", "--json") == 0
    found = {about["name"]: about for about in json.loads(capsys.readouterr().out)}
    assert list(found) == ["bundled", *KNOWN]
    assert found["bundled"]["state"] == "here"
    assert found["virchow2"]["dimension"] == 2560
    assert found["uni"]["state"] != "here"
    assert run("encoders") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(KNOWN)
    assert any(line.startswith("h-optimus-0") and "1536 features" in line and "Apache-2.0" in line for line in lines)


def test_tells_all_about_one(capsys):
    assert run("encoders", "gigapath") == 0
    text = capsys.readouterr().out
    assert "256 px at 0.5 µm per pixel" in text
    assert "resized to 256 px (bicubic), middle 224 px, mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225" in text
    assert "accept the terms on https://huggingface.co/prov-gigapath/prov-gigapath first" in text
    assert "TRIDENT: GigaPathInferenceEncoder" in text
    assert run("encoders", "bundled") == 0
    assert "256 px at 0.5 µm per pixel" in capsys.readouterr().out
    assert run("encoders", "unheard-of") == 2
    assert 'There is no encoder "unheard-of"' in capsys.readouterr().err


def test_extract_with_a_program(tmp_path, tiny_slide, capsys):
    network = nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    program = tmp_path / "tiny.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network).save(program)
    card = {"patch_size": 256, "mpp": 0.5, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    program.with_suffix(".json").write_text(json.dumps(card))
    assert run("extract", tiny_slide, "--encoder", program, "--out", tmp_path / "features") == 2
    assert "is a program, not just weights" in capsys.readouterr().err
    assert run("extract", tiny_slide, "--encoder", program, "--trust-code", "--out", tmp_path / "features", "--json") == 0
    said = capsys.readouterr()
    assert said.err.count("now runs with all your rights") == 1
    ((result),) = json.loads(said.out)
    assert Path(result["files"][0]).parent.name.startswith("features_tiny-")


def test_extract_with_a_model_of_transformers(tmp_path, tiny_slide, capsys):
    hf = pytest.importorskip("transformers", reason="needs the extra napari-wsimil[hf]")
    import h5py

    model = hf.ResNetModel(hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]))
    folder = tmp_path / "resnet"
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    model.config.save_pretrained(folder)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 64, "width": 64}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    options = ("--patch-size", 128, "--out", tmp_path / "features", "--json")
    assert run("extract", tiny_slide, "--encoder", f"{folder}#stage3", *options) == 0
    (result,) = json.loads(capsys.readouterr().out)
    with h5py.File(result["files"][0]) as file:
        assert file["features"].shape[1] == 24
        assert file["features"].attrs["encoder"] == "resnet-stage3"
        assert file["coords"].attrs["patch_size"] == 128


def test_docs_list_the_table():
    page = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    for name, entry in KNOWN.items():
        patches = f"{entry.patch_size} px" + (f" at {entry.mpp:g}" if entry.mpp else "")
        licence = entry.licence + (", gated" if entry.gated else "")
        pooling = entry.pooling.replace("cls", "class token")
        page_of = f"[{entry.title}](https://huggingface.co/{entry.repo})"
        row = f"| `{name}` | {page_of} | {entry.dimension} | {patches} | {pooling} | {licence} |"
        assert row in page, row
