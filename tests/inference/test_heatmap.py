from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def scores_of(cells, values, size, step):
    return PatchScores(np.floor(np.array(cells) * step + 0.5).astype(np.int64), size, np.array(values, np.float32), step)


def test_patches_that_cover_part_of_a_pixel_count_by_that_part():
    # 1.5 steps wide: the first covers its own pixel and half of the next, which the second covers whole
    raster = heatmap(scores_of([[0, 0], [1, 0]], [1, 4], 150.0, 100.0))
    middle = (0.5 * 1 + 1 * 4) / 1.5
    np.testing.assert_allclose(raster.values, [[1, middle, 4], [1, middle, 4]], rtol=1e-6)
    # downwards: 1.25 steps
    raster = heatmap(scores_of([[0, 0], [0, 1]], [2, 6], 125.0, 100.0))
    middle = (0.25 * 2 + 1 * 6) / 1.25
    np.testing.assert_allclose(raster.values, [[2, 2], [middle, middle], [6, 6]], rtol=1e-6)


def test_patches_not_encoded_yet_are_left_out():
    raster = heatmap(scores_of([[0, 0], [1, 0], [2, 0]], [1, np.nan, np.nan], 200.0, 100.0))
    np.testing.assert_array_equal(raster.values, [[1, 1, np.nan, np.nan]] * 2)
    assert np.isnan(heatmap(scores_of([[0, 0]], [np.nan], 100.0, 100.0)).values).all()


def test_patches_with_gaps_between_them_fill_their_pixels():
    raster = heatmap(scores_of([[0, 0], [1, 1]], [1, 2], 30.0, 100.0))
    np.testing.assert_array_equal(raster.values, [[1, np.nan], [np.nan, 2]])


def test_sides_that_are_whole_steps_but_for_rounding():
    raster = heatmap(scores_of([[0, 0]], [1], 3 * 0.1, 0.1))
    assert raster.values.shape == (3, 3)


def painted(scores):
    """The same by brute force: each pixel is 16 x 16 points, painted by each patch over them."""
    points, step = 16, scores.stride_level0
    cells = np.rint(scores.xy / step)
    corner, wide = cells.min(axis=0), max(scores.size_level0 / step, 1 / points)
    shape = (cells.max(axis=0) - corner + np.ceil(wide)).astype(int)[::-1]
    total, count = np.zeros(shape * points), np.zeros(shape * points)
    for (x, y), value in zip((cells - corner) * points, scores.values, strict=True):
        if not np.isnan(value):
            box = np.s_[int(y) : round(y + wide * points), int(x) : round(x + wide * points)]
            total[box] += value
            count[box] += 1
    total, count = (part.reshape(shape[0], points, shape[1], points).sum((1, 3)) for part in (total, count))
    return np.divide(total, count, out=np.full(tuple(shape), np.nan), where=count > 0)


@settings(max_examples=60, deadline=None)
@given(
    sixteenths=st.integers(1, 80),
    places=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40),
    random=st.randoms(use_true_random=False),
)
def test_any_overlap_gives_what_painting_pixel_by_pixel_gives(sixteenths, places, random):
    step = 112 * 0.5 / 0.2527
    values = [np.nan if random.random() < 0.2 else random.randint(-9, 9) for _ in places]
    scores = scores_of(sorted(places), values, step * sixteenths / 16, step)
    np.testing.assert_allclose(heatmap(scores).values, painted(scores), rtol=1e-5, atol=1e-5)


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
