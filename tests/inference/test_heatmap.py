from __future__ import annotations

import numpy as np
import pytest

from napari_wsimil.inference import PatchScores, PatchSet, SlidePrediction, heatmap


def test_patches_become_pixels_where_they_lie():
    xy = np.array([[512, 1024], [1024, 1024], [512, 1536]])
    raster = heatmap(PatchScores(xy, 512.0, np.array([1, 2, 3], np.float32)))
    np.testing.assert_array_equal(raster.values, [[1, 2], [3, np.nan]])
    assert raster.origin == (512.0, 1024.0)
    assert raster.step == 512
    assert raster.values.dtype == np.float32


def test_grid_whose_step_is_not_whole():
    step = 256 * 0.5 / 0.2527
    cells = np.stack(np.meshgrid(np.arange(40), np.arange(30)), -1).reshape(-1, 2)
    xy = np.floor(cells * step + 0.5).astype(np.int64)
    values = np.arange(len(cells), dtype=np.float32)
    raster = heatmap(PatchScores(xy, step, values))
    np.testing.assert_array_equal(raster.values, values.reshape(30, 40))


def test_overlapping_patches_share_their_pixels():
    xy = np.array([[0, 0], [128, 0]])
    raster = heatmap(PatchScores(xy, 256.0, np.array([1, 3], np.float32), 128.0))
    np.testing.assert_array_equal(raster.values, [[1, 2, 3], [1, 2, 3]])


def test_scale_and_translate_put_pixel_edges_on_patch_edges():
    raster = heatmap(PatchScores(np.array([[512, 1024]]), 512.0, np.ones(1, np.float32)))
    scale, translate = raster.scale_translate((0.25, 0.5))
    assert scale == (256.0, 128.0)
    # napari: a pixel reaches half a scale to either side of its translate; slide pixel k reaches from (k - 1/2) mpp
    assert translate[0] - scale[0] / 2 == pytest.approx((1024 - 0.5) * 0.5)
    assert translate[1] - scale[1] / 2 == pytest.approx((512 - 0.5) * 0.25)


def test_no_patches_give_one_empty_pixel():
    raster = heatmap(PatchScores(np.zeros((0, 2), np.int64), 512.0, np.zeros(0, np.float32)))
    assert raster.values.shape == (1, 1)
    assert np.isnan(raster.values).all()


def test_scores_and_sets():
    scores = PatchScores(np.array([[0, 0], [5, 0], [0, 5]]), 5.0, np.array([0.2, 0.5, 0.5], np.float32))
    assert scores.stride_level0 == 5.0
    assert scores.top(2).xy.tolist() == [[5, 0], [0, 5]]
    assert scores.boxes()[1].tolist() == [5, 0, 10, 5]
    table = PatchScores(scores.xy, 5.0, np.arange(6, dtype=np.float32).reshape(3, 2))
    assert table.column(1).values.tolist() == [1, 3, 5]
    assert len(PatchSet(scores.xy, 5.0, scores.values)) == 3
    with pytest.raises(ValueError, match="same patches"):
        PatchScores(scores.xy, 5.0, np.zeros(2, np.float32))


def test_positive_class_falls_back_to_the_predicted_one():
    scores = {0.5: PatchScores(np.zeros((1, 2), np.int64), 1.0, np.ones(1, np.float32))}
    assert SlidePrediction({"a": 0.4, "b": 0.6}, scores).positive_class == "b"
    assert SlidePrediction({"a": 0.4, "b": 0.6}, scores, provenance={"model": {"positive_class": "a"}}).positive_class == "a"
