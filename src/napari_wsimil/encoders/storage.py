"""Specs as JSON and weights as safetensors, read with suspicion and written whole or not at all.

Encoder folders and model packages are the same on disk: a JSON file that a pydantic schema validates, `weights.safetensors`
and `README.md`. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_wsimil.errors import ModelError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

WEIGHTS = "weights.safetensors"
CARD = "README.md"
MAX_SPEC_BYTES = 1_000_000

Spec = TypeVar("Spec", bound=BaseModel)


def read_spec(path: Path, schema: type[Spec], version: int) -> Spec:
    """Read the JSON file at `path` by `schema`.

    Raises
    ------
    ModelError
        The file is missing, too large, no JSON, of a newer schema version, or does not follow the schema.
    """
    if not path.is_file():
        raise ModelError(f"{path.parent} holds no {path.name}; choose the folder that was saved as a package.")
    if path.stat().st_size > MAX_SPEC_BYTES:
        raise ModelError(f"{path} is larger than {MAX_SPEC_BYTES // 1000} kB, so it is not a spec that napari-wsimil wrote.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON ({error}); save or download the package again.") from error
    found = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(found, int) and found > version:
        raise ModelError(
            f"{path} has schema version {found} but this napari-wsimil reads up to {version}; update napari-wsimil."
        )
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        raise ModelError(f"{path} can't be used: {first_problem(error)}.") from error


def first_problem(error: ValidationError) -> str:
    """Say in words the first thing pydantic found wrong."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file as float32, whatever precision they are stored in.

    Raises
    ------
    ModelError
        The file is missing or no safetensors file, or holds numbers that are not finite.
    """
    if not path.is_file():
        raise ModelError(f"{path.parent} holds no {path.name}; the package is incomplete: save or download it again.")
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} can't be read as safetensors ({error}); save or download the package again.") from error
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ModelError(f"{path} holds numbers that are not finite in {broken[0]!r}; save or download the package again.")
    return tensors


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load `tensors` into `network` and set it to evaluation.

    Raises
    ------
    ModelError
        Names or shapes differ; the sentence says which.
    """
    expected = {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    missing = sorted(expected.keys() - tensors.keys())
    surplus = sorted(tensors.keys() - expected.keys())
    shaped = [name for name in expected if name in tensors and expected[name].shape != tensors[name].shape]
    if missing or surplus:
        names = f"{missing[0]!r} is missing" if missing else f"{surplus[0]!r} is not expected"
        raise ModelError(f"The weights in {path} do not belong to the network that its spec names: {names}.")
    if shaped:
        name = shaped[0]
        found, wanted = tuple(tensors[name].shape), tuple(expected[name].shape)
        raise ModelError(f"The weights in {path} do not fit its spec: {name!r} has shape {found} where {wanted} is needed.")
    network.load_state_dict(dict(tensors), strict=False)  # only the counters of normalisations may stay behind
    network.eval().requires_grad_(False)


def digest(tensors: Mapping[str, Tensor], *texts: str) -> str:
    """Short sha256 of the numbers in `tensors` and of `texts`: the same for the same behaviour, wherever it is stored."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tuple(tensor.shape)}".encode())
        total.update(tensor.numpy().tobytes())
    for text in texts:
        total.update(text.encode())
    return total.hexdigest()[:16]


def weights_of(network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return what is worth storing of a network: its parameters and statistics, on the CPU, in `dtype`."""
    state = network.state_dict().items()
    return {name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in state if tensor.is_floating_point()}


def write_folder(folder: Path, spec_name: str, spec: BaseModel, tensors: Mapping[str, Tensor], card: str) -> None:
    """Write spec, weights and card into `folder`, each under a temporary name first; the spec comes last.

    Raises
    ------
    ModelError
        The folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            written_whole(folder / spec_name) as spec_part,
            written_whole(folder / CARD) as card_part,
            written_whole(folder / WEIGHTS) as weights_part,
        ):
            spec_part.write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
            card_part.write_text(card, encoding="utf-8")
            save_file(dict(tensors), weights_part)
            weights_part.chmod(card_part.stat().st_mode)  # safetensors lets nobody else read, and packages are to be shared
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder} can't be written ({error}); choose another folder.") from error


def stamp(folder: Path, *names: str) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of files, so that a cache notices when they are written again."""
    paths = [Path(folder, name) for name in names]
    return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in paths if path.is_file())
