"""Features of models of `transformers` are those of a plain pipeline of that library."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="needs the extra napari-wsimil[hf]")

from noisy_patches import noise
from safetensors.torch import load_file, save_file

from napari_wsimil.encoders import load_encoder
from napari_wsimil.encoders.foreign.pixels import PixelSpec, fitted
from napari_wsimil.errors import ModelError


def plain(folder, patches, model="AutoModel"):
    """(inputs, outputs) of the pipeline of every model card: processor, model."""
    import transformers as hf

    processor = hf.AutoImageProcessor.from_pretrained(folder)
    pixels = processor(images=list(patches), return_tensors="pt")["pixel_values"]
    network = getattr(hf, model).from_pretrained(folder).eval()
    with torch.inference_mode():
        return pixels, network(pixels, **({"interpolate_pos_encoding": True} if model == "ViTModel" else {}))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet-basic", "resnet-bottleneck"])
def test_resnet_is_the_mean_of_its_last_map(checkpoints, name):
    patches = noise()
    encoder = load_encoder(checkpoints / name)
    _, output = plain(checkpoints / name, patches)
    close(encoder.encode(patches), output.pooler_output.flatten(1))
    assert (encoder.id, encoder.dimension, encoder.patch_size, encoder.spec.pooling) == (name, 32, 64, "mean")


def test_resnet_stops_after_a_stage(checkpoints):
    import transformers as hf

    folder, patches = checkpoints / "resnet-bottleneck", noise()
    encoder = load_encoder(f"{folder}#stage3")
    pixels, _ = plain(folder, patches)
    with torch.inference_mode():
        states = hf.ResNetModel.from_pretrained(folder).eval()(pixels, output_hidden_states=True).hidden_states
    close(encoder.encode(patches), states[3].mean(dim=(2, 3)))
    assert (encoder.id, encoder.dimension) == ("resnet-bottleneck-stage3", 24)
    whole = load_encoder(folder)
    assert sum(p.numel() for p in encoder._network.parameters()) < sum(p.numel() for p in whole._network.parameters())
    close(load_encoder(f"{folder}#stage4").encode(patches), whole.encode(patches))


def test_resnet_50_has_1024_features_after_stage_3():
    import transformers as hf

    from napari_wsimil.encoders.foreign.transformers_models import StageFeatures

    with torch.device("meta"):
        network = StageFeatures(hf.ResNetModel(hf.ResNetConfig()).eval(), 3)
        assert network(torch.zeros(2, 3, 224, 224)).shape == (2, 1024)


def test_vit_takes_the_class_token_and_interpolates_positions(checkpoints):
    patches = noise(side=48)
    encoder = load_encoder(checkpoints / "vit")
    _, output = plain(checkpoints / "vit", patches, "ViTModel")
    close(encoder.encode(patches), output.last_hidden_state[:, 0])
    mean = load_encoder(f"{checkpoints / 'vit'}#mean")
    close(mean.encode(patches), output.last_hidden_state[:, 1:].mean(dim=1))
    assert output.last_hidden_state.shape[1] == 1 + 36
    assert encoder.patch_size == 48


@pytest.mark.parametrize(("name", "prefix"), [("dinov2", 1), ("registers", 4)])
def test_dinov2_leaves_registers_out_of_the_mean(checkpoints, name, prefix):
    patches = noise()
    _, output = plain(checkpoints / name, patches)
    tokens = output.last_hidden_state
    close(load_encoder(checkpoints / name).encode(patches), tokens[:, 0])
    both = load_encoder(f"{checkpoints / name}#cls+mean")
    close(both.encode(patches), torch.cat([tokens[:, 0], tokens[:, prefix:].mean(dim=1)], dim=1))
    assert (both.id, both.dimension) == (f"{name}-cls-mean", 64)
    assert tokens.shape[1] == prefix + 16


def test_clip_is_projected_as_for_plip(checkpoints):
    import transformers as hf

    patches = noise(side=40)
    encoder = load_encoder(checkpoints / "clip")
    pixels = hf.AutoImageProcessor.from_pretrained(checkpoints / "clip")(images=list(patches), return_tensors="pt")
    model = hf.CLIPModel.from_pretrained(checkpoints / "clip").eval()
    with torch.inference_mode():
        found = model.vision_model(**pixels)
        expected = model.visual_projection(found.pooler_output)
    close(encoder.encode(patches), expected)
    assert (encoder.dimension, encoder.spec.pooling) == (20, "projection")
    close(load_encoder(f"{checkpoints / 'clip'}#pooled").encode(patches), found.pooler_output)


@pytest.mark.parametrize("name", ["resnet-basic", "resnet-bottleneck", "vit", "dinov2", "registers", "clip"])
@pytest.mark.parametrize("side", [80, 40])
def test_resized_pixels_are_those_of_pillow_but_for_rounding(checkpoints, name, side):
    patches = noise(side=side)
    encoder = load_encoder(checkpoints / name)
    expected, _ = plain(checkpoints / name, patches, {"clip": "CLIPVisionModel", "vit": "ViTModel"}.get(name, "AutoModel"))
    pixels = encoder._fitted(torch.from_numpy(patches).permute(0, 3, 1, 2)).float()
    found = (pixels - encoder._mean) * encoder._scale
    assert found.shape == expected.shape
    difference = (found - expected).abs() * torch.tensor(encoder.spec.std).view(1, 3, 1, 1) * 255
    assert difference.max() < 2.01
    assert difference.mean() < 0.15
    assert encoder.encode(patches).shape == (3, encoder.dimension)


def test_cutting_out_more_than_there_is_says_so():
    spec = PixelSpec(crop=(40, 40), mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(ModelError, match=r"32 x 32 px are too small, 40 x 40 px"):
        fitted(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), spec)
    pixels = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6).expand(1, 3, 6, 6)
    assert fitted(pixels, PixelSpec(crop=(2, 2), mean=(0, 0, 0), std=(1, 1, 1)))[0, 0].tolist() == [[14, 15], [20, 21]]


def test_patches_of_any_square_size_and_no_others(checkpoints):
    encoder = load_encoder(checkpoints / "dinov2")
    assert encoder.takes(32)
    assert encoder.takes(512)
    assert not encoder.takes(31)
    assert encoder.encode(noise(0)).shape == (0, 32)
    for bad in (noise(1, 20), noise(1)[:, :50], noise(1).astype(np.float32), noise(1)[0]):
        with pytest.raises(ModelError, match=r"takes uint8 patches of shape \(n, side, side, 3\)"):
            encoder.encode(bad)


def test_one_at_a_time_is_the_same_as_all_at_once(checkpoints):
    encoder, patches = load_encoder(checkpoints / "registers"), noise(4)
    close(torch.cat([encoder.encode(patches[row : row + 1]) for row in range(4)]), encoder.encode(patches))


def test_to_keeps_the_original(checkpoints):
    encoder = load_encoder(checkpoints / "vit")
    assert encoder.to("cpu") is encoder
    moved = encoder.to("meta")
    assert (moved.device.type, encoder.device.type, moved.digest) == ("meta", "cpu", encoder.digest)
    assert encoder.encode(noise(1)).isfinite().all()


def test_lower_precision_is_left_to_who_asks_for_it(checkpoints):
    encoder = load_encoder(checkpoints / "vit")
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder.encode(noise())
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, encoder.encode(noise()), rtol=0.1, atol=0.1)
    assert not torch.equal(features, encoder.encode(noise()))


def copy_of(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_digest_is_of_contents_pixels_and_pooling(checkpoints, tmp_path):
    original = load_encoder(checkpoints / "dinov2")
    copy = copy_of(checkpoints / "dinov2", tmp_path)
    assert load_encoder(copy).digest == original.digest
    assert load_encoder(copy) is load_encoder(copy)
    assert load_encoder(f"{copy}#mean").digest != original.digest
    edit(copy / "config.json", transformers_version="9.9")
    assert load_encoder(copy).digest == original.digest
    edit(copy / "preprocessor_config.json", image_mean=[0.1, 0.2, 0.3])
    other_pixels = load_encoder(copy)
    edit(copy / "config.json", layer_norm_eps=1e-3)
    other_network = load_encoder(copy)
    weights = load_file(copy / "model.safetensors")
    save_file({name: tensor + 1e-3 for name, tensor in weights.items()}, copy / "model.safetensors", {"format": "pt"})
    other_weights = load_encoder(copy)
    assert len({e.digest for e in (original, other_pixels, other_network, other_weights)}) == 4


def test_half_precision_weights_compute_in_single(checkpoints, tmp_path):
    copy = copy_of(checkpoints / "vit", tmp_path)
    weights = {name: tensor.half() for name, tensor in load_file(copy / "model.safetensors").items()}
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    edit(copy / "config.json", dtype="float16")
    encoder = load_encoder(copy)
    assert {p.dtype for p in encoder._network.parameters()} == {torch.float32}
    torch.testing.assert_close(encoder.encode(noise()), load_encoder(checkpoints / "vit").encode(noise()), rtol=0.02, atol=0.02)


def pickled(folder, content=None):
    weights = load_file(folder / "model.safetensors") if content is None else content
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


def test_pickled_weights_are_numbers_only(checkpoints, tmp_path):
    folder = pickled(copy_of(checkpoints / "dinov2", tmp_path))
    close(load_encoder(folder).encode(noise()), load_encoder(checkpoints / "dinov2").encode(noise()))


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ["EVIL"],)


def test_pickled_programs_never_run(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setenv("EVIL", str(tmp_path / "evil"))
    folder = copy_of(checkpoints / "dinov2", tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError, match="can't be read as weights: it is damaged, or holds programs"):
        load_encoder(folder)
    torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="which are never run"):
        load_encoder(folder)
    assert not (tmp_path / "evil").exists()


def test_safetensors_are_preferred(checkpoints, tmp_path):
    folder = copy_of(checkpoints / "dinov2", tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"broken")
    assert load_encoder(folder).digest == load_encoder(checkpoints / "dinov2").digest


def test_shapes_that_do_not_fit(checkpoints, tmp_path):
    folder = copy_of(checkpoints / "dinov2", tmp_path)
    edit(folder / "config.json", hidden_size=40, num_attention_heads=4)
    with pytest.raises(ModelError, match=r"weights of .* do not fit its config\.json"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "bert"}, "is a model of the kind 'bert'; encoders can be made of resnet, vit"),
        ({"model_type": None}, "is no model of transformers or timm|of the kind"),
        ({"model_type": "own", "auto_map": {"AutoModel": "modeling.Own"}}, "of the kind 'own'"),
        ({"num_hidden_layers": 3}, r"do not belong to its config\.json: 'encoder"),
    ],
)
def test_bad_configs(checkpoints, tmp_path, changes, says):
    folder = copy_of(checkpoints / "dinov2", tmp_path)
    edit(folder / "config.json", **changes)
    with pytest.raises(ModelError, match=says):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"resample": 1}, "asks for a way of resizing"),
        ({"image_processor_type": "BeitImageProcessor"}, "prepares its pixels by BeitImageProcessor"),
    ],
)
def test_bad_preprocessors(checkpoints, tmp_path, changes, says):
    folder = copy_of(checkpoints / "dinov2", tmp_path)
    edit(folder / "preprocessor_config.json", **changes)
    with pytest.raises(ModelError, match=says):
        load_encoder(folder)


def test_pixels_without_scaling(checkpoints, tmp_path):
    folder = copy_of(checkpoints / "dinov2", tmp_path)
    edit(folder / "preprocessor_config.json", do_rescale=False, do_normalize=False, do_resize=False, do_center_crop=False)
    patches = noise(side=56)
    _, output = plain(folder, patches)
    close(load_encoder(folder).encode(patches), output.last_hidden_state[:, 0])


def test_incomplete_folders(checkpoints, tmp_path):
    folder = copy_of(checkpoints / "dinov2", tmp_path)
    with pytest.raises(ModelError, match="of a dinov2 model can be taken cls, mean, cls\\+mean, not 'stage3'"):
        load_encoder(f"{folder}#stage3")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    with pytest.raises(ModelError, match=r"holds no model\.safetensors or pytorch_model\.bin"):
        load_encoder(folder)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="can't be read as weights"):
        load_encoder(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"holds no preprocessor_config\.json"):
        load_encoder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        load_encoder(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="is no configuration"):
        load_encoder(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="is no model of transformers or timm"):
        load_encoder(folder)


def test_without_transformers(checkpoints, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "transformers.utils", None)
    with pytest.raises(ModelError, match=r'needs the package transformers: pip install "napari-wsimil\[hf\]"'):
        load_encoder(copy_of(checkpoints / "dinov2", tmp_path))
