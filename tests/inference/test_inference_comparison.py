"""Two predictions beside each other: what agrees, what differs, on which grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil.inference.common_grid import on_common_grid
from napari_wsimil.inference.comparison import compare


def grid(columns, rows, step, start=(0, 0)):
    x, y = np.meshgrid(np.arange(columns) * step + start[0], np.arange(rows) * step + start[1])
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int64)


def scores(xy, size, values, stride=None):
    return ws.PatchScores(xy, float(size), np.asarray(values, np.float32), float(stride or size))


def prediction(attention, *, model="one", fingerprint="f", tumour=0.8, **more):
    provenance = {"slide": {"path": f"/slides/{fingerprint}.svs", "fingerprint": fingerprint}, "model": {"id": model}}
    return ws.SlidePrediction({"normal": 1 - tumour, "tumour": tumour}, attention, provenance=provenance, **more)


def random_attention(seed=0, size=100):
    values = np.random.default_rng(seed).random(30)
    return {0.5: scores(grid(6, 5, size), size, values / values.sum())}


def test_a_prediction_agrees_with_itself_and_contradicts_its_reverse():
    one = prediction(random_attention())
    same = compare(one, replace(one))
    assert same.spearman == pytest.approx(1)
    assert same.pearson == pytest.approx(1)
    assert same.overlap == 1
    assert not same.difference.values.any()
    assert same.verdict == "The two agree closely: rank correlation 1.00."
    assert same.names == ("one (first)", "one (second)")
    values = one.attention[0.5].values
    turned = prediction({0.5: replace(one.attention[0.5], values=values.max() - values)}, model="two", tumour=0.3)
    reverse = compare(one, turned, top=3)
    assert reverse.spearman == pytest.approx(-1)
    assert reverse.overlap == 0
    assert "contradict" in reverse.verdict
    assert reverse.probabilities["tumour"] == (0.8, 0.3)
    rows = {row.what: row for row in reverse.table()}
    assert rows["probability of tumour"].difference == pytest.approx(0.5)
    assert rows["patches"][1:3] == (30, 30)


def test_grids_of_other_sizes_meet_on_the_finer_one():
    coarse = scores(grid(2, 1, 200), 200, [1.0, 3.0])
    fine = scores(grid(4, 2, 100), 100, np.arange(8))
    one, other = on_common_grid(coarse, fine)
    np.testing.assert_array_equal(one.xy, fine.xy)
    np.testing.assert_array_equal(one.values, [1, 1, 3, 3, 1, 1, 3, 3])
    np.testing.assert_array_equal(other.values, np.arange(8))
    assert one.size_level0 == 100


def test_a_cell_is_the_mean_of_what_lies_over_it_by_area():
    # cells of 90 px under patches of 100: the second cell reaches from 90 to 180, 10 px of the first and 80 of the second patch
    patches = scores(grid(2, 1, 100), 100, [1.0, 10.0])
    cells = scores(grid(3, 1, 90), 90, [5.0, 6.0, 7.0])
    one, other = on_common_grid(patches, cells)
    # of the third cell, 180 to 270, the patches cover 20 px only: it is left out
    np.testing.assert_array_equal(other.values, [5, 6])
    np.testing.assert_allclose(one.values, [1.0, (10 * 1 + 80 * 10) / 90], rtol=1e-5)


def test_overlapping_patches_are_averaged_at_their_stride():
    overlapping = scores(grid(2, 1, 50), 100, [1.0, 3.0], stride=50)
    plain = scores(grid(1, 1, 100), 100, [5.0])
    one, other = on_common_grid(overlapping, plain)
    # of the third and last column only the second patch is there, and the other prediction has none there
    np.testing.assert_array_equal(one.values, [1, 2, 1, 2])
    np.testing.assert_array_equal(other.values, [5, 5, 5, 5])
    assert one.size_level0 == 50


def test_attention_does_not_depend_on_the_number_of_patches():
    few = prediction({1.0: scores(grid(2, 1, 200), 200, [0.25, 0.75])})
    many = prediction({0.5: scores(grid(4, 2, 100), 100, np.repeat([0.0625, 0.1875], 2).tolist() * 2)}, model="two")
    found = compare(few, many, scale="times average")
    np.testing.assert_allclose(found.first.values, found.second.values)
    np.testing.assert_allclose(found.first.values, [0.5, 0.5, 1.5, 1.5] * 2)
    assert found.patches == (2, 8)
    assert found.mpps == (1.0, 0.5)
    by_rank = compare(few, many)
    np.testing.assert_allclose(by_rank.first.values, [0.25, 0.25, 0.75, 0.75] * 2)
    np.testing.assert_allclose(by_rank.second.values, [0.25, 0.25, 0.75, 0.75] * 2)


def test_one_prediction_at_two_magnifications():
    values = np.random.default_rng(1).random((4, 4))
    pooled = values.reshape(2, 2, 2, 2).mean(axis=(1, 3))
    attention = {2.0: scores(grid(2, 2, 400), 400, pooled.ravel()), 0.5: scores(grid(4, 4, 200), 200, values.ravel())}
    one = prediction(attention)
    found = compare(one, one)
    assert found.mpps == (0.5, 2.0)
    assert found.places == 16
    assert found.names == ("one at 0.5 µm/px", "one at 2 µm/px")
    assert 0 < found.spearman < 1
    same = compare(one, one, mpps=(2.0, 2.0))
    assert same.spearman == pytest.approx(1)
    with pytest.raises(ws.PredictionError, match="one magnification only"):
        compare(single := prediction(random_attention()), single)


def test_probabilities_are_compared_as_they_are():
    xy = grid(3, 1, 100)
    tables = [scores(xy, 100, np.stack([1 - np.array(p), p], axis=1)) for p in ([0.1, 0.5, 0.9], [0.2, 0.3, 0.9])]
    one, other = (prediction({}, model=name, instances={0.5: table}) for name, table in zip("ab", tables, strict=True))
    found = compare(one, other, by="instances")
    assert (found.class_name, found.scale) == ("tumour", "probability")
    np.testing.assert_allclose(found.difference.values, [-0.1, 0.2, 0], atol=1e-6)
    turned = compare(one, other, by="instances", class_name="normal")
    np.testing.assert_allclose(turned.difference.values, [0.1, -0.2, 0], atol=1e-6)


def test_where_nothing_can_be_said_it_is_said():
    flat = prediction({0.5: scores(grid(6, 5, 100), 100, np.full(30, 1 / 30))}, model="flat")
    found = compare(flat, prediction(random_attention()))
    assert (found.spearman, found.pearson, found.overlap) == (None, None, None)
    assert found.verdict == "No rank correlation: flat gave every place the same score."
    assert None in found.record().values()
    two = prediction({0.5: scores(grid(2, 1, 100), 100, [0.3, 0.7])})
    assert "2 places only" in compare(two, replace(two)).verdict


def test_what_is_not_known_is_left_out():
    attention = random_attention()[0.5]
    holes = attention.values.copy()
    holes[:10] = np.nan
    found = compare(prediction({0.5: attention}), prediction({0.5: replace(attention, values=holes)}, model="two"))
    assert found.places == 20
    assert found.patches == (30, 20)
    assert found.spearman == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"by": "anchors"}, "can't be compared"),
        ({"by": "instances"}, "has no instances"),
        ({"mpps": (0.5, 4.0)}, "no attention at 4"),
        ({"scale": "log"}, "no scale"),
        ({"top": 0}, "share"),
    ],
)
def test_bad_wishes_end_in_a_sentence(options, sentence):
    with pytest.raises(ws.PredictionError, match=sentence):
        compare(prediction(random_attention()), prediction(random_attention(1)), **options)


def test_other_slides_and_other_places_are_refused():
    one = prediction(random_attention())
    with pytest.raises(ws.PredictionError, match=r"same slide.*f\.svs and /slides/g\.svs"):
        compare(one, prediction(random_attention(), fingerprint="g"))
    elsewhere = scores(grid(6, 5, 100, start=(5000, 0)), 100, np.arange(30))
    with pytest.raises(ws.PredictionError, match="any place in common"):
        compare(one, prediction({0.5: elsewhere}))
    with pytest.raises(ws.PredictionError, match="no class in common"):
        compare(one, replace(one, probabilities={"a": 1.0}), by="instances")
