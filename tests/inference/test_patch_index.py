"""Which patch is over a point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wsimil.inference.patch_index import PatchIndex


def nearest(xy, size, point):
    """How far away the nearest centre of a patch over the point is; None where there is no patch."""
    away = np.abs(xy + size / 2 - point).max(axis=1)
    return away.min() if len(away) and away.min() <= size / 2 else None


@pytest.mark.parametrize(("size", "stride"), [(256.0, 256.0), (512.0, 128.0), (300.7, 100.2), (128.0, 256.0)])
def test_on_grids_with_gaps_and_with_overlap(size, stride):
    random = np.random.default_rng(0)
    cells = np.unique(random.integers(-3, 12, (60, 2)), axis=0)
    xy = np.rint(cells * stride).astype(np.int64)
    index = PatchIndex(xy, size)
    found = 0
    for point in random.uniform(-5 * stride, 15 * stride, (300, 2)):
        row, expected = index.row(*point), nearest(xy, size, point)
        assert (row is None) == (expected is None)
        if row is not None:
            found += 1
            assert np.abs(xy[row] + size / 2 - point).max() == pytest.approx(expected)
    assert 0 < found < 300


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-2000, 2000), st.integers(-2000, 2000)), max_size=12), st.floats(1, 900))
def test_anywhere(corners, size):
    xy = np.array(corners, np.int64).reshape(-1, 2)
    index = PatchIndex(xy, size)
    for point in ((0.0, 0.0), (-100.5, 30.25), *((x + size / 2, y + size / 3) for x, y in corners)):
        row, expected = index.row(*point), nearest(xy, size, point)
        assert (row is None) == (expected is None)
        assert row is None or np.abs(xy[row] + size / 2 - point).max() == pytest.approx(expected)


def test_the_edges_of_a_patch_belong_to_it():
    index = PatchIndex(np.array([[256, 512]]), 256.0)
    assert index.row(256, 512) == index.row(511.9, 767.9) == 0
    assert index.row(255.9, 600) is None
    assert index.row(600, 600) is None
