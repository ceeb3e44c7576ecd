"""Checkpoints that the tests make, and a hub that is a folder."""

from __future__ import annotations

import fnmatch
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session", name="checkpoints")
def _checkpoints(tmp_path_factory) -> Path:
    """Folders of tiny models as `save_pretrained` writes them, each with a preprocessor_config.json of its kind."""
    pytest.importorskip("transformers", reason="needs the extra napari-wsimil[hf]")
    import torch
    import transformers as hf
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoints")
    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    stages = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
    vision = {**tiny, "image_size": 32, "patch_size": 8}
    text = {**tiny, "vocab_size": 99, "max_position_embeddings": 16}
    clip = hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)
    squares = BitImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 56, "width": 56}, resample=3)
    made = {
        "resnet-basic": (hf.ResNetForImageClassification(hf.ResNetConfig(**stages, layer_type="basic")), None),
        "resnet-bottleneck": (
            hf.ResNetModel(hf.ResNetConfig(**stages, layer_type="bottleneck")),
            ConvNextImageProcessorPil(size={"shortest_edge": 56}, crop_pct=0.875, image_mean=[0.5, 0.4, 0.3]),
        ),
        # pixels of 48 px for position embeddings of 32 px, which must be interpolated
        "vit": (
            hf.ViTForImageClassification(hf.ViTConfig(**vision)),
            ViTImageProcessorPil(size={"height": 48, "width": 48}, image_std=[0.2, 0.3, 0.4]),
        ),
        "dinov2": (hf.Dinov2Model(hf.Dinov2Config(**tiny, image_size=56, patch_size=14)), squares),
        "registers": (
            hf.Dinov2WithRegistersModel(
                hf.Dinov2WithRegistersConfig(**tiny, image_size=56, patch_size=14, num_register_tokens=3)
            ),
            squares,
        ),
        "clip": (hf.CLIPModel(clip), CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})),
    }
    for name, (model, processor) in made.items():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
        model.eval().save_pretrained(folder / name)
        (processor or ViTImageProcessorPil(size={"height": 64, "width": 64})).save_pretrained(folder / name)
    return folder


class FakeHub:
    """What `huggingface_hub.snapshot_download` does, from and to folders; `asked` counts what went over the network."""

    def __init__(self, cache: Path) -> None:
        self.cache, self.repos, self.asked = cache, {}, []
        self.error: Exception | None = None

    def publish(self, repo: str, folder: Path, commit: str = "a" * 40) -> str:
        self.repos.setdefault(repo, {})[commit] = folder
        return commit

    def snapshot_download(self, repo, *, revision=None, allow_patterns=(), local_files_only=False):
        from huggingface_hub import errors

        commits = self.repos.get(repo, {})
        commit = revision or next(reversed(commits), "")
        target = self.cache / f"models--{repo.replace('/', '--')}" / "snapshots" / commit
        if local_files_only:
            if not commit or not target.is_dir():
                raise errors.LocalEntryNotFoundError("nothing here")
            return str(target)
        if self.error is not None:
            raise self.error
        self.asked.append((repo, revision, sorted(allow_patterns)))
        for file in commits[commit].iterdir():
            if any(fnmatch.fnmatch(file.name, pattern) for pattern in allow_patterns):
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target / file.name)
        return str(target)


@pytest.fixture(name="hub")
def _hub(monkeypatch, tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs the extra napari-wsimil[hub]")
    from napari_wsimil.encoders.foreign import loading

    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    for cached in (loading._downloaded, loading._load):
        cached.cache_clear()
    yield fake
    for cached in (loading._downloaded, loading._load):
        cached.cache_clear()
