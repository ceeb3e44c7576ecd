"""Files of weights that others saved: which there are, what is in them, and what tells them from others."""

from __future__ import annotations

import hashlib
import json
import pickle
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from napari_wsimil.encoders.storage import MAX_SPEC_BYTES
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

CONFIGS = ("config.json", "preprocessor_config.json")
SAFE = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model-*-of-*.bin", "pytorch_model.bin.index.json")

_VOLATILE = {"_name_or_path", "transformers_version", "torch_dtype", "dtype"}
"""What a config says of how it was saved, not of the network."""


def find_weights(folder: Path, named: Sequence[str] = ()) -> list[Path]:
    """Return the files of weights in a folder: `named` ones, or safetensors, or else what PyTorch pickled; none: empty."""
    for patterns in (named or SAFE[:2], () if named else PICKLED[:2]):
        found = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
        if found:
            return found[:1] if found[0].stem in {"model", "pytorch_model"} else found
    return []


def is_safe(files: Sequence[Path]) -> bool:
    """Whether these are safetensors."""
    return all(file.suffix == ".safetensors" for file in files)


def read_state(files: Sequence[Path], prefix: str = "") -> dict[str, Tensor]:
    """Tensors of the files, those whose names begin with `prefix`, without it; nothing is unpickled but tensors.

    Raises
    ------
    ModelError
        A file is broken, or holds other things than tensors.
    """
    state: dict[str, Any] = {}
    for file in files:
        try:
            found = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
        except (pickle.UnpicklingError, SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
            raise ModelError(refusal(file)) from error
        while isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
            found = found["state_dict"]
        state |= found if isinstance(found, dict) else {}
    tensors = {name.removeprefix("module."): tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def refusal(file: Path) -> str:
    """Say that a file of weights can't be used."""
    return (
        f"{file} can't be read as weights: it is damaged, or holds programs beside numbers, which are never run; download it "
        "again, or take a model with safetensors."
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a configuration.

    Raises
    ------
    ModelError
        It is missing, too large or no JSON object.
    """
    try:
        if path.stat().st_size > MAX_SPEC_BYTES:
            raise ModelError(f"{path} is too large for a configuration; download the model again.")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path.parent} holds no {path.name}; download the whole model.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path} is not valid JSON ({error}); download the model again.") from error
    if not isinstance(data, dict):
        raise ModelError(f"{path} is no configuration of a model; download the model again.")
    return data


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(files: Sequence[Path], config: dict[str, Any], *texts: str) -> str:
    """Short sha256 of weights, what their configuration says of the network, and `texts`: the same wherever they lie."""
    total = hashlib.sha256()
    for file in files:
        total.update(file_digest(file).encode())
    kept = {name: value for name, value in config.items() if name not in _VOLATILE}
    for text in (json.dumps(kept, sort_keys=True), *texts):
        total.update(b"\0" + text.encode())
    return total.hexdigest()[:16]
