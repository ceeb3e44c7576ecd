"""Memory for intermediate pixels, one piece per thread and purpose, used again and again."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_BYTES = 8 << 20
"""A thread does not hold on to larger pieces."""
_local = threading.local()


def scratch(purpose: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A uint8 array with anything in it, valid until this thread asks for the same purpose again.

    Fresh memory costs page faults, a fifth of the time that decoding a tile takes.
    """
    arrays: dict[str, NDArray[np.uint8]] = _local.__dict__
    last = arrays.get(purpose)
    if last is not None and last.shape == shape:
        return last
    size = math.prod(shape)
    if size > _MOST_BYTES:
        return beside_borders(size).reshape(shape)
    whole = arrays.get(f"all of {purpose}")
    if whole is None or whole.nbytes < size:
        whole = arrays[f"all of {purpose}"] = beside_borders(size)
    array = arrays[purpose] = whole[:size].reshape(shape)
    return array


def beside_borders(size: int) -> NDArray[np.uint8]:
    """Memory that begins 8 bytes after a multiple of 64.

    To rows that begin at a multiple of 16 or 32 libjpeg-turbo writes past the caches of the processor. Pixels that are looked
    at next would have to come back from memory: the mean over a tile then costs 43 µs, not 18.
    """
    memory = np.empty(size + 72, np.uint8)
    start = -memory.ctypes.data % 64 + 8
    return memory[start : start + size]
