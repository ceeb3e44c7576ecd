"""Vision models of Hugging Face's `transformers`: no code of a repository is ever run."""

from __future__ import annotations

import pickle
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from torch import nn

from napari_wsimil.encoders.foreign.loaded import Loaded
from napari_wsimil.encoders.foreign.pixels import PixelSpec
from napari_wsimil.encoders.foreign.pooling import TOKEN_POOLINGS, pooled
from napari_wsimil.encoders.foreign.weights import find_weights, is_safe, read_json, refusal
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

PROCESSORS = {"ViT", "DeiT", "Bit", "ConvNext", "CLIP"}
"""Image processors that do nothing but resize, cut and scale; others do more, or something else."""
INTERPOLATIONS = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}
SQUASHED_FROM = 384
"""Processors of the kind "ConvNext" cut nothing off from this size on."""


@dataclass(frozen=True)
class Family:
    """How one kind of network is used.

    Attributes
    ----------
    model
        Class in `transformers`.
    poolings
        What its features can be; the first is usual.
    interpolates
        Whether it must be asked to interpolate its position embeddings.
    arguments
        For making it.
    """

    model: str
    poolings: tuple[str, ...] = TOKEN_POOLINGS
    interpolates: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


FAMILIES = {
    # ImageNet's ResNets: the mean of the last feature map; ZoomMIL and CLAM stop after the third of four stages
    "resnet": Family("ResNetModel", ("mean", "stage1", "stage2", "stage3", "stage4")),
    # supervised and self-supervised ViTs, Phikon (its model card): class token after the last normalisation
    "vit": Family("ViTModel", interpolates=True, arguments={"add_pooling_layer": False}),
    # DINOv2 and Phikon-v2 (its model card): class token; it interpolates by itself
    "dinov2": Family("Dinov2Model"),
    "dinov2_with_registers": Family("Dinov2WithRegistersModel"),
    # CLIP and PLIP (plip.py): projected into the space shared with text; "pooled" is what is projected
    "clip": Family("CLIPVisionModelWithProjection", ("projection", "pooled", "mean"), interpolates=True),
    "clip_vision_model": Family("CLIPVisionModelWithProjection", ("projection", "pooled", "mean"), interpolates=True),
}


class TokenFeatures(nn.Module):
    """A vision transformer and what is taken from it."""

    def __init__(self, model: nn.Module, pooling: str, prefix: int, *, interpolates: bool) -> None:
        super().__init__()
        self.model, self.pooling, self.prefix = model, pooling, prefix
        self.asked = {"interpolate_pos_encoding": True} if interpolates else {}

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, D)."""
        output = self.model(pixels, **self.asked)
        if self.pooling == "projection":
            return output.image_embeds
        if self.pooling == "pooled":
            return output.pooler_output
        return pooled(output.last_hidden_state, self.pooling, self.prefix)


class StageFeatures(nn.Module):
    """A ResNet up to one of its stages, and the mean of that feature map."""

    def __init__(self, model: Any, stages: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(model.embedder, *model.encoder.stages[:stages])

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, D)."""
        return self.layers(pixels).mean(dim=(2, 3))


def load_transformers(folder: Path, name: str, part: str, pixels: PixelSpec | None) -> Loaded:
    """Load a folder with config.json and weights.

    Parameters
    ----------
    folder, name
        Where it is, and what the user calls it.
    part
        What to take from it, "" for what is usual.
    pixels
        How patches are prepared where the folder does not say.

    Raises
    ------
    ModelError
        `transformers` is not installed, the kind of model is not known, or its files are broken.
    """
    kind = str(read_json(folder / "config.json").get("model_type", ""))
    family = FAMILIES.get(kind)
    if family is None:
        known = ", ".join(FAMILIES)
        raise ModelError(f"{name} is a model of the kind {kind or 'unknown'!r}; encoders can be made of {known}.")
    pooling = part or family.poolings[0]
    if pooling not in family.poolings:
        raise ModelError(f"{name}: of a {kind} model can be taken {', '.join(family.poolings)}, not {part!r}.")
    with _quiet(name):
        prepared = pixels_of(folder, name) or pixels
        if prepared is None:
            raise ModelError(
                f"{name} holds no preprocessor_config.json, so nobody knows how it wants its pixels; take another copy."
            )
        model = _model(folder, family, kind, pooling, name)
    return Loaded(_features(model, family, pooling), "transformers", kind, pooling, prepared)


