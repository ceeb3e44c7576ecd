"""Ways of extracting features take turns on the same patches: rates, CPU time, and whether they give the same features."""

from __future__ import annotations

import gc
import resource
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.special

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray


class Features(NamedTuple):
    """What a way gave: (N, 2) level-0 corners (x, y) and the (N, D) features of those patches, in whatever order."""

    corners: NDArray[np.int64]
    rows: NDArray[np.float32]


class Cost(NamedTuple):
    """Seconds by the clock on the wall, and of all cores together, child processes included."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Way:
    """One way of getting features.

    Parameters
    ----------
    settings
        What to call for each of its settings; the one that is fastest in the round that does not count is kept.
    patches
        How many patches a call takes.
    whole
        Whether it goes from the slide to features; otherwise it is a limit, which has its patches in memory.
    ours
        Whether it is no peer.
    precision
        What it computes in.
    softmax
        Whether it gives the softmax of what the network gives.
    """

    name: str
    settings: Mapping[str, Callable[[], Features | None]]
    patches: int
    whole: bool = True
    ours: bool = False
    precision: str = "fp32"
    softmax: bool = False


@dataclass
class Measured:
    """What a way took in each round that counts."""

    way: Way
    setting: str = ""
    costs: list[Cost] = field(default_factory=list)
    features: Features | None = None

    @property
    def rates(self) -> list[float]:
        """Patches per second of each round."""
        return [self.way.patches / cost.wall for cost in self.costs]

    @property
    def rate(self) -> float:
        """Patches per second, median."""
        return statistics.median(self.rates)

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU per patch, median."""
        return statistics.median(1e3 * cost.cpu / self.way.patches for cost in self.costs)


def take_turns(ways: Sequence[Way], rounds: int, *, told: Callable[[str], object] = print) -> dict[str, Measured]:
    """Run all ways `rounds` times, each round beginning with another one.

    Before, every setting runs once, which does not count: it loads what is loaded at first use, and chooses the setting.
    """
    measured = {way.name: Measured(way) for way in ways}
    for way in ways:
        seconds: dict[str, float] = {}
        for setting, run in way.settings.items():
            cost, measured[way.name].features = once(run)
            seconds[setting] = cost.wall
        measured[way.name].setting = min(seconds, key=seconds.__getitem__)
        gc.freeze()  # what peers imported is no garbage: those that collect it in every run shall not pay for each other's
        told(f"{way.name}: " + ", ".join(f"{name or 'takes'} {taken:.2f} s" for name, taken in seconds.items()))
    for number in range(rounds):
        for turn in range(len(ways)):
            one = measured[ways[(turn + number) % len(ways)].name]
            cost, one.features = once(one.way.settings[one.setting])
            one.costs.append(cost)
            told(f"round {number + 1}, {one.way.name}: {one.way.patches / cost.wall:.1f} patches/s")
    gc.unfreeze()
    return measured


def once(run: Callable[[], Features | None]) -> tuple[Cost, Features | None]:
    """What a call costs, and what it gives."""
    gc.collect()
    children, own, wall = _cpu(resource.RUSAGE_CHILDREN), _cpu(resource.RUSAGE_SELF), time.perf_counter()
    features = run()
    wall, own = time.perf_counter() - wall, _cpu(resource.RUSAGE_SELF) - own
    # worker processes count when they have ended, which they do when nothing refers to them
    gc.collect()
    return Cost(wall, own + _cpu(resource.RUSAGE_CHILDREN) - children), features


def _cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def ratio(ours: Measured, theirs: Measured) -> float:
    """How many times as fast, median over the rounds."""
    return statistics.median(a / b for a, b in zip(ours.rates, theirs.rates, strict=True))


class Agreement(NamedTuple):
    """How far two sets of features are the same.

    Attributes
    ----------
    patches
        How many patches both have.
    lowest
        Cosine between the features of the patch that differs most.
    centred
        Median cosine after the mean over all patches was taken off: what tells patches apart.
    """

    patches: int
    lowest: float
    centred: float


def agreement(one: Features, other: Features, *, softmax: bool = False) -> Agreement:
    """Compare the features of patches with the same corner; `softmax`: `one` holds the softmax of the network's output."""
    places = {tuple(corner): row for row, corner in enumerate(other.corners.tolist())}
    pairs = [(row, places[tuple(corner)]) for row, corner in enumerate(one.corners.tolist()) if tuple(corner) in places]
    if not pairs:
        return Agreement(0, float("nan"), float("nan"))
    mine, theirs = np.array(pairs).T
    a, b = one.rows[mine].astype(np.float64), other.rows[theirs].astype(np.float64)
    b = scipy.special.softmax(b, axis=1) if softmax else b
    return Agreement(len(pairs), float(_cosines(a, b).min()), float(np.median(_cosines(a - a.mean(0), b - b.mean(0)))))


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.einsum("nd,nd->n", a, b) / np.maximum(lengths, 1e-30)
