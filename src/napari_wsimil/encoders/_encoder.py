"""An encoder: patches of pixels in, features out, with what it expects of the pixels."""

from __future__ import annotations

import threading
from copy import copy
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from napari_wsimil.encoders._network import CompactCNN
from napari_wsimil.encoders.memory import is_out_of_memory
from napari_wsimil.encoders.pending import Lanes, Pending
from napari_wsimil.encoders.precision import PixelsToFeatures, Precision, cast, check_precision, half_for
from napari_wsimil.encoders.tuning import Tuning, measure, measure_on_cpu, sample_patches
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

SCHEMA_VERSION = 1
ARCHITECTURES = {"compact-cnn": CompactCNN}

Positive = Annotated[float, Field(gt=0)]

_MEASURED: dict[tuple[str, str, int], Tuning] = {}
_MEASURING = threading.Lock()


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
    """Turns patches into features on one device; it never changes, `to` and `tuned` give another one.

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
    precision
        What it computes in: "fp32" as loaded, or "bf16" or "fp16".
    tuning
        What was measured to choose the precision; None where nothing was.
    compiled
        Whether torch.compile made one program of it.
    spec
        The validated `encoder.json`, or what is known of an encoder that others made (`ForeignSpec`).
    """

    weights_fixed = False
    """Whether a copy of the network with other weights can't be made."""

    def __init__(self, spec: EncoderSpec, network: torch.nn.Module, digest: str, device: str | torch.device = "cpu") -> None:
        self.spec = spec
        self.id, self.dimension, self.patch_size, self.mpp = spec.id, spec.dimension, spec.patch_size, spec.mpp
        self.digest = digest
        self.device = torch.device(device)
        self._network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._mean = 255 * torch.tensor(spec.mean, device=self.device).view(1, 3, 1, 1)
        self._scale = 1 / (255 * torch.tensor(spec.std, device=self.device).view(1, 3, 1, 1))
        self._asked: tuple[Precision | Literal["auto"], bool] = ("fp32", False)
        self.tuning: Tuning | None = None
        self._computes_in("fp32")

    def __repr__(self) -> str:
        return (
            f"Encoder({self.id!r}, digest={self.digest!r}, dimension={self.dimension}, device={str(self.device)!r}, "
            f"precision={self.precision!r})"
        )

    @property
    def parameters(self) -> int:
        """How many numbers the network has learned."""
        return sum(parameter.numel() for parameter in self._network.parameters())

    def takes(self, side: int) -> bool:
        """Whether it takes patches of this side in pixels."""
        return side == self.patch_size

    def to(self, device: str | torch.device) -> Self:
        """Return this encoder on `device`, tuned for that as it was for this one; itself where it is there already.

        Raises
        ------
        ModelError
            It was told to compute in a precision that the device is not made for.
        """
        if torch.device(device) == self.device:
            return self
        precision, compiled = self._asked
        return self._moved(device).tuned(precision, compiled=compiled)

    def _moved(self, device: str | torch.device) -> Self:
        """Return this encoder as it is loaded, on another device."""
        network = ARCHITECTURES[self.spec.architecture]().folded()
        network.load_state_dict(self._network.state_dict())
        return type(self)(self.spec, network, self.digest, device)

    def tuned(self, precision: Precision | Literal["auto"] = "auto", *, compiled: bool = False) -> Self:
        """Return this encoder computing in another precision; what it is called and what its features mean stay the same.

        Parameters
        ----------
        precision
            "auto": measure, once in a process for an encoder and a device, and take bf16 or fp16 where that is clearly faster
            and the features agree (`tuning.Tuning`); or one of them.
        compiled
            Let torch.compile make one program of it: a minute at first, some speed later.

        Raises
        ------
        ModelError
            The device is not made for that precision, the network can't compute in it, or it can't be compiled.
        """
        check_precision(precision, self.device)
        if (precision, compiled) == self._asked:
            return self
        other = copy(self)
        other._asked, other.tuning = (precision, compiled), None
        if precision == "auto":
            other.tuning = self._tuning()
        other._computes_in(other.tuning.chosen if other.tuning else precision)  # type: ignore[arg-type]
        if precision not in {"auto", "fp32"}:
            other._try(f"compute in {precision} on {self.device}", "choose auto or fp32")
        if compiled:
            other._compile()
        return other

    def _computes_in(self, precision: Precision) -> None:
        self.precision, self.compiled = precision, False
        network = self._network if precision == "fp32" or self.weights_fixed else cast(self._network, precision)
        self._steps: Callable[[Tensor], Tensor] = PixelsToFeatures(network, self._mean, self._scale, precision)
        self._lanes: Lanes | None = None

    def _tuning(self) -> Tuning:
        """What was or is now measured of this encoder on its device."""
        key = (self.digest, str(self.device), self.patch_size)
        with _MEASURING:
            if key not in _MEASURED:
                half = half_for(self.device)
                plain, other = copy(self), copy(self)
                plain._computes_in("fp32")
                other._computes_in(half)
                if self.device.type == "cpu":
                    _MEASURED[key] = measure_on_cpu(plain.encode, other.encode, half, self.patch_size)
                else:
                    _MEASURED[key] = measure(plain.encode, other.encode, half, self.patch_size, at_once=(8, 64))
            return _MEASURED[key]

    def _try(self, what: str, instead: str) -> None:
        """Encode two patches, or say in a sentence that it can't do `what`."""
        try:
            self.encode(sample_patches(self.patch_size, 2))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(f"Encoder {self.id} can't {what} ({lines[0][:200]}); {instead}.") from error

    def _compile(self) -> None:
        """Let torch.compile make one program of all steps, for batches of any size."""
        program = torch.compile(self._steps)

        def steps(pixels: Tensor) -> Tensor:
            # one patch would be another program
            batch = pixels if len(pixels) > 1 else pixels.expand(2, -1, -1, -1).contiguous(memory_format=torch.channels_last)
            torch._dynamo.mark_dynamic(batch, 0)
            return program(batch)[: len(pixels)]

        self._steps, self.compiled = steps, True
        self._try("be compiled here", "install a C++ compiler (g++), or leave compiled away")

    def encode(self, patches: NDArray[np.uint8]) -> Tensor:
        """(n, size, size, 3) uint8 pixels -> (n, D) float32 features on the CPU.

        Raises
        ------
        ModelError
            The patches have another size or type than the encoder was made for.
        """
        return torch.from_numpy(self.begin(patches).features())

    @torch.inference_mode()
    def begin(self, patches: NDArray[np.uint8]) -> Pending:
        """Begin to encode (n, size, size, 3) uint8 pixels; the features are asked for later.

        On CUDA this returns while the pixels travel and the GPU computes, with at most two batches under way; everywhere else
        it returns when the features are there. The patches may be changed afterwards.

        Raises
        ------
        ModelError
            The patches have another size or type than the encoder was made for.
        """
        self._check(patches.shape, patches.dtype)
        if len(patches) == 0:
            return Pending(np.zeros((0, self.dimension), np.float32))
        # (n, h, w, 3) seen as (n, 3, h, w) is already in the channels-last order that convolutions like best
        pixels = self._fitted(torch.from_numpy(np.ascontiguousarray(patches)).permute(0, 3, 1, 2))
        if self.device.type != "cuda":
            return Pending(self._steps(pixels.to(self.device)).cpu().numpy())
        if self._lanes is None:
            self._lanes = Lanes(self.device)
        return self._lanes.begin(pixels, self._steps)

    def _fitted(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) uint8 pixels on the CPU -> what the network is to see of them, still uint8."""
        return pixels

    def _check(self, shape: tuple[int, ...], dtype: object) -> None:
        side = self.patch_size
        if len(shape) != 4 or shape[1:] != (side, side, 3) or dtype != np.uint8:
            raise ModelError(f"Encoder {self.id} takes uint8 patches of shape (n, {side}, {side}, 3), not {dtype} {shape}.")
