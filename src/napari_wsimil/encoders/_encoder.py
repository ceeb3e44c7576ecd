"""An encoder: patches of pixels in, features out, with what it expects of the pixels."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from napari_wsimil.encoders import storage
from napari_wsimil.encoders._network import CompactCNN
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SCHEMA_VERSION = 1
SPEC = "encoder.json"
BUNDLED = Path(__file__).parent / "bundled"
ARCHITECTURES = {"compact-cnn": CompactCNN}

Positive = Annotated[float, Field(gt=0)]


class EncoderSpec(BaseModel):
    """What `encoder.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    architecture: str = "compact-cnn"
    dimension: int = Field(default=CompactCNN.dimension, ge=1, le=65536)
    patch_size: int = Field(default=256, ge=32, le=4096)
    mpp: float = Field(default=0.5, gt=0, le=100)
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]
    training: dict[str, Any] = Field(default_factory=dict)


class Encoder:
    """Turns patches into features on one device; it never changes, `to` gives another one.

    Attributes
    ----------
    id, digest
        Name, and short sha256 of weights and preprocessing.
    dimension
        Length of a feature vector, D.
    patch_size, mpp
        Side of a patch in pixels, and the µm per pixel it was trained at.
    device
        Where it computes.
    spec
        The validated `encoder.json`.
    """

    def __init__(self, spec: EncoderSpec, network: torch.nn.Module, digest: str, device: str | torch.device = "cpu") -> None:
        self.spec = spec
        self.id, self.dimension, self.patch_size, self.mpp = spec.id, spec.dimension, spec.patch_size, spec.mpp
        self.digest = digest
        self.device = torch.device(device)
        self._network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._mean = 255 * torch.tensor(spec.mean, device=self.device).view(1, 3, 1, 1)
        self._scale = 1 / (255 * torch.tensor(spec.std, device=self.device).view(1, 3, 1, 1))

    def __repr__(self) -> str:
        return f"Encoder({self.id!r}, digest={self.digest!r}, dimension={self.dimension}, device={str(self.device)!r})"

    def to(self, device: str | torch.device) -> Encoder:
        """Return this encoder on `device`; itself where it is there already."""
        if torch.device(device) == self.device:
            return self
        network = ARCHITECTURES[self.spec.architecture]().folded()
        network.load_state_dict(self._network.state_dict())
        return Encoder(self.spec, network, self.digest, device)

    @torch.inference_mode()
    def encode(self, patches: NDArray[np.uint8]) -> Tensor:
        """(n, size, size, 3) uint8 pixels -> (n, D) float32 features on the CPU.

        Raises
        ------
        ModelError
            The patches have another size or type than the encoder was made for.
        """
        side = self.patch_size
        if patches.ndim != 4 or patches.shape[1:] != (side, side, 3) or patches.dtype != np.uint8:
            raise ModelError(
                f"Encoder {self.id} takes uint8 patches of shape (n, {side}, {side}, 3), not {patches.dtype} {patches.shape}."
            )
        if len(patches) == 0:
            return torch.zeros((0, self.dimension))
        # (n, h, w, 3) seen as (n, 3, h, w) is already in the channels-last order that convolutions like best
        pixels = torch.from_numpy(np.ascontiguousarray(patches)).to(self.device).permute(0, 3, 1, 2)
        features: Tensor = self._network(pixels.float().sub_(self._mean).mul_(self._scale))
        return features.float().cpu()


def load_encoder(name: str | Path = "bundled") -> Encoder:
    """Load an encoder onto the CPU.

    Parameters
    ----------
    name
        ``"bundled"`` or the path of an encoder folder (`encoder.json`, `weights.safetensors`).

    Raises
    ------
    ModelError
        There is no such encoder, or its files are broken.
    """
    if str(name).startswith(("hf:", "timm:")):
        raise ModelError(f'Encoder "{name}" can\'t be loaded; this version loads "bundled" and folders with an {SPEC}.')
    folder = BUNDLED if str(name) == "bundled" else Path(name).expanduser()
    if not folder.is_dir():
        raise ModelError(f'There is no encoder "{name}": give "bundled" or the path of a folder with an {SPEC}.')
    return _load(folder.resolve(), storage.stamp(folder, SPEC, storage.WEIGHTS))


@lru_cache(maxsize=4)
def _load(folder: Path, _stamp: tuple[tuple[str, int, int], ...]) -> Encoder:
    spec = storage.read_spec(folder / SPEC, EncoderSpec, SCHEMA_VERSION)
    if spec.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"{folder / SPEC} names the architecture {spec.architecture!r}; this version knows {known}.")
    network = ARCHITECTURES[spec.architecture]()
    if spec.dimension != network.dimension:
        raise ModelError(f"{folder / SPEC} says {spec.dimension} features, but {spec.architecture} gives {network.dimension}.")
    tensors = storage.read_weights(folder / storage.WEIGHTS)
    storage.fill(network, tensors, folder / storage.WEIGHTS)
    preprocessing = spec.model_dump_json(include={"architecture", "dimension", "patch_size", "mpp", "mean", "std"})
    return Encoder(spec, network.folded(), storage.digest(tensors, preprocessing))


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
