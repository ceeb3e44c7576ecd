"""An encoder that is known by name only: features of it were made elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NoReturn

import torch

from napari_wsimil.encoders._encoder import Encoder
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.encoders.precision import Precision


class AbsentEncoder(Encoder):
    """Says of itself what is known, and refuses pixels with a sentence.

    Parameters
    ----------
    id, digest, dimension
        See `Encoder`; digest is empty.
    patch_size, mpp
        Of the patches that the features were made of, as far as anybody knows.
    """

    def __init__(self, id: str, dimension: int, *, patch_size: int = 256, mpp: float = 0.5) -> None:  # noqa: A002
        self.id, self.dimension, self.patch_size, self.mpp = id, dimension, patch_size, mpp
        self.digest = ""
        self.device = torch.device("cpu")
        self.precision, self.compiled, self.tuning = "fp32", False, None

    def to(self, device: str | torch.device) -> NoReturn:
        """Refuse: there is nothing that could compute."""
        raise ModelError(
            f"This model was trained on features of the encoder {self.id!r}, which this program does not have, so it can't "
            "look at slides; evaluate it on features of that encoder, or train it on features of an encoder that is here."
        )

    def tuned(self, precision: Precision | Literal["auto"] = "auto", *, compiled: bool = False) -> NoReturn:
        """Refuse, as `to` does."""
        self.to("cpu")

    def begin(self, patches: NDArray[np.uint8]) -> NoReturn:
        """Refuse, as `to` does."""
        self.to("cpu")
