"""Layers from a prediction: where they lie, what they show. No window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer

import napari_wsimil as ws
from napari_wsimil.inference import PatchSet
from napari_wsimil.widgets import layers as L
from napari_wsimil.widgets.hover import PatchFinder
from napari_wsimil.widgets.slide_layer import facts, slide_layer


@pytest.fixture
def slide(sample):
    with ws.open_slide(sample) as opened:
        yield opened


@pytest.fixture
def prediction(slide, made_up):
    return made_up(slide)


def by_kind(prediction, **options):
    made = [Layer.create(*layer) for layer in L.prediction_layers(prediction, **options)]
    return {facts(layer)["kind"]: layer for layer in made}


def test_bottom_to_top_and_named_for_people(prediction):
    names = [options["name"] for _, options, _ in L.prediction_layers(prediction)]
    assert names == ["Tumour probability – made-up", "Attention – made-up", "Top regions – made-up"]


@pytest.mark.parametrize("mpp", [(0.25, 0.25), (0.5, 0.4), (0.4990, 0.4990)])
def test_a_heatmap_pixel_lies_on_the_centre_of_its_patch(prediction, mpp):
    prediction.provenance["slide"]["mpp"] = list(mpp)
    scores = prediction.attention[0.5]
    layer = by_kind(prediction)["attention"]
    for row in (0, 7, 29):
        x, y = scores.xy[row] + scores.size_level0 / 2
        # The slide layer's data coordinate of level-0 pixel p is p - 0.5 measured from the pixel's corner.
        world = (y - 0.5) * mpp[1], (x - 0.5) * mpp[0]
        pixel = layer.world_to_data(world)
        np.testing.assert_allclose(pixel, np.round(pixel), atol=1e-6)
        index = tuple(np.round(pixel).astype(int))
        assert layer.data[index] == pytest.approx(scores.values[row])


def test_the_heatmap_has_one_pixel_per_patch_and_holes_stay_empty(prediction):
    scores = prediction.attention[0.5]
    keep = np.arange(30) != 8
    holed = replace(scores, xy=scores.xy[keep], values=scores.values[keep])
    layer = by_kind(replace(prediction, attention={0.5: holed}))["attention"]
    assert layer.data.shape == (5, 6)
    assert np.isnan(layer.data[1, 2])
    assert np.isnan(layer.data).sum() == 1
    assert layer.interpolation2d == "nearest"


def test_attention_is_not_cold_all_over():
    values = np.r_[np.linspace(1e-5, 2e-5, 990), np.full(10, 0.09)].astype(np.float32)
    low, high = L.contrast(values)
    assert low < 1.2e-5
    assert high < 3e-5
    assert np.all(np.diff(L.contrast(np.full(4, 0.25, np.float32))) > 0)
    assert L.contrast(np.full(3, np.nan, np.float32)) == (0.0, 1.0)


def test_low_attention_leaves_the_tissue_its_colours():
    alpha = np.asarray(L.attention_colormap().map(np.array([0.0, 0.5, 1.0])))[:, 3]
    assert alpha[0] < 0.05
    assert alpha[0] < alpha[1] <= alpha[2] == 1.0


def test_instances_show_the_positive_class_and_are_hidden_at_first(prediction):
    layer = by_kind(prediction)["instances"]
    assert not layer.visible
    assert layer.contrast_limits == [0.0, 1.0]
    np.testing.assert_allclose(layer.data[4], np.arange(25, 31) / 31, rtol=1e-6)


def test_top_boxes_are_the_most_attended_patches_best_first(prediction):
    layer = by_kind(prediction, top=4)["top"]
    scores = prediction.attention[0.5]
    best = [29, 28, 27, 26]
    assert list(layer.features["rank"]) == [1, 2, 3, 4]
    for box, row in zip(layer.data, best, strict=True):
        np.testing.assert_allclose(box.min(axis=0), scores.xy[row][::-1] - 0.5)
        np.testing.assert_allclose(box.max(axis=0), scores.xy[row][::-1] - 0.5 + scores.size_level0)
    assert tuple(layer.scale) == (0.5, 0.5)
    assert "top" not in by_kind(prediction, top=0)


def test_anchors_and_zoom_become_boxes(prediction):
    chosen = PatchSet(prediction.attention[0.5].xy[:3], 64.0, np.ones(3, np.float32))
    found = by_kind(replace(prediction, anchors=chosen, zoom={0.5: chosen}))
    assert len(found["anchors"].data) == len(found["zoom"].data) == 3
    assert found["zoom"].name == "Zoomed into at 0.5 µm/px – made-up"


def test_no_more_boxes_than_napari_can_draw(prediction):
    many = PatchSet(np.zeros((2000, 2), np.int64), 64.0, np.ones(2000, np.float32))
    assert len(by_kind(replace(prediction, anchors=many))["anchors"].data) == L.MOST_BOXES


def test_the_slide_layer_is_a_pyramid_in_micrometres(slide):
    data, options, kind = slide_layer(slide)
    layer = Layer.create(data, options, kind)
    assert layer.multiscale
    assert layer.rgb
    assert tuple(layer.scale) == (0.5, 0.5)
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert layer.contrast_limits == [0, 255]
    assert max(layer.data[-1].shape) <= 1024
    assert facts(layer)["slide"] is slide


def test_the_patch_under_the_cursor(prediction):
    finder = PatchFinder(prediction)
    scores = prediction.attention[0.5]
    x, y = scores.xy[29]
    inside = "Attention 0.0645 (rank 1 of 30, percentile 100) · tumour 96.8 %"
    assert finder.describe(x + 1, y + 1) == inside
    assert finder.describe(x + scores.size_level0 - 1, y + scores.size_level0 - 1) == inside
    assert "rank 2 of 30" in finder.describe(x - 1, y + 1)
    assert finder.describe(x + scores.size_level0 + 1, y) == ""
