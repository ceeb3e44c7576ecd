"""Memory for intermediate pixels, one piece per thread and purpose, used again and again."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_MOST_BYTES = 8 << 20
"""A thread does not hold on to larger pieces."""
_local = threading.local()


def scratch(purpose: str, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """An array with anything in it, valid until this thread asks for the same purpose again.

    Fresh memory costs page faults, a fifth of the time that decoding a tile takes.
    """
    wanted = np.dtype(dtype)
    size = math.prod(shape) * wanted.itemsize
    if size > _MOST_BYTES:
        return np.empty(shape, wanted)
    pieces: dict[str, NDArray[np.uint8]] = _local.__dict__.setdefault("pieces", {})
    piece = pieces.get(purpose)
    if piece is None or piece.nbytes < size:
        piece = pieces[purpose] = np.empty(size, np.uint8)
    return piece[:size].view(wanted).reshape(shape)