def _features(model: nn.Module, family: Family, pooling: str) -> nn.Module:
    config: Any = model.config
    if family.model == "ResNetModel":
        return StageFeatures(model, int(pooling.removeprefix("stage")) if pooling != "mean" else len(config.depths))
    prefix = 1 + (getattr(config, "num_register_tokens", None) or 0)
    return TokenFeatures(model, pooling, prefix, interpolates=family.interpolates)


def _model(folder: Path, family: Family, kind: str, pooling: str, name: str) -> nn.Module:
    """Make the network and check that every weight of it was in the files."""
    import transformers

    files = find_weights(folder)
    if not files:
        raise ModelError(f"{name} holds no model.safetensors or pytorch_model.bin; download the whole model.")
    made = "CLIPVisionModel" if pooling in {"pooled", "mean"} and kind.startswith("clip") else family.model
    maker = getattr(transformers, made, None)
    if maker is None:
        raise ModelError(f"{name} needs a newer transformers; pip install --upgrade transformers.")
    arguments = dict(family.arguments)
    if kind == "clip":
        whole = transformers.CLIPConfig.from_pretrained(folder)
        arguments["config"] = whole.vision_config
        arguments["config"].projection_dim = whole.projection_dim
    try:
        model, found = maker.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=is_safe(files),
            weights_only=True,
            output_loading_info=True,
            **arguments,
        )
    except (pickle.UnpicklingError, SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        if "ignore_mismatched_sizes" in str(error):
            raise ModelError(f"The weights of {name} do not fit its config.json; download both again.") from error
        raise ModelError(refusal(files[0])) from error
    missing = sorted(found["missing_keys"])
    if missing:
        raise ModelError(f"The weights of {name} do not belong to its config.json: {missing[0]!r} is missing.")
    network: nn.Module = model.float().eval().requires_grad_(False)
    return network


def pixels_of(folder: Path, name: str) -> PixelSpec | None:
    """How patches are prepared by the folder's preprocessor_config.json; None where there is none.

    Raises
    ------
    ModelError
        It asks for something that is not done here.
    """
    if not (folder / "preprocessor_config.json").is_file():
        return None
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ModelError(f"The preprocessor_config.json of {name} can't be used ({str(error).splitlines()[0]}).") from error
    kind = type(processor).__name__.partition("ImageProcessor")[0]
    if kind not in PROCESSORS:
        raise ModelError(
            f"{name} prepares its pixels by {type(processor).__name__}, which is not known here; take another model."
        )
    return _pixels(processor, kind, name)


def _pixels(processor: Any, kind: str, name: str) -> PixelSpec:
    resize = _sides(processor.size) if processor.do_resize else None
    crop = _sides(processor.crop_size) if getattr(processor, "do_center_crop", False) else None
    if resize and kind == "ConvNext" and resize[0] < SQUASHED_FROM:
        crop = resize
        resize = (int(resize[0] / processor.crop_pct),) * 2
    interpolation = INTERPOLATIONS.get(int(processor.resample)) if resize else "bilinear"
    if interpolation is None:
        raise ModelError(f"{name} asks for a way of resizing (PIL's number {int(processor.resample)}) that is not done here.")
    factor = processor.rescale_factor if processor.do_rescale else 1.0
    scaled = processor.do_normalize
    mean, std = (processor.image_mean, processor.image_std) if scaled else ((0.0,) * 3, (1.0,) * 3)
    # what these say is about numbers that `factor` made of 0..255
    return PixelSpec.model_validate(
        {
            "resize": resize,
            "interpolation": interpolation,
            "crop": crop,
            "mean": tuple(value / factor / 255 for value in mean),
            "std": tuple(value / factor / 255 for value in std),
        }
    )


def _sides(size: Any) -> tuple[int, int]:
    """(height, width) of what a processor calls a size, for square patches."""
    edges = dict(size)
    edge = edges.get("shortest_edge")
    return (int(edge), int(edge)) if edge else (int(edges["height"]), int(edges["width"]))


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """No progress bars and no chatter of `transformers`, which is imported here; as it was before, afterwards."""
    try:
        from transformers.utils import logging
    except (ImportError, RuntimeError) as error:
        raise ModelError(f'{name} needs the package transformers: pip install "napari-wsimil[hf]".') from error
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
