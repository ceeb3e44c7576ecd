"""Models of `timm`, by their names or by repositories of Hugging Face that it knows."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from torch import nn

from napari_wsimil.encoders.foreign.loaded import Loaded
from napari_wsimil.encoders.foreign.pixels import PixelSpec
from napari_wsimil.encoders.foreign.pooling import TOKEN_POOLINGS, pooled
from napari_wsimil.encoders.foreign.weights import find_weights, read_json, read_state
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from torch import Tensor

    from napari_wsimil.encoders.foreign.known import KnownEncoder

STAGES = tuple(f"stage{number}" for number in range(1, 5))
OWN = "own"
"""The pooling that a network of timm does by itself."""
LAYERS = ("mlp_layer", "act_layer")
"""Arguments that name a class."""


class OwnFeatures(nn.Module):
    """What a network of timm gives without its classifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, D)."""
        return self.model(pixels)


class TokenFeatures(nn.Module):
    """A vision transformer and what is taken of its tokens."""

    def __init__(self, model: nn.Module, pooling: str, prefix: int) -> None:
        super().__init__()
        self.model, self.pooling, self.prefix = model, pooling, prefix

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, D)."""
        return pooled(self.model.forward_features(pixels), self.pooling, self.prefix)  # type: ignore[operator]


class StageFeatures(nn.Module):
    """A network up to one of its stages, and the mean of that feature map."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, D)."""
        return self.model(pixels)[0].mean(dim=(2, 3))


def usual_repository(model: str) -> str:
    """Return the repository with the usual weights of a model of timm.

    Raises
    ------
    ModelError
        timm is not installed or does not know it.
    """
    timm = import_timm(f"timm:{model}")
    config = timm.get_pretrained_cfg(model, allow_unregistered=True) if timm.is_model(model) else None
    if config is None or not config.hf_hub_id:
        raise ModelError(f'timm knows no weights of a model "{model}"; see timm.list_models(pretrained=True).')
    repository = str(config.hf_hub_id)
    return f"{repository}{config.architecture}.{config.tag}" if repository.endswith("/") else repository


def load_timm(folder: Path, name: str, part: str, known: KnownEncoder | None) -> Loaded:
    """Load a folder with the config.json of a model of timm and its weights.

    Parameters
    ----------
    folder, name
        Where it is, and what the user calls it.
    part
        What to take from it, "" for what is usual.
    known
        What the table says of it.

    Raises
    ------
    ModelError
        timm is not installed or does not know the model, or its files are broken.
    """
    timm = import_timm(name)
    told = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    architecture = known.architecture if known and known.architecture else str(told.get("architecture", ""))
    if not timm.is_model(architecture):
        raise ModelError(f"{name} is a {architecture!r}, which this timm does not know; pip install --upgrade timm.")
    config = dict(told.get("pretrained_cfg") or {})
    model = _model(timm, architecture, config, _arguments(timm, told, known), name)
    _fill(model, config, find_weights(folder, known.files if known else ()), known.prefix if known else "", name)
    network, pooling = _features(timm, model.eval().requires_grad_(False), part or (known.pooling if known else OWN), name)
    return Loaded(network, "timm", architecture, pooling, (known and known.pixels) or _pixels(timm, model, config, name))


def import_timm(name: str) -> ModuleType:
    """Import timm, or say in a sentence that it can't be."""
    try:
        import timm
    # a torchvision that does not fit torch raises RuntimeError, an older one AttributeError
    except (ImportError, RuntimeError, AttributeError) as error:
        problem = f" ({str(error).splitlines()[0]})" if not isinstance(error, ModuleNotFoundError) else ""
        raise ModelError(
            f'{name} needs timm, with a torchvision that fits torch{problem}: pip install "napari-wsimil[timm]".'
        ) from error
    module: ModuleType = timm
    return module


