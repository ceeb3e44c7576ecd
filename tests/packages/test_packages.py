from __future__ import annotations

import builtins
import json
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from napari_wsimil.bags import FeatureBag
from napari_wsimil.encoders import CompactCNN, save_encoder
from napari_wsimil.errors import ModelError
from napari_wsimil.mil import build_mil
from napari_wsimil.packages import EncoderReference, ModelSpec, installed_models, load_model, save_model

REFERENCE = EncoderReference(id="e", digest="0", dimension=256)


@pytest.fixture
def folder(random_model, tmp_path):
    return shutil.copytree(random_model.source, tmp_path / "copy")


def edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_weights_can_be_read_by_whoever_reads_the_card(random_model):
    folder = Path(random_model.source)
    assert (folder / "weights.safetensors").stat().st_mode == (folder / "README.md").stat().st_mode


def test_round_trip(random_model):
    again = load_model(random_model.source)
    bag = FeatureBag({0.5: torch.randn(7, 256)})
    assert torch.equal(again.mil(bag).logits, random_model.mil(bag).logits)
    assert (again.id, again.classes, again.positive_class) == ("random", ("normal", "tumour"), "tumour")
    assert again.card == "# Card\n"
    assert again.title == "random"
    assert again.digest == random_model.digest
    assert not again.mil.training
    assert sorted(path.name for path in Path(again.source).iterdir()) == ["README.md", "model.json", "weights.safetensors"]


def test_digest_follows_what_changes_a_prediction(random_model, folder):
    edit(folder, title="Another title", metrics={"auc": 0.9}, id="renamed")
    assert load_model(folder).digest == random_model.digest
    edit(folder, min_tissue=0.5)
    assert load_model(folder).digest != random_model.digest


def test_spec_gives_the_patch_settings():
    spec = ModelSpec(id="m", method="abmil", classes=("a", "b"), encoder=REFERENCE, mpps=(2.0, 0.5), stride=128, min_tissue=0.4)
    coarse, fine = spec.patch_specs()
    assert (coarse.mpp, fine.mpp) == (2.0, 0.5)
    assert (fine.size, fine.stride, fine.min_tissue, fine.tissue_method) == (256, 128, 0.4, "hsv-otsu")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mpps": (0.5, 2.0)}, "coarse to fine"),
        ({"mpps": (0.0,)}, "greater than 0"),
        ({"classes": ("a", "a")}, "same name"),
        ({"classes": ("a",)}, "at least 2"),
        ({"positive_class": "c"}, "none of the classes"),
        ({"id": "Upper Case"}, "pattern"),
        ({"extra": 1}, "not permitted"),
    ],
)
def test_inconsistent_specs(changes, says):
    good = {"id": "m", "method": "abmil", "classes": ("a", "b"), "encoder": REFERENCE, "mpps": (0.5,)}
    ModelSpec(**good)
    with pytest.raises(ValidationError, match=says):
        ModelSpec(**(good | changes))


def test_package_for_another_encoder_is_refused(random_model, tmp_path):
    torch.manual_seed(9)
    other = tmp_path / "other"
    save_encoder(CompactCNN(), other, id="other", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    reference = random_model.spec.encoder.model_copy(update={"name": str(other)})
    spec = random_model.spec.model_copy(update={"encoder": reference})
    with pytest.raises(ModelError, match=r"was made for encoder random \(.*\), but .* is other"):
        save_model(tmp_path / "package", random_model.mil, spec)
    assert not (tmp_path / "package").exists()


def test_package_for_another_width_is_refused(random_model, folder):
    edit(folder, encoder=random_model.spec.encoder.model_dump() | {"dimension": 1024})
    with pytest.raises(ModelError, match="takes 1024 features per patch, but encoder random gives 256"):
        load_model(folder)


def test_weights_of_another_network_are_refused(folder):
    edit(folder, parameters={"hidden": 64, "attention": 16})
    with pytest.raises(ModelError, match=r"has shape \(.*\) where"):
        load_model(folder)
    edit(folder, parameters={"hidden": 32, "attention": 16, "gated": False})
    with pytest.raises(ModelError, match=r"'attention\.gate\.bias' is not expected"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema_version": 99}, "update napari-wsimil"),
        ({"method": "unheard"}, "'unheard' is not known"),
        ({"patch_size": 224}, "takes patches of 224 px, but encoder random takes 256 px"),
        ({"parameters": {"hidden": -1}}, "'hidden'"),
        ({"surprise": True}, "surprise"),
    ],
)
def test_bad_packages(folder, changes, says):
    edit(folder, **changes)
    with pytest.raises(ModelError, match=says):
        load_model(folder)


def test_pickled_weights_are_never_opened(folder):
    (folder / "weights.safetensors").unlink()
    torch.save(build_mil("abmil", 256, 2).state_dict(), folder / "weights.pt")
    with pytest.raises(ModelError, match=r"holds no weights\.safetensors"):
        load_model(folder)
    shutil.move(folder / "weights.pt", folder / "weights.safetensors")
    with pytest.raises(ModelError, match="can't be read as safetensors"):
        load_model(folder)


def test_missing_folders(tmp_path):
    with pytest.raises(ModelError, match='There is no model "/nowhere"'):
        load_model("/nowhere")
    with pytest.raises(ModelError, match=r"holds no model\.json"):
        load_model(tmp_path)


def test_hub_without_its_package(monkeypatch):
    usual = builtins.__import__

    def without(name, *rest, **named):
        if name == "huggingface_hub":
            raise ImportError(name)
        return usual(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=r"pip install .napari-wsimil\[hub\]"):
        load_model("hf:owner/name")


def test_installed_models_finds_the_laboratorys_folder(random_model, tmp_path, monkeypatch):
    shutil.copytree(random_model.source, tmp_path / "good")
    shutil.copytree(random_model.source, tmp_path / "newer")
    edit(tmp_path / "newer", schema_version=99)
    monkeypatch.setenv("NAPARI_WSIMIL_MODELS", str(tmp_path))
    found = {model.name: model for model in installed_models()}
    good, newer = found[str(tmp_path / "good")], found[str(tmp_path / "newer")]
    assert good.spec.classes == ("normal", "tumour")
    assert good.problem is None
    assert load_model(good.name).digest == random_model.digest
    assert newer.spec is None
    assert "update napari-wsimil" in newer.problem


def test_bundled_model():
    model = load_model("bundled")
    assert installed_models()[0].name == "bundled"
    assert model.positive_class in model.classes
    assert "diagnosis" in model.card
    assert model.encoder.dimension == model.spec.encoder.dimension
