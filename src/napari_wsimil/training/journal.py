"""The state of a training run after every step, in memory that outlives the process.

A file is mapped into memory and holds two slots; each step is copied into the older one. A process that is killed, at whatever
moment, leaves the other slot whole, since the kernel keeps mapped pages: nothing is lost but the step it was in. After a power
cut, which may lose pages in any order, a sum over the slot tells whether it is whole; `flush` puts it on the disk for sure.
"""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

MAGIC = b"wsimil-journal-1"
NUMBERS_BYTES = 1 << 16
"""Least room for what is no tensor."""

_HEAD = 24
"""Of a slot: its number (0: being written), the sum over what follows, and the length of the text."""


class Journal:
    """Tensors and numbers of the last step.

    Parameters
    ----------
    path
        The file; made with the first `save`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map: NDArray[np.uint8] | None = None
        self._layout: dict[str, Any] = {}
        self._number = 0

    def save(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Keep the state: what was saved before stays readable until this is whole.

        Raises
        ------
        TrainingError
            There is no room on the disk.
        """
        text = json.dumps(numbers).encode()
        arrays = {name: _bytes(tensor) for name, tensor in tensors.items()}
        described = {name: [str(t.dtype).removeprefix("torch."), list(t.shape)] for name, t in tensors.items()}
        fits = self._layout and self._layout["tensors"] == described and len(text) <= self._layout["text"]
        if self._map is None or not fits:
            self._make(described, max(NUMBERS_BYTES, 2 * len(text)), arrays, text)
        else:
            self._write(self._map, 1 + self._number % 2, arrays, text)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last whole state, or None where there is none."""
        try:
            if self.path.stat().st_size < len(MAGIC) + 8:
                return None
            mapped = np.memmap(self.path, np.uint8, mode="r+")
            layout = _read_layout(mapped)
        except (OSError, ValueError, KeyError):
            return None
        slots = [slot for slot in (1, 2) if _number(mapped, layout, slot) and _whole(mapped, layout, slot)]
        if not slots:
            return None
        slot = max(slots, key=lambda slot: _number(mapped, layout, slot))
        self._map, self._layout, self._number = mapped, layout, _number(mapped, layout, slot)
        start = _start(layout, slot) + _HEAD
        length = int(mapped[start - 8 : start].view(np.uint64)[0])
        numbers = json.loads(bytes(mapped[start : start + length]))
        return _tensors(mapped, layout, start + layout["text"]), numbers

    def flush(self) -> None:
        """Wait until the last state is on the disk."""
        if isinstance(self._map, np.memmap):
            self._map.flush()

    def remove(self) -> None:
        """Delete the file."""
        self._map = None
        self.path.unlink(missing_ok=True)

    def _make(self, described: dict[str, Any], text_bytes: int, arrays: Mapping[str, NDArray[np.uint8]], text: bytes) -> None:
        """Make the file anew, with the state in it, and only then put it in the place of the old one."""
        layout: dict[str, Any] = {"tensors": described, "text": _padded(text_bytes)}
        layout["slot"] = _HEAD + layout["text"] + sum(_padded(len(array)) for array in arrays.values())
        head = json.dumps(layout).encode()
        layout["first"] = _padded(len(MAGIC) + 8 + len(head))
        part = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                _reserve(file.fileno(), layout["first"] + 2 * layout["slot"])
                file.write(MAGIC + np.uint64(len(head)).tobytes() + head)
            mapped = np.memmap(part, np.uint8, mode="r+")
        except OSError as error:
            part.unlink(missing_ok=True)
            raise TrainingError(
                f"The state of the training can't be kept in {self.path.parent} ({error.strerror}); free some space or choose "
                f"another folder."
            ) from error
        self._layout = layout
        self._write(mapped, 1 + self._number % 2, arrays, text)
        part.replace(self.path)
        self._map = mapped

    def _write(self, mapped: NDArray[np.uint8], slot: int, arrays: Mapping[str, NDArray[np.uint8]], text: bytes) -> None:
        start = _start(self._layout, slot)
        number = mapped[start : start + 8].view(np.uint64)
        number[0] = 0
        at = start + _HEAD
        mapped[at - 8 : at].view(np.uint64)[0] = len(text)
        mapped[at : at + len(text)] = np.frombuffer(text, np.uint8)
        at += self._layout["text"]
        for array in arrays.values():
            mapped[at : at + len(array)] = array
            at += _padded(len(array))
        mapped[start + 8 : start + 16].view(np.uint64)[0] = _sum(mapped, self._layout, slot)
        self._number += 1
        number[0] = self._number


def _bytes(tensor: Tensor) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return array


def _padded(size: int) -> int:
    return -(-size // 8) * 8


def _start(layout: Mapping[str, Any], slot: int) -> int:
    return int(layout["first"] + (slot - 1) * layout["slot"])


def _number(mapped: NDArray[np.uint8], layout: Mapping[str, Any], slot: int) -> int:
    start = _start(layout, slot)
    return int(mapped[start : start + 8].view(np.uint64)[0])


def _sum(mapped: NDArray[np.uint8], layout: Mapping[str, Any], slot: int) -> int:
    start = _start(layout, slot)
    return int(np.add.reduce(mapped[start + 16 : start + layout["slot"]].view(np.uint64)))


def _whole(mapped: NDArray[np.uint8], layout: Mapping[str, Any], slot: int) -> bool:
    start = _start(layout, slot)
    return int(mapped[start + 8 : start + 16].view(np.uint64)[0]) == _sum(mapped, layout, slot)


def _read_layout(mapped: NDArray[np.uint8]) -> dict[str, Any]:
    if bytes(mapped[: len(MAGIC)]) != MAGIC:
        raise ValueError("no journal")
    at = len(MAGIC) + 8
    length = int(mapped[at - 8 : at].view(np.uint64)[0])
    layout: dict[str, Any] = json.loads(bytes(mapped[at : at + length]))
    layout["first"] = _padded(at + length)
    if len(mapped) < layout["first"] + 2 * layout["slot"]:
        raise ValueError("the journal is cut off")
    return layout


def _tensors(mapped: NDArray[np.uint8], layout: Mapping[str, Any], at: int) -> dict[str, Tensor]:
    tensors = {}
    for name, (kind, shape) in layout["tensors"].items():
        dtype: torch.dtype = getattr(torch, kind)
        size = math.prod(shape) * dtype.itemsize
        copied = torch.from_numpy(np.array(mapped[at : at + size]))
        tensors[name] = copied.view(dtype).reshape(shape) if size else torch.empty(shape, dtype=dtype)
        at += _padded(size)
    return tensors


def _reserve(descriptor: int, size: int) -> None:
    """Take the room now: a mapped file that finds the disk full later ends the process without a word."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        for _ in range(0, size, 1 << 24):
            os.write(descriptor, bytes(min(1 << 24, size)))
        os.lseek(descriptor, 0, os.SEEK_SET)
