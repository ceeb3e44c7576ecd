"""One place at all magnifications: parents, children and their scores."""

from __future__ import annotations

import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil.inference.levels import Levels


def grid(columns, rows, step):
    x, y = np.meshgrid(np.arange(columns) * step, np.arange(rows) * step)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int64)


def prediction(**more):
    coarse, fine = grid(2, 2, 400), grid(4, 4, 200)[[0, 1, 4, 5, 2, 15]]
    attention = {
        2.0: ws.PatchScores(coarse, 400.0, np.array([0.4, 0.3, 0.2, 0.1], np.float32)),
        1.0: ws.PatchScores(fine, 200.0, np.array([0.1, 0.2, 0.3, 0.05, 0.05, 0.3], np.float32)),
    }
    tumour = np.array([[0.25, 0.75]], np.float32)
    return ws.SlidePrediction(
        {"normal": 0.3, "tumour": 0.7},
        attention,
        instances={1.0: ws.PatchScores(fine[2:3], 200.0, tumour)},
        zoom={2.0: ws.PatchSet(coarse[:2], 400.0, np.array([0.9, 0.8], np.float32))},
        provenance={"model": {"positive_class": "tumour"}},
        **more,
    )


def test_a_place_at_every_magnification():
    found = ws.patch_family(prediction(), 150, 250)
    assert list(found.seen) == [2.0, 1.0]
    assert found.focus == 2.0
    coarse, fine = found.seen[2.0], found.seen[1.0]
    assert coarse.patch.box == (0, 0, 400, 400)
    assert (coarse.attention, coarse.percentile) == (pytest.approx(0.4), 1)
    assert (coarse.zoom, coarse.probability) == (pytest.approx(0.9), None)
    assert fine.patch.box == (0, 200, 200, 400)
    assert (fine.probability, fine.zoom) == (pytest.approx(0.75), None)
    assert [child.patch.box[:2] for child in found.children] == [(0, 0), (200, 0), (0, 200), (200, 200)]
    assert found.parent is None


def test_the_patch_that_is_meant_has_a_parent_and_no_children_at_the_finest():
    found = Levels(prediction()).family(150, 250, mpp=1.0)
    assert found.patch.patch.box == (0, 200, 200, 400)
    assert found.parent.patch.box == (0, 0, 400, 400)
    assert found.children == ()


def test_patches_that_are_not_there():
    levels = Levels(prediction())
    # nothing fine was looked at in the lower left
    left = levels.family(100, 700)
    assert left.seen[1.0] is None
    assert left.focus == 2.0
    assert left.children == ()
    beside = levels.family(5000, 5000)
    assert set(beside.seen.values()) == {None}
    assert beside.patch is None
    assert beside.parent is None
    nothing = Levels(ws.SlidePrediction({"a": 1.0}, {}))
    assert nothing.mpps == ()
    assert nothing.family(1, 1).focus is None


def test_of_overlapping_patches_the_nearest_centre_counts():
    xy = grid(4, 1, 50)
    scores = ws.PatchScores(xy, 100.0, np.arange(4, dtype=np.float32), 50.0)
    levels = Levels(ws.SlidePrediction({"a": 1.0}, {0.5: scores}))
    assert levels.family(95, 50).patch.patch.x == 50
    assert levels.family(5, 50).patch.patch.x == 0
