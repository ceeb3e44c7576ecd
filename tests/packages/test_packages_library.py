"""The user's own models: added whole or not at all, found by name, removed and brought back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import napari_wsimil as ws
from napari_wsimil.errors import ModelError
from napari_wsimil.packages import places
from napari_wsimil.packages.library import (
    find_in_library,
    forget_old,
    library_folder,
    removed_models,
    set_title,
)


def names():
    return [model.name for model in ws.installed_models() if model.origin == "library"]


def test_a_model_is_added_with_its_encoder_and_known_by_name(random_model, tmp_path):
    shutil.copytree(random_model.source, tmp_path / "package")
    (tmp_path / "package" / "notes about patients.txt").write_text("private")
    added = ws.add_to_library(tmp_path / "package", title="My Lymph Nodes, 2nd")
    assert (added.name, added.title, added.origin) == ("my-lymph-nodes-2nd", "My Lymph Nodes, 2nd", "library")
    assert added.folder == library_folder() / added.name
    files = sorted(path.relative_to(added.folder).as_posix() for path in added.folder.rglob("*") if path.is_file())
    inside = ["encoder/README.md", "encoder/encoder.json", "encoder/weights.safetensors"]
    assert files == ["README.md", *inside, "model.json", "weights.safetensors"]
    shutil.rmtree(tmp_path / "package")
    model = ws.load_model("my-lymph-nodes-2nd")
    assert model.source == "my-lymph-nodes-2nd"
    assert model.encoder.digest == random_model.encoder.digest
    assert names() == ["my-lymph-nodes-2nd"]


def test_names_are_unique_and_safe(random_model):
    assert ws.add_to_library(random_model.source).name == "random"
    assert ws.add_to_library(random_model.source).name == "random-2"
    assert ws.add_to_library(random_model.source, name="random").name == "random-3"
    assert ws.add_to_library(random_model.source, title="../../Größe *?").name == "grosse"
    assert ws.add_to_library(random_model.source, title="Bundled").name == "model-bundled"
    assert ws.add_to_library(random_model.source, title="中文").name == "model"
    for bad in ("../x", "A", "", "bundled", "con", "a/b", "x" * 80, ".hidden", "-x"):
        with pytest.raises(ModelError, match=r"can't be the name of a model"):
            ws.add_to_library(random_model.source, name=bad)
    assert len(names()) == 6


def test_nothing_is_added_of_what_is_no_package(random_model, tmp_path):
    with pytest.raises(ModelError, match="There is no model"):
        ws.add_to_library(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"holds no model\.json"):
        ws.add_to_library(tmp_path / "empty")
    broken = shutil.copytree(random_model.source, tmp_path / "broken")
    (broken / "weights.safetensors").write_bytes(b"\x08" + bytes(20))
    with pytest.raises(ModelError, match="safetensors"):
        ws.add_to_library(broken)
    (broken / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no weights\.safetensors"):
        ws.add_to_library(broken)
    assert [path for path in library_folder().glob("*") if path.is_dir()] == []


def test_a_library_that_can_not_be_written(random_model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "file" / "models"))
    with pytest.raises(ModelError, match=r"can't be made.*set NAPARI_WSIMIL_LIBRARY"):
        ws.add_to_library(random_model.source)
    assert names() == []


def test_removed_and_brought_back(random_model):
    ws.add_to_library(random_model.source)
    removed = ws.remove_from_library("random")
    assert names() == []
    with pytest.raises(ModelError, match="There is no model"):
        ws.load_model("random")
    with pytest.raises(ModelError, match="has no model 'random'; it is empty"):
        ws.remove_from_library("random")
    ws.add_to_library(random_model.source)
    # its name was given to another meanwhile
    assert removed.restore().name == "random-2"
    with pytest.raises(ModelError, match="gone for good"):
        removed.restore()
    ws.remove_from_library("random-2")
    assert [one.name for one in removed_models()] == ["random-2"]
    assert ws.restore_to_library("random-2").spec.id == "random"
    with pytest.raises(ModelError, match="No removed model is called 'random-2'; none can be brought back"):
        ws.restore_to_library("random-2")
    assert names() == ["random", "random-2"]


def test_what_was_removed_long_ago_is_deleted(random_model):
    ws.add_to_library(random_model.source)
    removed = ws.remove_from_library("random")
    forget_old()
    assert removed.folder.is_dir()
    old = removed.folder.with_name("20200101T000000000000-old")
    removed.folder.rename(old)
    assert [one.name for one in removed_models()] == ["old"]
    forget_old()
    assert not old.exists()


def test_the_title_changes_and_the_name_stays(random_model):
    ws.add_to_library(random_model.source)
    digest = ws.load_model("random").digest
    assert ws.rename_in_library("random", "  A better\n title ").title == "A better title"
    model = ws.load_model("random")
    assert (model.title, model.digest) == ("A better title", digest)
    assert model.card.startswith("# A better title\n")
    for bad in ("", "   ", "x" * 201):
        with pytest.raises(ModelError, match="1 to 200 letters"):
            ws.rename_in_library("random", bad)
    assert ws.load_model("random").title == "A better title"


def test_a_model_is_found_again_by_what_it_is(random_model, tmp_path):
    package = shutil.copytree(random_model.source, tmp_path / "package")
    assert find_in_library(package) is None
    ws.add_to_library(package)
    set_title(package, "Another title")
    assert find_in_library(package) == "random"
    spec = json.loads((package / "model.json").read_text())
    (package / "model.json").write_text(json.dumps({**spec, "min_tissue": 0.5}))
    assert find_in_library(package) is None


def test_a_path_is_no_name(random_model, tmp_path, monkeypatch):
    ws.add_to_library(random_model.source)
    folder = Path(shutil.copytree(random_model.source, tmp_path / "random"))
    set_title(folder, "The folder")
    monkeypatch.chdir(tmp_path)
    assert ws.load_model("random").title == "random"
    assert ws.load_model("./random").title == ws.load_model(Path("random")).title == "The folder"


def test_broken_models_of_the_library_say_why(random_model):
    added = ws.add_to_library(random_model.source)
    (added.folder / "model.json").write_text("{")
    (found,) = [model for model in ws.installed_models() if model.origin == "library"]
    assert found.spec is None
    assert "not valid JSON" in found.problem
    ws.remove_from_library("random")
    assert names() == []
