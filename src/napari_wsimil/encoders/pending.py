"""Features that are on their way, and the two lanes of a CUDA device on which they come."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

IN_FLIGHT = 2
"""Batches on a CUDA device at once: one computes while the pixels of the next arrive."""


class Pending:
    """Features that are there, or will be."""

    def __init__(self, features: NDArray[np.float32] | None = None, lane: Lane | None = None) -> None:
        self._features, self._lane = features, lane

    def features(self) -> NDArray[np.float32]:
        """(n, D) float32; waits until they are there."""
        lane = self._lane
        if lane is not None:
            lane.settle(self)
        if self._features is None:
            raise RuntimeError("features that nobody computes")
        return self._features

    def arrive(self, features: NDArray[np.float32]) -> None:
        """Take the features from the lane, which is free then."""
        self._features, self._lane = features, None


class Lane:
    """A stream of a CUDA device with the pinned memory from which pixels leave and in which features arrive.

    Everything that happens to a batch happens on this one stream, in order; the memory is filled again only when the stream has
    come to its end and the features were taken out.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        # weights and whatever else was put on the device before
        self._stream.wait_stream(torch.cuda.current_stream(device))
        self._pixels = torch.empty(0, dtype=torch.uint8, pin_memory=True)
        self._features = torch.empty((0, 0), pin_memory=True)
        self._waiting: Pending | None = None
        self._count = 0
        self._lock = threading.RLock()

    def begin(self, pixels: Tensor, compute: Callable[[Tensor], Tensor]) -> Pending:
        """(n, 3, h, w) uint8 channels-last pixels on the CPU, which may be changed as soon as this returns."""
        with self._lock:
            if self._waiting is not None:
                self.settle(self._waiting)
            # also what an error left under way
            self._stream.synchronize()
            self._count = self._send(self._filled(pixels), compute)
            self._waiting = Pending(lane=self)
            return self._waiting

    def settle(self, pending: Pending) -> None:
        """Wait for a batch and hand its features over; nothing where that was done."""
        with self._lock:
            if self._waiting is not pending:
                return
            self._stream.synchronize()
            pending.arrive(self._features[: self._count].numpy().copy())
            self._waiting = None

    def _send(self, host: Tensor, compute: Callable[[Tensor], Tensor]) -> int:
        """Put on the stream: pixels to the device, computing, features back; returns their number at once."""
        with torch.cuda.stream(self._stream):
            features = compute(host.to(self._device, non_blocking=True))
            if self._features.shape[0] < len(features) or self._features.shape[1:] != features.shape[1:]:
                self._features = torch.empty(features.shape, pin_memory=True)
            self._features[: len(features)].copy_(features, non_blocking=True)
        return len(features)

    def _filled(self, pixels: Tensor) -> Tensor:
        """Copy pixels into the pinned memory."""
        if self._pixels.numel() < pixels.numel():
            self._pixels = torch.empty(pixels.numel(), dtype=torch.uint8, pin_memory=True)
        count, channels, height, width = pixels.shape
        host = self._pixels[: pixels.numel()].view(count, height, width, channels).permute(0, 3, 1, 2)
        return host.copy_(pixels)


class Lanes:
    """The lanes of one encoder, taken by turns."""

    def __init__(self, device: torch.device) -> None:
        self._lanes = [Lane(device) for _ in range(IN_FLIGHT)]
        self._turn = 0
        self._lock = threading.Lock()

    def begin(self, pixels: Tensor, compute: Callable[[Tensor], Tensor]) -> Pending:
        """Begin a batch on the lane whose turn it is; where that is still busy, wait for it."""
        with self._lock:
            lane = self._lanes[self._turn]
            self._turn = (self._turn + 1) % len(self._lanes)
        return lane.begin(pixels, compute)
