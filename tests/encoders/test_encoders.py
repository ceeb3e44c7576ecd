from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_wsimil.encoders import CompactCNN, load_encoder, save_encoder
from napari_wsimil.errors import ModelError

MEAN, STD = (0.8, 0.6, 0.7), (0.2, 0.25, 0.3)


def trained_network() -> CompactCNN:
    """Running statistics away from their start, so that folding has something to do."""
    torch.manual_seed(3)
    network = CompactCNN()
    for _ in range(3):
        network(torch.randn(4, 3, 64, 64))
    return network.eval()


def patches(count: int = 3, size: int = 256) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_network_is_small_and_gives_256_features():
    network = CompactCNN()
    assert sum(p.numel() for p in network.parameters()) == 1_227_072
    assert network(torch.zeros(2, 3, 256, 256)).shape == (2, 256)
    assert network.feature_map(torch.zeros(1, 3, 256, 256)).shape == (1, 256, 8, 8)


def test_folding_changes_no_number():
    network = trained_network()
    pixels = torch.randn(2, 3, 256, 256)
    folded = network.folded()
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    torch.testing.assert_close(folded(pixels), network(pixels), rtol=1e-4, atol=1e-5)


def test_encode_normalises_and_matches_the_network(tmp_path):
    network = trained_network()
    encoder = save_encoder(network, tmp_path, id="probe", mean=MEAN, std=STD, dtype=torch.float32)
    pixels = patches()
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    with torch.inference_mode():
        expected = network(x)
    features = encoder.encode(pixels)
    assert features.dtype == torch.float32
    assert features.device.type == "cpu"
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    # one at a time is the same as all at once
    torch.testing.assert_close(encoder.encode(pixels[1:2]), features[1:2], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_saved_encoder_comes_back(tmp_path, dtype):
    saved = save_encoder(trained_network(), tmp_path, id="probe", mean=MEAN, std=STD, training={"seed": 3}, dtype=dtype)
    loaded = load_encoder(tmp_path)
    assert (loaded.id, loaded.dimension, loaded.patch_size, loaded.mpp) == ("probe", 256, 256, 0.5)
    assert loaded.digest == saved.digest
    assert loaded.spec.training == {"seed": 3}
    assert {t.dtype for t in load_file(tmp_path / "weights.safetensors").values()} == {dtype}
    assert not list(tmp_path.glob("*.part"))
    assert (tmp_path / "weights.safetensors").stat().st_size < (3e6 if dtype == torch.float16 else 6e6)


def test_digest_tells_weights_and_preprocessing_apart(tmp_path):
    network = trained_network()
    first = save_encoder(network, tmp_path / "a", id="a", mean=MEAN, std=STD)
    renamed = save_encoder(network, tmp_path / "b", id="b", mean=MEAN, std=STD)
    other_mean = save_encoder(network, tmp_path / "c", id="a", mean=(0.5, 0.5, 0.5), std=STD)
    with torch.no_grad():
        network.stem[0].weight[0, 0, 0, 0] += 1
    other_weights = save_encoder(network, tmp_path / "d", id="a", mean=MEAN, std=STD)
    assert first.digest == renamed.digest
    assert len({first.digest, other_mean.digest, other_weights.digest}) == 3


def test_loading_again_notices_new_weights(tmp_path):
    first = save_encoder(trained_network(), tmp_path, id="probe", mean=MEAN, std=STD)
    assert load_encoder(tmp_path) is first
    second = save_encoder(CompactCNN(), tmp_path, id="probe", mean=MEAN, std=STD)
    assert second.digest != first.digest


def test_to_keeps_the_original(random_encoder):
    encoder, _ = random_encoder
    assert encoder.to("cpu") is encoder
    moved = encoder.to("meta")
    assert (moved.device.type, encoder.device.type) == ("meta", "cpu")
    assert moved.digest == encoder.digest


@pytest.mark.parametrize("bad", [patches(1, 224), patches(1).astype(np.float32), patches(1)[..., :2], patches(1)[0]])
def test_wrong_patches_are_refused(random_encoder, bad):
    with pytest.raises(ModelError, match="takes uint8 patches of shape"):
        random_encoder[0].encode(bad)


def test_no_patches_give_no_features(random_encoder):
    assert random_encoder[0].encode(patches(0)).shape == (0, 256)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "/nowhere/model.pt", "unheard-of", "/nowhere#stage3"])
def test_unknown_names(name):
    with pytest.raises(ModelError, match=r'There is no encoder .*"bundled", a name of `napari-wsimil encoders`'):
        load_encoder(name)


@pytest.fixture
def folder(random_encoder, tmp_path):
    return shutil.copytree(random_encoder[1], tmp_path / "copy")


def edit(folder, **changes):
    path = folder / "encoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema_version": 2}, "schema version 2 .* update napari-wsimil"),
        ({"std": [0.2, 0.0, 0.2]}, "std.1: input should be greater than 0"),
        ({"surprise": 1}, "surprise"),
        ({"architecture": "resnet"}, "resnet"),
        ({"dimension": 512}, "512 features"),
        ({"id": "../up"}, "id"),
    ],
)
def test_bad_specs(folder, changes, says):
    edit(folder, **changes)
    with pytest.raises(ModelError, match=says):
        load_encoder(folder)


def test_broken_files(folder):
    weights = folder / "weights.safetensors"
    tensors = load_file(weights)
    name = sorted(tensors)[0]
    save_file({key: value for key, value in tensors.items() if key != name}, weights)
    with pytest.raises(ModelError, match=f"{name}' is missing"):
        load_encoder(folder)
    save_file(tensors | {name: torch.zeros(7)}, weights)
    with pytest.raises(ModelError, match=r"has shape \(7,\)"):
        load_encoder(folder)
    save_file(tensors | {name: torch.full_like(tensors[name], torch.nan)}, weights)
    with pytest.raises(ModelError, match="not finite"):
        load_encoder(folder)
    weights.write_bytes(b"\x80\x04 a pickle, say")
    with pytest.raises(ModelError, match="can't be read as safetensors"):
        load_encoder(folder)
    weights.unlink()
    with pytest.raises(ModelError, match=r"holds no weights\.safetensors"):
        load_encoder(folder)
    (folder / "encoder.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        load_encoder(folder)
    (folder / "encoder.json").write_text("[1]")
    with pytest.raises(ModelError, match="can't be used"):
        load_encoder(folder)


def test_bundled_encoder():
    encoder = load_encoder("bundled")
    assert (encoder.dimension, encoder.patch_size) == (256, 256)
    features = encoder.encode(patches(4))
    assert torch.isfinite(features).all()
    assert features.std() > 0
