from __future__ import annotations

import numpy as np
import pytest

from napari_wsimil.bags.synthetic import synthetic_bags

CRC = {
    "NORM": 8763,
    "MUC": 8896,
    "TUM": 14317,
    "STR": 10446,
    "LYM": 11557,
    "BACK": 10566,
    "MUS": 13536,
    "DEB": 11512,
    "ADI": 10407,
}


def flags(positive, negative):
    return np.random.default_rng(0).permutation(np.arange(positive + negative) < positive)


def crc(train):
    sizes = {name: int(0.8 * count) if train else count - int(0.8 * count) for name, count in CRC.items()}
    return sizes["TUM"], sum(sizes.values()) - sizes["TUM"]


@pytest.mark.parametrize(
    ("images", "counts"),
    [
        ((5000, 45000), {0.01: (226, 226), 0.05: (229, 230), 0.1: (236, 236), 0.2: (250, 250), 0.5: (100, 100), 0.7: (71, 71)}),
        ((1000, 9000), {0.01: (45, 45), 0.05: (45, 46), 0.1: (47, 47), 0.2: (50, 50), 0.5: (20, 20), 0.7: (14, 14)}),
        (crc(True), {0.01: (344, 344), 0.05: (350, 351), 0.1: (360, 360), 0.2: (380, 380), 0.5: (229, 229), 0.7: (163, 163)}),
        (crc(False), {0.01: (86, 86), 0.05: (86, 87), 0.1: (90, 90), 0.2: (95, 95), 0.5: (57, 57), 0.7: (40, 40)}),
    ],
)
def test_published_counts_of_bags(images, counts):
    for ratio, (positive, negative) in counts.items():
        bags = synthetic_bags(flags(*images), ratio)
        assert (sum(bag.label for bag in bags), sum(1 - bag.label for bag in bags)) == (positive, negative), ratio


def test_what_is_in_a_bag():
    positive = flags(300, 2700)
    bags = synthetic_bags(positive, 0.2)
    rows = np.concatenate([bag.rows for bag in bags])
    assert len(rows) == len(set(rows.tolist()))
    for bag in bags:
        assert len(bag.rows) == 100
        assert bag.labels.sum() == (20 if bag.label else 0)
        np.testing.assert_array_equal(bag.labels, positive[bag.rows])
    # positives are not all at the start
    assert {int(bag.labels[:20].sum()) for bag in bags if bag.label} != {20}


def test_same_seed_same_bags():
    positive = flags(300, 2700)
    first, again, other = (synthetic_bags(positive, 0.1, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.rows, b.rows) for a, b in zip(first, other, strict=True))


def test_too_few_images():
    with pytest.raises(ValueError, match="too few for bags of 100"):
        synthetic_bags(flags(3, 20), 0.2)
