"""Patches of noise."""

from __future__ import annotations

import numpy as np


def noise(count: int = 3, side: int = 64, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
