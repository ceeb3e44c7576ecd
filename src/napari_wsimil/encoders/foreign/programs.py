"""Encoders that are programs: TorchScript (.pt, .ts) and ExportedProgram (.pt2), run only where the user says so.

Such a file can do whatever its maker wants with the rights of whoever loads it. Beside it lies a JSON file of the same name
that says what pixels it takes.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from napari_wsimil.encoders import storage
from napari_wsimil.encoders.foreign.encoder import LARGEST, SMALLEST, ForeignEncoder, ForeignSpec
from napari_wsimil.encoders.foreign.pixels import PixelSpec
from napari_wsimil.encoders.foreign.weights import digest_of, file_digest
from napari_wsimil.errors import CodeWarning, ModelError

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA_VERSION = 1
EXPORTED = ".pt2"

_TRUSTED: set[str] = set()
"""sha256 of the files that the user allowed in this process."""

Positive = Annotated[float, Field(gt=0)]


class ProgramCard(BaseModel):
    """What the JSON file beside a program says.

    Attributes
    ----------
    id
        Name for files; None: that of the file.
    patch_size, mpp
        Side of patches in pixels, and µm per pixel.
    resize
        Side in pixels that patches are brought to; None: as they come.
    mean, std
        Of RGB in 0..1; taken off, and divided by.
    licence
        Free text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    id: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    patch_size: int = Field(ge=SMALLEST, le=LARGEST)
    mpp: float = Field(gt=0, le=100)
    resize: int | None = Field(default=None, ge=1, le=8192)
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]
    licence: str = ""


class ProgramNetwork(nn.Module):
    """A program as a module; it moves nowhere, `ProgramEncoder.to` opens it again."""

    def __init__(self, path: Path, device: torch.device | str) -> None:
        super().__init__()
        # in a tuple, so that it is no child: an exported program refuses `eval`
        self._program = (open_program(path, torch.device(device)),)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, D)."""
        return self._program[0](pixels)


class ProgramEncoder(ForeignEncoder):
    """An encoder around a program, whose weights can't be changed."""

    weights_fixed = True

    def _on(self, device: str | torch.device) -> nn.Module:
        path = Path(self.spec.source)
        if not path.is_file() or file_digest(path) not in _TRUSTED:
            raise ModelError(f"{path} was changed since it was loaded; load it again.")
        return ProgramNetwork(path, device)


def trust_program(path: Path) -> None:
    """Allow the program in this file, as it is now, to run in this process."""
    _TRUSTED.add(file_digest(path))


def load_program(path: Path) -> ProgramEncoder:
    """Load a program that was allowed by `trust_program`, and warn that it is one.

    Raises
    ------
    ModelError
        It was not allowed, is none, says nothing of its pixels, or gives no features.
    """
    if file_digest(path) not in _TRUSTED:
        raise ModelError(
            f"{path} is a program, not just weights: it could do anything on this computer; if you trust who made it, allow it "
            "with trust_code=True (on the command line --trust-code)."
        )
    warnings.warn(
        f"{path} is a program of its own, which now runs with all your rights because you allowed it.",
        CodeWarning,
        stacklevel=2,
    )
    card = _card(path)
    network = ProgramNetwork(path, "cpu")
    pixels = PixelSpec(resize=(card.resize, card.resize) if card.resize else None, mean=card.mean, std=card.std)
    spec = ForeignSpec(
        id=card.id or storage_name(path.stem),
        architecture="exported-program" if path.suffix == EXPORTED else "torchscript",
        dimension=_dimension(network, pixels.output(card.patch_size), path),
        patch_size=card.patch_size,
        mpp=card.mpp,
        mean=pixels.mean,
        std=pixels.std,
        library="program",
        source=str(path),
        pooling="own",
        pixels=pixels,
        licence=card.licence,
    )
    return ProgramEncoder(spec, network, digest_of([path], {}, pixels.model_dump_json()))


def storage_name(text: str) -> str:
    """Return an id made of a text."""
    plain = "".join(letter if (letter.isascii() and letter.isalnum()) or letter in "._-" else "-" for letter in text.lower())
    return plain.strip("._-")[:64] or "encoder"


def open_program(path: Path, device: torch.device) -> nn.Module:
    """Open TorchScript or an ExportedProgram on a device.

    Raises
    ------
    ModelError
        The file is neither; it is never unpickled then.
    """
    try:
        if path.suffix == EXPORTED:
            from torch.export.passes import move_to_device_pass

            exported: nn.Module = move_to_device_pass(torch.export.load(path), device).module()
            return exported
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            script: nn.Module = torch.jit.load(path, map_location=device).eval()
        return script
    except Exception as error:
        kind = "ExportedProgram (torch.export.save)" if path.suffix == EXPORTED else "TorchScript (torch.jit.save)"
        raise ModelError(f"{path} can't be opened as {kind}; save it as that, or give a folder with safetensors.") from error


def _card(path: Path) -> ProgramCard:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise ModelError(
            f"Nobody knows what pixels {path.name} takes: put {beside.name} beside it, such as "
            '{"patch_size": 224, "mpp": 0.5, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}.'
        )
    return storage.read_spec(beside, ProgramCard, SCHEMA_VERSION)


@torch.inference_mode()
def _dimension(network: nn.Module, size: tuple[int, int], path: Path) -> int:
    """Try it on one and on two patches, as batches come in any number."""
    try:
        features = [network(torch.zeros(count, 3, *size)) for count in (2, 1)]
    except Exception as error:
        problem = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{path.name} can't take one or two patches of {size[1]} x {size[0]} px ({problem[:200]}); export it with a batch "
            "of any size, and check its JSON file."
        ) from error
    shapes = [tuple(found.shape) if isinstance(found, torch.Tensor) else None for found in features]
    if shapes[0] is None or len(shapes[0]) != 2 or shapes[0][0] != 2 or shapes[1] != (1, shapes[0][1]):
        raise ModelError(f"{path.name} must give one row of features for each patch, (n, D); it gives {shapes[0]} for two.")
    return int(shapes[0][1])
