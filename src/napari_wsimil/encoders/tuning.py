"""Which precision a device is faster in, measured, and whether the features stay what they are."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from napari_wsimil.encoders.memory import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.encoders.precision import Precision

FASTER = 1.2
"""Times as fast as fp32 that a half precision must be to be taken."""
AGREEMENT = 0.999
"""Cosine between the features of a patch in both precisions that the worst patch must have."""
SECONDS = 0.8
"""After which no further round is begun."""
ROUNDS = (2, 6)
"""Fewest and most rounds."""
BATCH_SECONDS = 0.2
"""About how long a batch takes in fp32."""
CLEARLY = 1.5
"""Times as fast as fp32 from which two rounds are enough, as they are where it is slower; noise does not do that."""
LEAST_PATCHES = 8
"""Of which the features are compared in any case, time allowing."""
HOPELESS = 0.5
"""Of fp32's speed: nothing so slow is measured again."""
COLOURS = np.array([[245, 243, 246], [226, 168, 200], [120, 70, 140]], np.float32)
"""Glass, eosin and haematoxylin in RGB."""


@dataclass(frozen=True)
class Tuning:
    """What was measured before a precision was taken.

    Attributes
    ----------
    half
        The half precision that was tried.
    fp32_rate, half_rate
        Patches per second in each, in batches of `batch`, on a CPU with one thread; 0: it does not run.
    agreement
        Cosine between the features of both, of the worst patch.
    batch
        Patches at once.
    """

    half: Precision
    fp32_rate: float
    half_rate: float
    agreement: float
    batch: int

    @property
    def chosen(self) -> Precision:
        """The half precision where it is clearly faster and the features agree, else "fp32"."""
        faster = self.half_rate >= FASTER * self.fp32_rate
        return self.half if faster and self.agreement >= AGREEMENT else "fp32"


def measure(
    plain: Callable[[NDArray[np.uint8]], Tensor],
    halved: Callable[[NDArray[np.uint8]], Tensor],
    half: Precision,
    side: int,
    *,
    at_once: tuple[int, int] = (1, 16),
    clock: Callable[[], float] = time.perf_counter,
) -> Tuning:
    """Encode patches in both precisions by turns and compare speed and features.

    The best time of each counts, as whatever else the computer does can only make one longer.

    Parameters
    ----------
    plain, halved
        Patches -> features in fp32 and in `half`; they return when they are done.
    half
        Name of the half precision.
    side
        Of the patches in pixels.
    at_once
        Fewest and most patches in a batch; the fewest tell how many of them last `BATCH_SECONDS`.
    clock
        Gives seconds.
    """
    begun = time.perf_counter()
    patches = sample_patches(side, at_once[1])
    fewest, most = at_once
    plain(patches[:fewest])
    _, seconds = _timed(plain, patches[:fewest], clock)
    batch = min(max(round(fewest * BATCH_SECONDS / max(seconds, 1e-6)), fewest), most)
    best = [np.inf, np.inf]
    agreement = 1.0
    for number in range(ROUNDS[1]):
        chosen = np.take(patches, range(number * batch, (number + 1) * batch), axis=0, mode="wrap")
        try:
            features, slow = _timed(plain, chosen, clock)
            halves, fast = _timed(halved, chosen, clock)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            if is_out_of_memory(error) and batch > fewest:
                # what others use just now says nothing of precisions: fewer at once
                batch, best = max(batch // 2, fewest), [np.inf, np.inf]
                continue
            # a network or a device that can't do it at all
            return Tuning(half, batch / best[0] if np.isfinite(best[0]) else fewest / seconds, 0.0, 0.0, batch)
        best = [min(best[0], slow), min(best[1], fast)]
        agreement = min(agreement, agreement_of(features, halves))
        spent = time.perf_counter() - begun > SECONDS and number + 1 >= ROUNDS[0]
        clear = not 1 < best[0] / best[1] < CLEARLY and number + 1 >= ROUNDS[0] and (number + 1) * batch >= LEAST_PATCHES
        if spent or clear or best[1] * HOPELESS > best[0]:
            break
    return Tuning(half, batch / best[0], batch / best[1], agreement, batch)


def agreement_of(features: Tensor, others: Tensor) -> float:
    """Cosine of the pair of rows that differs most; 0 where one is not finite."""
    if not bool(torch.isfinite(others).all()):
        return 0.0
    return float(cosine_similarity(features, others, dim=1).min())


def measure_on_cpu(
    plain: Callable[[NDArray[np.uint8]], Tensor], halved: Callable[[NDArray[np.uint8]], Tensor], half: Precision, side: int
) -> Tuning:
    """`measure` in a thread of its own that computes alone, by the time that the processor gave to it.

    So it finds the same on a busy computer, where two threads that wait for each other take several times as long by the clock.
    """
    clock = time.thread_time if sys.platform == "linux" else time.perf_counter

    def alone() -> Tuning:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return measure(plain, halved, half, side, clock=clock)
        finally:
            torch.set_num_threads(before)

    with ThreadPoolExecutor(1, thread_name_prefix="wsimil-tuning") as executor:
        return executor.submit(alone).result()


def _timed(
    computes: Callable[[NDArray[np.uint8]], Tensor], patches: NDArray[np.uint8], clock: Callable[[], float]
) -> tuple[Tensor, float]:
    begun = clock()
    features = computes(patches)
    return features, clock() - begun


@lru_cache(maxsize=2)
def sample_patches(side: int, count: int) -> NDArray[np.uint8]:
    """(count, side, side, 3) uint8 patches with something on every scale, in the colours of stained tissue.

    Clouds of several sizes decide what is glass, eosin and haematoxylin; every fourth has coarse grain only, every eighth is
    pure noise: where features are large and where they are small, both are looked at.
    """
    random = np.random.default_rng(0)
    return np.stack([_patch(random, side, number) for number in range(count)])


def _patch(random: np.random.Generator, side: int, number: int) -> NDArray[np.uint8]:
    if number % 8 == 7:
        return random.integers(0, 256, (side, side, 3), dtype=np.uint8)
    clouds = np.zeros((side, side), np.float32)
    for cells in (4, 8) if number % 4 == 3 else (4, 16, 64):
        coarse = random.standard_normal((cells, cells), dtype=np.float32)
        clouds += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    level = np.clip(1 + 0.7 * (clouds - clouds.mean()) / clouds.std() + random.uniform(-0.5, 0.5), 0, 2)[..., None]
    colour = np.where(
        level < 1, COLOURS[0] + level * (COLOURS[1] - COLOURS[0]), COLOURS[1] + (level - 1) * (COLOURS[2] - COLOURS[1])
    )
    grain = random.normal(0, 6, (side, side, 3)).astype(np.float32)
    return np.clip(colour + grain, 0, 255).astype(np.uint8)
