"""Intervals by the percentile bootstrap (Efron and Tibshirani 1993, chapter 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEVEL = 0.95
LEAST_DEFINED = 0.5
"""Share of the resamples in which a figure must be defined for its interval to be told."""


class Figure(TypedDict):
    """A figure with its interval, JSON-able; `reason` says why a number is None, or why an interval is to be doubted."""

    value: float | None
    low: float | None
    high: float | None
    reason: str | None


def resample_counts(cases: int, patients: Sequence[str] | None, draws: int, seed: int) -> NDArray[np.int64]:
    """(draws, cases) how often each case is in each resample.

    A resample has as many cases as there are, or all cases of as many patients as there are, drawn with repeats.

    Parameters
    ----------
    patients
        (cases,) whose cases they are, or None where each case stands for itself.
    """
    if not cases:
        return np.zeros((0, 0), np.int64)
    owners = np.arange(cases) if patients is None else np.unique(np.asarray(patients, np.str_), return_inverse=True)[1]
    groups = int(owners.max()) + 1
    drawn: NDArray[np.int64] = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return drawn[:, owners]


def with_interval(value: float, samples: Sequence[float] | NDArray[np.float64], undefined: str) -> Figure:
    """One figure with the interval that its values in the resamples give.

    Parameters
    ----------
    value
        NaN where it is not defined, for which `undefined` is the reason.
    samples
        Its values in the resamples, NaN where not defined.
    """
    if np.isnan(value):
        return Figure(value=None, low=None, high=None, reason=undefined)
    if not len(samples):
        return Figure(value=value, low=None, high=None, reason="No interval was asked for.")
    known = np.asarray(samples, np.float64)
    defined = known[~np.isnan(known)]
    if len(defined) < LEAST_DEFINED * len(known):
        reason = "Too few slides for an interval: most resamples lack a class."
        return Figure(value=value, low=None, high=None, reason=reason)
    low, high = (float(edge) for edge in np.percentile(defined, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]))
    alike = "No interval can be told: every resample gives the same value." if low == high else None
    return Figure(value=value, low=low, high=high, reason=alike)
