"""Packages that bring their own encoder along in a subfolder."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from pydantic import ValidationError

from napari_wsimil.bags import FeatureBag
from napari_wsimil.encoders import CompactCNN, load_network, save_encoder
from napari_wsimil.errors import ModelError
from napari_wsimil.packages import EncoderReference, load_model, save_model


@pytest.fixture
def package(random_model, random_encoder, tmp_path):
    """A package with its encoder inside, in a folder that may be moved."""
    return save_model(tmp_path / "package", random_model.mil, random_model.spec, "# Card\n", encoder=random_encoder[1])


def test_encoder_is_saved_inside(package, random_encoder, tmp_path):
    assert package.spec.encoder.name == "./encoder"
    assert package.encoder.digest == random_encoder[0].digest
    files = sorted(str(path.relative_to(tmp_path / "package")) for path in (tmp_path / "package").rglob("*.*"))
    inside = ["encoder/README.md", "encoder/encoder.json", "encoder/weights.safetensors"]
    assert files == ["README.md", *inside, "model.json", "weights.safetensors"]


def test_package_moves_with_its_encoder(package, tmp_path):
    moved = shutil.move(tmp_path / "package", tmp_path / "elsewhere")
    again = load_model(moved)
    bag = FeatureBag({0.5: torch.randn(5, 256)})
    assert torch.equal(again.mil(bag).logits, package.mil(bag).logits)
    assert (again.digest, again.encoder.digest) == (package.digest, package.encoder.digest)


def test_package_is_saved_again_elsewhere(package, tmp_path):
    inside = tmp_path / "package" / "encoder"
    again = save_model(tmp_path / "copy", package.mil, package.spec, encoder=inside)
    shutil.rmtree(tmp_path / "package")
    assert load_model(tmp_path / "copy").digest == again.digest == package.digest
    # and onto itself
    assert save_model(tmp_path / "copy", again.mil, again.spec, encoder=tmp_path / "copy" / "encoder").digest == again.digest


def test_encoder_that_was_written_again_is_noticed(package, tmp_path):
    torch.manual_seed(5)
    save_encoder(CompactCNN(), tmp_path / "package" / "encoder", id="random", mean=(0.8, 0.7, 0.8), std=(0.2, 0.2, 0.2))
    with pytest.raises(ModelError, match="was made for encoder random"):
        load_model(tmp_path / "package")


def test_package_without_its_encoder(package, tmp_path):
    shutil.rmtree(tmp_path / "package" / "encoder")
    with pytest.raises(ModelError, match="lacks its folder 'encoder' with the encoder; copy or download the whole package"):
        load_model(tmp_path / "package")


@pytest.mark.parametrize("name", ["../encoder", "./../encoder", "./a/b", "./.", ".", "./..", ".encoder", "./a\\b", "./"])
def test_names_never_lead_outside(name):
    with pytest.raises(ValidationError, match="no subfolder of the package"):
        EncoderReference(name=name, id="e", digest="0", dimension=4)


def test_names_outside_in_a_file(package, tmp_path):
    path = tmp_path / "package" / "model.json"
    content = json.loads(path.read_text())
    content["encoder"]["name"] = "../../etc"
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"model\.json can't be used: encoder\.name.*no subfolder"):
        load_model(tmp_path / "package")


def test_link_out_of_the_package(package, tmp_path):
    shutil.move(tmp_path / "package" / "encoder", tmp_path / "outside")
    (tmp_path / "package" / "encoder").symlink_to(tmp_path / "outside", target_is_directory=True)
    with pytest.raises(ModelError, match="is a link out of the package"):
        load_model(tmp_path / "package")


def test_hub_fetches_the_encoder_too(package, monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra napari-wsimil[hub]")
    asked = []

    def snapshot_download(repo, **named):
        asked.append(sorted(named["allow_patterns"]))
        return str(tmp_path / "package")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert load_model("hf:owner/name").digest == package.digest
    first = ["README.md", "model.json", "weights.safetensors"]
    inside = ["encoder/README.md", "encoder/encoder.json", "encoder/weights.safetensors"]
    assert asked == [first, sorted(first + inside)]


def test_folder_that_can_not_be_written(random_model, random_encoder, tmp_path):
    (tmp_path / "package").write_text("a file where a folder should be")
    with pytest.raises(ModelError, match=r"can't be copied to .*choose another folder"):
        save_model(tmp_path / "package", random_model.mil, random_model.spec, encoder=random_encoder[1])


def test_network_to_train_further(random_encoder):
    encoder, name = random_encoder
    spec, network = load_network(name)
    assert (spec, network.training) == (encoder.spec, False)
    assert all(p.requires_grad for p in network.parameters())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    network.stem[0].weight.data.zero_()
    assert load_network(name)[1].stem[0].weight.abs().sum() > 0
