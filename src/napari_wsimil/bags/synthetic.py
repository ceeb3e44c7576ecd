"""Bags made of labelled images, for benchmarks where every instance's label is known (WENO, Qu et al. 2022, section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class SyntheticBag(NamedTuple):
    """One bag: `rows` (n,) int64 of the images, `labels` (n,) int64 of these instances, `label` of the bag."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    label: int


def synthetic_bags(
    positive: ArrayLike, ratio: float, *, length: int = 100, positive_bags: float = 0.5, seed: int = 42
) -> list[SyntheticBag]:
    """Deal images out into bags, positive bags first; each image is used at most once.

    Parameters
    ----------
    positive
        (n,) bool, whether an image is an instance of the positive class.
    ratio
        Share of positive instances in a positive bag.
    length
        Instances in a bag.
    positive_bags
        Share of positive bags.
    seed
        Of the shuffling.

    Raises
    ------
    ValueError
        There are too few images for one positive bag.
    """
    flags = np.asarray(positive, dtype=bool)
    have_positive, have_negative = int(flags.sum()), int((~flags).sum())
    a = round(length * ratio)
    b = length - a
    used = int(have_negative / ((1 - positive_bags) / (ratio * positive_bags) + (1 - ratio) / ratio))
    used = min(used, have_positive) // a * a
    # the order of the operations is the published one: at 5 % it loses one bag to rounding
    beside = int(used * ((1 - ratio) / ratio)) // b * b
    alone = int(used * (1 - positive_bags) / (ratio * positive_bags)) // length * length
    # rounding may leave too few negatives for the last positive bag; the negative bags stay, as published
    count = min(used // a, beside // b)
    if not count:
        raise ValueError(f"{have_positive} positive and {have_negative} negative images are too few for bags of {length}.")
    random = np.random.default_rng(seed)
    from_positive = random.permutation(np.flatnonzero(flags))[: count * a].reshape(count, a)
    negatives = random.permutation(np.flatnonzero(~flags))
    mixed = np.concatenate([from_positive, negatives[: count * b].reshape(count, b)], axis=1)
    mixed = random.permuted(mixed, axis=1)
    plain = negatives[beside : beside + alone].reshape(-1, length)
    return [SyntheticBag(rows, flags[rows].astype(np.int64), 1) for rows in mixed] + [
        SyntheticBag(rows, np.zeros(length, np.int64), 0) for rows in plain
    ]
