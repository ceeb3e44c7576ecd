"""The benchmark's counters of parameters and multiply-accumulates, for tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")

sys.path.insert(0, BENCHMARKS)
try:
    import mil_counts
finally:
    sys.path.remove(BENCHMARKS)


class LeafCount(NamedTuple):
    """What the papers' counter sees."""

    parameters: int
    macs: float


def count(name: str, features: int, length: int, parameters: dict | None = None) -> tuple[LeafCount, float]:
    """(what the papers' counter sees, MACs with all matrix products) of a step in training mode; nothing is computed."""
    found = mil_counts.count(name, features, length, parameters, training=True)
    return LeafCount(found.leaf_parameters, found.leaf_macs), found.macs
