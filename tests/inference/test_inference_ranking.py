"""Patches in order: ties, missing scores, overlap, classes, and the model's own order."""

from __future__ import annotations

import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil.inference import PatchScores, PatchSet, SlidePrediction

SIDE = 256.0


def grid(columns, rows, stride=SIDE):
    row, column = np.divmod(np.arange(columns * rows), columns)
    return np.floor(np.stack([column, row], axis=1) * stride + 0.5).astype(np.int64)


def prediction(values, stride=SIDE, columns=4, **more):
    values = np.asarray(values, np.float32)
    xy = grid(columns, len(values) // columns, stride)
    return SlidePrediction({"normal": 0.3, "tumour": 0.7}, {0.5: PatchScores(xy, SIDE, values, stride)}, **more)


def corners(ranked):
    return [(one.patch.x, one.patch.y) for one in ranked]


def test_the_highest_come_first_and_equal_ones_in_the_order_of_the_grid():
    found = ws.rank_patches(prediction([1, 3, 3, 2, 0, 3, 1, 0]), count=5)
    assert [one.rank for one in found] == [1, 2, 3, 4, 5]
    assert [one.score for one in found] == [3, 3, 3, 2, 1]
    assert corners(found) == [(256, 0), (512, 0), (256, 256), (768, 0), (0, 0)]
    assert found[0].patch.centre == (384, 128)
    assert found[0].patch.mpp == found[0].ranking.mpp == 0.5


def test_the_lowest_come_first_where_they_are_wanted():
    found = ws.rank_patches(prediction([1, 3, 3, 2, 0, 3, 1, 0]), count=3, lowest=True)
    assert [one.score for one in found] == [0, 0, 1]
    assert corners(found) == [(0, 256), (768, 256), (0, 0)]


@pytest.mark.parametrize("lowest", [False, True])
def test_what_has_no_score_is_not_ranked(lowest):
    found = ws.rank_patches(prediction([np.nan, 3, np.nan, 2, np.inf, -np.inf, 1, np.nan]), lowest=lowest)
    assert [one.score for one in found] == ([1, 2, 3] if lowest else [3, 2, 1])
    assert ws.rank_patches(prediction([np.nan] * 4)) == []


def test_overlapping_patches_are_one_place():
    values = np.zeros((6, 6), np.float32)
    values[1:4, 1:4] = [[7, 8, 7], [8, 9, 8], [7, 8, 7]]
    values[5, 5] = 1
    half = prediction(values.ravel(), stride=SIDE / 2, columns=6)
    found = ws.rank_patches(half, count=10)
    assert corners(found)[0] == (256, 256)
    assert found[1].score < 7, "what overlaps the best is not the second best"
    boxes = np.array([one.patch.box for one in found])
    for one in range(len(boxes)):
        for other in range(one):
            apart = np.abs(boxes[one, :2] - boxes[other, :2]).max()
            assert apart >= SIDE
    assert [one.score for one in ws.rank_patches(half, count=5, apart=False)] == [9, 8, 8, 8, 8]


def test_neighbours_whose_corners_were_rounded_do_not_count_as_overlapping():
    side = 203.7
    xy = grid(8, 8, side)
    table = PatchScores(xy, side, np.arange(64, dtype=np.float32))
    assert len(ws.rank_patches(SlidePrediction({"a": 1.0}, {0.5: table}), count=64)) == 64


def test_classes_and_magnifications_are_rankings_of_their_own():
    xy = grid(2, 1)
    tumour = np.array([0.9, 0.2], np.float32)
    table = PatchScores(xy, SIDE, np.stack([1 - tumour, tumour], axis=1))
    whole = SlidePrediction(
        {"normal": 0.3, "tumour": 0.7},
        {2.0: PatchScores(xy, 1024.0, tumour), 0.5: PatchScores(xy, SIDE, tumour)},
        instances={0.5: table},
        class_attention={0.5: PatchScores(xy, SIDE, table.values[:, ::-1])},
        anchors=PatchSet(xy[::-1], 1024.0, np.array([0.1, 0.4], np.float32)),
        zoom={2.0: PatchSet(xy, 1024.0, np.array([5.0, 7.0], np.float32))},
        provenance={"model": {"positive_class": "tumour"}},
    )
    offered = ws.rankings(whole)
    assert [one.label for one in offered] == [
        "Attention at 0.5 µm/px",
        "Attention at 2 µm/px",
        "Tumour probability",
        "Normal probability",
        "Attention for tumour",
        "Attention for normal",
        "Anchors",
        "Zoomed into at 2 µm/px",
        "Uncertainty",
    ]
    first = {one.label: ws.rank_patches(whole, one)[0] for one in offered}
    assert ws.rank_patches(whole)[0] == first["Attention at 0.5 µm/px"]
    assert first["Tumour probability"].patch.x == 0
    assert first["Tumour probability"].score == pytest.approx(0.9)
    assert first["Normal probability"].patch.x == 256
    assert first["Attention for tumour"].patch.x == 256
    assert first["Attention at 2 µm/px"].patch.size_level0 == 1024
    assert first["Anchors"].patch.x == 256, "the model's own order, not that of the scores"
    assert first["Anchors"].patch.mpp == 2.0, "that of the patches of their size"
    assert ws.rank_patches(whole, "zoomed INTO at 2 µm/px", lowest=True, apart=False)[0].score == 7


def test_one_column_of_probabilities_is_that_of_the_positive_class():
    table = PatchScores(grid(2, 1), SIDE, np.array([0.1, 0.6], np.float32))
    one = SlidePrediction({"a": 0.2, "b": 0.8}, {}, instances={0.5: table})
    offered = [(ranking.label, ranking.class_name) for ranking in ws.rankings(one)]
    assert offered == [("B probability", "b"), ("Uncertainty", None)]
    assert ws.rank_patches(one)[0].score == pytest.approx(0.6)


def test_what_cannot_be_ranked_is_said():
    bare = SlidePrediction({"a": 1.0}, {}, provenance={"model": {"id": "plain"}})
    assert ws.rankings(bare) == []
    with pytest.raises(ws.PredictionError, match="model plain gives no score"):
        ws.rank_patches(bare)
    with pytest.raises(ws.PredictionError, match="can't be ranked by “Anchors”; they can by Attention"):
        ws.rank_patches(prediction([1, 2, 3, 4]), "Anchors")
