"""Names to encoders, and encoders to folders."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_wsimil.encoders import storage
from napari_wsimil.encoders._encoder import ARCHITECTURES, SCHEMA_VERSION, Encoder, EncoderSpec
from napari_wsimil.errors import ModelError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wsimil.encoders._network import CompactCNN
    from napari_wsimil.encoders.foreign.names import EncoderName

SPEC = "encoder.json"
FILES = (SPEC, storage.WEIGHTS, storage.CARD)
BUNDLED = Path(__file__).parent / "bundled"


def load_encoder(name: str | Path = "bundled", *, trust_code: bool = False) -> Encoder:
    """Load an encoder onto the CPU.

    Parameters
    ----------
    name
        ``"bundled"``; the path of an encoder folder (`encoder.json`, `weights.safetensors`); a name of the table that
        ``napari-wsimil encoders`` prints (``"uni"``); ``"hf:owner/name"`` with an optional ``@revision``, a model of
        `transformers` or `timm` on Hugging Face, or the path of a copy of one (`config.json`, `model.safetensors`);
        ``"timm:name"`` or ``"timm:hf-hub:owner/name"``; or the path of a program, TorchScript (`.pt`, `.ts`) or ExportedProgram
        (`.pt2`), beside which a JSON file says what pixels it takes. Behind ``#`` may stand what to take from the network:
        ``"hf:microsoft/resnet-50#stage3"``, or cls, mean, cls+mean, projection, pooled.
    trust_code
        Allow the program at `name` to run; asked for once in a process, for the file as it is.

    Raises
    ------
    ModelError
        There is no such encoder, its files are broken, it is gated or needs a library or a network that is not there, or it is
        a program that was not allowed; one sentence says which.
    """
    foreign = _foreign(name)
    if foreign is not None:
        from napari_wsimil.encoders.foreign.loading import load_foreign

        if trust_code:
            trust_program(name)
        return load_foreign(foreign)
    folder = _folder(name)
    return _load(folder.resolve(), storage.stamp(folder, SPEC, storage.WEIGHTS))


def trust_program(name: str | Path) -> None:
    """Allow the program that an encoder's name leads to, as it is now, to run in this process; nothing for other names."""
    foreign = _foreign(name)
    if foreign is not None and foreign.kind == "program":
        from napari_wsimil.encoders.foreign import programs

        programs.trust_program(Path(foreign.place))


def lasting_name(name: str | Path) -> str:
    """Return the name by which others find exactly this encoder wherever they are: a whole path, or a commit on Hugging Face.

    Takes and raises what `load_encoder` does.
    """
    if str(name) == "bundled":
        return "bundled"
    if _foreign(name) is None:
        return str(Path(name).expanduser().resolve())
    from napari_wsimil.encoders.foreign.encoder import ForeignSpec

    spec = load_encoder(name).spec
    return spec.source if isinstance(spec, ForeignSpec) else str(name)


def load_network(name: str | Path = "bundled") -> tuple[EncoderSpec, CompactCNN]:
    """Load the network of an encoder as it was trained, to train it further: normalisations not folded, every weight learns.

    Takes and raises what `load_encoder` does; the network is a new one each time, on the CPU and in evaluation.
    """
    folder = _folder(name)
    spec, network, _ = _read(folder)
    return spec, network.requires_grad_(True)


def copy_encoder(name: str | Path, target: Path) -> None:
    """Copy an encoder's folder, each file whole; the spec comes last.

    Raises
    ------
    ModelError
        There is no such encoder, or `target` can't be written.
    """
    source = _folder(name)
    if target.resolve() == source.resolve():
        return
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in (*FILES[1:], SPEC):
            if (source / file).is_file():
                with written_whole(target / file) as part:
                    shutil.copyfile(source / file, part)
    except OSError as error:
        raise ModelError(f"The encoder can't be copied to {target} ({error}); choose another folder.") from error


def _foreign(name: str | Path) -> EncoderName | None:
    """Read the name of an encoder that others made; None where it is one of ours, or nothing that could be known here."""
    if str(name) == "bundled" or (Path(name).expanduser() / SPEC).is_file():
        return None
    from napari_wsimil.encoders.foreign.names import parse_name

    return parse_name(str(name))


def _folder(name: str | Path) -> Path:
    """Return the folder of one of our own encoders."""
    folder = BUNDLED if str(name) == "bundled" else Path(name).expanduser()
    if _foreign(name) is not None:
        raise ModelError(
            f'Encoder "{name}" was made by others and stays as it is; only those of napari-wsimil (folders with an {SPEC}) can '
            "be trained further or copied into a package."
        )
    if not folder.is_dir():
        raise ModelError(
            f'There is no encoder "{name}": give "bundled", a name of `napari-wsimil encoders`, "hf:owner/name", "timm:name" '
            "or the path of a folder or file."
        )
    return folder


@lru_cache(maxsize=4)
def _load(folder: Path, _stamp: tuple[tuple[str, int, int], ...]) -> Encoder:
    spec, network, tensors = _read(folder)
    preprocessing = spec.model_dump_json(include={"architecture", "dimension", "patch_size", "mpp", "mean", "std"})
    return Encoder(spec, network.folded(), storage.digest(tensors, preprocessing))


def _read(folder: Path) -> tuple[EncoderSpec, CompactCNN, dict[str, Tensor]]:
    """Spec, network with its weights, and these as they are stored."""
    spec = storage.read_spec(folder / SPEC, EncoderSpec, SCHEMA_VERSION)
    if spec.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"{folder / SPEC} names the architecture {spec.architecture!r}; this version knows {known}.")
    network = ARCHITECTURES[spec.architecture]()
    if spec.dimension != network.dimension:
        raise ModelError(f"{folder / SPEC} says {spec.dimension} features, but {spec.architecture} gives {network.dimension}.")
    tensors = storage.read_weights(folder / storage.WEIGHTS)
    storage.fill(network, tensors, folder / storage.WEIGHTS)
    return spec, network, tensors


def save_encoder(
    network: CompactCNN,
    folder: str | Path,
    *,
    id: str,  # noqa: A002
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    patch_size: int = 256,
    mpp: float = 0.5,
    training: dict[str, Any] | None = None,
    card: str = "",
    dtype: torch.dtype = torch.float16,
) -> Encoder:
    """Write an encoder folder and return the encoder as `load_encoder` reads it (half precision rounds the weights).

    Parameters
    ----------
    network
        The trained network, not folded.
    folder
        Made if missing; files of the same name in it are replaced.
    id
        Lower-case name that files and packages use for this encoder.
    mean, std
        Of RGB in 0..1 over the training patches.
    patch_size, mpp
        What it was trained on.
    training
        Free provenance: data, command, date, metrics.
    card
        Text of the `README.md`.
    dtype
        Precision of the stored weights.
    """
    target = Path(folder).expanduser()
    spec = EncoderSpec(id=id, mean=mean, std=std, patch_size=patch_size, mpp=mpp, training=training or {})
    text = card or f"# {id}\n\nAn encoder of napari-wsimil: {patch_size}-px patches at {mpp:g} µm per pixel.\n"
    storage.write_folder(target, SPEC, spec, storage.weights_of(network, dtype), text)
    return load_encoder(target)
