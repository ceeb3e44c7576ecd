"""What test_foreign_timm.py runs in a process of its own, behind a prelude that makes timm importable."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from napari_wsimil.encoders import load_encoder
from napari_wsimil.encoders.foreign import loading
from napari_wsimil.encoders.foreign.known import KNOWN
from napari_wsimil.encoders.foreign.timm_models import _arguments, usual_repository
from napari_wsimil.errors import ModelError

FOLDER = Path(sys.argv[1])
PATCHES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
CONFIG = {"input_size": [3, 64, 64], "interpolation": "bicubic", "crop_pct": 1.0}
SCALE = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
TINY = {"patch_size": 16, "embed_dim": 48, "depth": 2, "num_heads": 3}


def saved(name, architecture, arguments=(), classes=0, **config):
    """A folder as timm.models.push_to_hf_hub writes it."""
    torch.manual_seed(0)
    arguments, pretrained = dict(arguments), {**CONFIG, **SCALE, "num_classes": classes, **config}
    named = {key: getattr(timm.layers, value, None) or value for key, value in arguments.items() if isinstance(value, str)}
    model = timm.create_model(architecture, num_classes=classes, pretrained_cfg=pretrained, **{**arguments, **named}).eval()
    folder = FOLDER / name
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    told = {"architecture": architecture, "model_args": arguments, "pretrained_cfg": pretrained}
    (folder / "config.json").write_text(json.dumps(told))
    return folder, model


def transformed(model, config):
    told = timm.data.resolve_data_config(pretrained_cfg={**CONFIG, **SCALE, **config}, model=model)
    transform = timm.data.create_transform(**told, is_training=False)
    return torch.stack([transform(Image.fromarray(patch)) for patch in PATCHES])


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def refused(says, name):
    with pytest.raises(ModelError, match=re.escape(says)):
        load_encoder(name)


with torch.inference_mode():
    # its own pooling, without the classifier, and cut as its configuration says
    folder, model = saved("resnet", "resnet18", classes=5, classifier="fc", crop_pct=0.875)
    pixels = transformed(model, {"crop_pct": 0.875})
    encoder = load_encoder(folder)
    assert encoder.spec.pixels.resize == (73, 73)
    assert encoder.spec.pixels.crop == (64, 64)
    resized = encoder._fitted(torch.from_numpy(PATCHES).permute(0, 3, 1, 2)).float()
    assert ((resized - encoder._mean) * encoder._scale - pixels).abs().mul(255 * 0.4).max() < 2.5
    folder, model = saved("resnet-whole", "resnet18", classes=5, classifier="fc")
    pixels = transformed(model, {})
    model.reset_classifier(0)
    encoder = load_encoder(folder)
    close(encoder.encode(PATCHES), model(pixels))
    assert (encoder.dimension, encoder.patch_size, encoder.spec.library, encoder.spec.pooling) == (512, 64, "timm", "own")
    # up to a stage, as TRIDENT and CLAM do with ResNet-50
    staged = load_encoder(f"{folder}#stage3")
    features = timm.create_model("resnet18", features_only=True, out_indices=[3]).eval()
    features.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    close(staged.encode(PATCHES), features(pixels)[0].mean(dim=(2, 3)))
    assert staged.dimension == 256
    refused("can be taken own, stage1", f"{folder}#cls")

    # class token, registers, and Virchow's class token beside the mean of the patches
    arguments = {**TINY, "reg_tokens": 4, "mlp_layer": "SwiGLUPacked", "mlp_ratio": 5.3375, "init_values": 1e-5}
    folder, model = saved("vit", "vit_tiny_patch16_224", arguments, fixed_input_size=True)
    tokens = model.forward_features(transformed(model, {}))
    close(load_encoder(folder).encode(PATCHES), tokens[:, 0])
    close(load_encoder(f"{folder}#mean").encode(PATCHES), tokens[:, 5:].mean(dim=1))
    close(load_encoder(f"{folder}#cls+mean").encode(PATCHES), torch.cat([tokens[:, 0], tokens[:, 5:].mean(dim=1)], dim=1))
    refused("has no stage3", f"{folder}#stage3")

    # a trunk in a larger file without a configuration, by the table
    entry = KNOWN["conch-trunk"]
    known = entry.model_copy(
        update={
            "architecture": "vit_tiny_patch16_224",
            "arguments": {**TINY, "img_size": 64},
            "dimension": 48,
            "patch_size": 64,
            "pixels": entry.pixels.model_copy(update={"resize": (64, 64)}),
        }
    )
    torch.manual_seed(0)
    trunk = timm.create_model("vit_tiny_patch16_224", num_classes=0, **known.arguments).eval()
    larger = FOLDER / "larger"
    larger.mkdir()
    state = {f"visual.trunk.{key}": tensor for key, tensor in trunk.state_dict().items()}
    torch.save({**state, "text.weight": torch.zeros(3)}, larger / "pytorch_model.bin")
    KNOWN["conch-trunk"] = known
    loading.fetch_files = lambda *_, **__: larger
    encoder = load_encoder("conch-trunk")
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (known.pixels.mean, known.pixels.std))
    pixels = (torch.from_numpy(PATCHES).permute(0, 3, 1, 2) / 255 - mean) / std
    close(encoder.encode(PATCHES), trunk.forward_features(pixels)[:, 0])
    assert (encoder.id, encoder.spec.source) == ("conch-trunk", "hf:MahmoodLab/CONCH")

# weights of another network
weights = load_file(folder / "model.safetensors")
save_file({key: value for key, value in weights.items() if key != "reg_token"}, folder / "model.safetensors")
refused("'reg_token' is missing", folder)
save_file(weights | {"surprise": torch.zeros(1)}, folder / "model.safetensors")
refused("'surprise' is not expected", folder)
config = json.loads((folder / "config.json").read_text())
(folder / "config.json").write_text(json.dumps({**config, "architecture": "vit_of_tomorrow"}))
refused("which this timm does not know", folder)
refused("timm knows no weights of a model", "timm:nothing_like_it")
assert usual_repository("resnet50").startswith("timm/resnet50.")

# every network of the table can be built, and is as wide as the table says
for name, entry in KNOWN.items():
    if entry.library == "timm" and entry.architecture and name != "conch-trunk":
        with torch.device("meta"):
            model = timm.create_model(entry.architecture, num_classes=0, **_arguments(timm, {}, entry))
        assert model.num_features * (2 if entry.pooling == "cls+mean" else 1) == entry.dimension, name
        sys.stdout.write(f"{name} {sum(p.numel() for p in model.parameters())}\n")
sys.stdout.write("all as timm says\n")