def _arguments(timm: ModuleType, told: dict[str, Any], known: KnownEncoder | None) -> dict[str, Any]:
    """Return the arguments of the network; classes are named by strings in both the table and config.json."""
    arguments = dict(known.arguments) if known and known.arguments else dict(told.get("model_args") or {})
    for layer in LAYERS:
        if isinstance(arguments.get(layer), str):
            arguments[layer] = getattr(timm.layers, arguments[layer], None) or getattr(nn, arguments[layer], None)
    return arguments


def _model(timm: ModuleType, architecture: str, config: dict[str, Any], arguments: dict[str, Any], name: str) -> nn.Module:
    from timm.models import PretrainedCfg

    allowed = {field.name for field in fields(PretrainedCfg)}
    told = {key: value for key, value in config.items() if key in allowed} or None
    try:
        model: nn.Module = timm.create_model(architecture, pretrained_cfg=told, **{"num_classes": 0, **arguments})
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ModelError(f"timm can't build {name} ({str(error).splitlines()[0]}); pip install --upgrade timm.") from error
    return model


def _fill(model: nn.Module, config: dict[str, Any], files: list[Path], prefix: str, name: str) -> None:
    """Load the weights; only those of a classifier may be left over."""
    if not files:
        raise ModelError(f"{name} holds no model.safetensors or pytorch_model.bin; download the whole model.")
    state = read_state(files, prefix)
    adapted = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        state = adapted(state, model) if adapted else state
        found = model.load_state_dict(state, strict=False)
    except (RuntimeError, KeyError, ValueError) as error:
        raise ModelError(f"The weights of {name} do not fit the network: {str(error).splitlines()[-1].strip()}") from error
    classifiers = config.get("classifier") or ()
    heads = ("head", "fc", "classifier", *([classifiers] if isinstance(classifiers, str) else classifiers))
    surplus = [key for key in found.unexpected_keys if not key.startswith(heads)]
    if found.missing_keys or surplus:
        problem = f"{found.missing_keys[0]!r} is missing" if found.missing_keys else f"{surplus[0]!r} is not expected"
        raise ModelError(f"The weights of {name} do not belong to the network that it names: {problem}.")


def _features(timm: ModuleType, model: nn.Module, part: str, name: str) -> tuple[nn.Module, str]:
    """Return the network with its pooling, and what that is called."""
    if part == OWN:
        return OwnFeatures(model), OWN
    if part in STAGES:
        index = int(part.removeprefix("stage"))
        staged = timm.models.FeatureListNet(model, out_indices=(index,)) if hasattr(model, f"layer{index}") else None
        if staged is None or staged.feature_info.module_name() != [f"layer{index}"]:
            raise ModelError(f"{name} has no {part}: stages can be taken of ResNets only.")
        return StageFeatures(staged), part
    prefix = getattr(model, "num_prefix_tokens", None)
    if part not in TOKEN_POOLINGS or prefix is None:
        tokens = f", {', '.join(TOKEN_POOLINGS)}" if prefix is not None else f", {', '.join(STAGES)}"
        raise ModelError(f"{name}: of this model can be taken {OWN}{tokens}, not {part!r}.")
    if prefix == 0 and part != "mean":
        raise ModelError(f"{name} has no class token; take mean.")
    return TokenFeatures(model, part, prefix), part


def _pixels(timm: ModuleType, model: nn.Module, config: dict[str, Any], name: str) -> PixelSpec:
    """How the model's own configuration prepares pixels, as timm's transform for evaluation does."""
    told = timm.data.resolve_data_config(pretrained_cfg=config, model=model)
    channels, height, width = told["input_size"]
    if channels != 3 or told["interpolation"] not in {"bilinear", "bicubic"}:
        raise ModelError(f"{name} asks for pixels that are not made here ({channels} channels, {told['interpolation']}).")
    cut = told.get("crop_pct") or 1.0
    return PixelSpec(
        resize=(int(height / cut), int(width / cut)),
        interpolation=told["interpolation"],
        crop=None if cut == 1.0 else (height, width),
        mean=tuple(told["mean"]),
        std=tuple(told["std"]),
    )
