"""Layers from a prediction: where they lie, what they show. No window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer

import napari_wsimil as ws
from napari_wsimil.inference import PatchScores, PatchSet
from napari_wsimil.patches import TissueMask
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
    made = all_of(prediction, **options)
    return {facts(layer)["kind"]: layer for layer in made}


def all_of(prediction, **options):
    return [Layer.create(*layer) for layer in L.prediction_layers(prediction, **options)]


def chosen(prediction):
    return PatchSet(prediction.attention[0.5].xy[:3], 64.0, np.array([3, 2, 1], np.float32))


def regions(prediction):
    """Each row of patches is a region."""
    return {0.5: replace(prediction.attention[0.5], values=np.repeat(np.arange(5, dtype=np.float32), 6))}


def test_bottom_to_top_and_named_for_people(prediction):
    names = [options["name"] for _, options, _ in L.prediction_layers(prediction)]
    assert names == [
        "Normal probability – made-up",
        "Tumour probability – made-up",
        "Attention – made-up",
        "Top regions – made-up",
    ]


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
    low, high = L.attention_look(values)["contrast_limits"]
    assert low < 1.2e-5
    assert high < 3e-5
    for plain in (np.full(4, 0.25, np.float32), np.full(3, np.nan, np.float32)):
        low, high = L.attention_look(plain)["contrast_limits"]
        assert low < high


def test_low_attention_leaves_the_tissue_its_colours():
    alpha = np.asarray(L.attention_colormap().map(np.array([0.0, 0.5, 1.0])))[:, 3]
    assert alpha[0] < 0.05
    assert alpha[0] < alpha[1] <= alpha[2] == 1.0


def test_instances_have_a_layer_for_each_class_hidden_at_first(prediction):
    made = [layer for layer in all_of(prediction) if facts(layer)["kind"] == "instances"]
    assert [facts(layer)["class"] for layer in made] == ["normal", "tumour"], "the positive one on top"
    assert not any(layer.visible for layer in made)
    for layer, expected in zip(made, (6 - np.arange(6), np.arange(25, 31)), strict=True):
        assert layer.contrast_limits == [0.0, 1.0]
        np.testing.assert_allclose(layer.data[4], expected / 31, rtol=1e-5)


def test_without_attention_the_positive_class_is_shown(prediction):
    made = all_of(replace(prediction, attention={}))
    assert [facts(layer)["class"] for layer in made if layer.visible] == ["tumour"]


def test_class_attention_has_a_layer_for_each_class(prediction):
    scores = prediction.attention[0.5]
    table = replace(scores, values=np.stack([scores.values[::-1], scores.values], axis=1))
    made = [layer for layer in all_of(replace(prediction, class_attention={0.5: table})) if "for" in layer.name]
    assert [layer.name for layer in made] == ["Attention for normal – made-up", "Attention for tumour – made-up"]
    assert [layer.data[4, 5] for layer in made] == [scores.values[0], scores.values[29]]
    assert not any(layer.visible for layer in made)


def test_of_several_magnifications_the_finest_that_saw_all_is_shown(prediction):
    scores = prediction.attention[0.5]
    few = replace(scores, xy=scores.xy[:4], size_level0=128.0, stride_level0=128.0, values=np.full(4, 0.25, np.float32))
    made = all_of(replace(prediction, attention={0.5: scores, 0.25: few}))
    shown = {layer.name: layer.visible for layer in made if facts(layer)["kind"] == "attention"}
    assert shown == {"Attention at 0.5 µm/px – made-up": True, "Attention at 0.25 µm/px – made-up": False}


def test_layers_of_a_prediction_stand_together_and_name_their_model(prediction, slide):
    mask = TissueMask(np.eye(4, dtype=bool), (512.0, 512.0), 256.0, "made up")
    whole = replace(
        prediction, anchors=chosen(prediction), zoom={0.5: chosen(prediction)}, tissue=mask, regions=regions(prediction)
    )
    made = all_of(whole)
    assert [facts(layer)["kind"] for layer in made] == [
        "tissue", "regions", "instances", "instances", "attention", "anchors", "zoom", "top",
    ]  # fmt: skip
    assert all(layer.name.endswith(" – made-up") for layer in made)
    assert all(facts(layer)["prediction"] is whole for layer in made)


def test_the_tissue_mask_lies_where_it_was_found(prediction):
    mask = np.zeros((16, 8), bool)
    mask[3, 5] = True
    layer = by_kind(replace(prediction, tissue=TissueMask(mask, (256.0, 128.0), None, "made up")))["tissue"]
    # level-0 pixels x 1280 to 1535 and y 384 to 511, at 0.5 µm
    np.testing.assert_allclose(layer.data_to_world((2.5, 4.5)), ((384 - 0.5) * 0.5, (1280 - 0.5) * 0.5))
    np.testing.assert_allclose(layer.data_to_world((3.5, 5.5)), ((512 - 0.5) * 0.5, (1536 - 0.5) * 0.5))
    clear, tint = layer.colormap.map(np.array([0.0, 1.0]))
    assert (clear[3], tint[3]) == (0, 1)
    assert not layer.visible


def test_regions_are_whole_numbers_in_colours_of_their_own(prediction):
    layer = by_kind(replace(prediction, regions=regions(prediction)))["regions"]
    assert layer.data.dtype == np.uint8
    np.testing.assert_array_equal(layer.data, [[1] * 6, [2] * 6, [3] * 6, [4] * 6, [5] * 6])
    colours = {tuple(layer.get_color(number)) for number in range(1, 6)}
    assert len(colours) == 5
    many = regions(prediction)[0.5]
    many = replace(many, values=np.arange(30, dtype=np.float32) * 20)
    assert by_kind(replace(prediction, regions={0.5: many}))["regions"].data.dtype == np.uint16


def test_where_patches_overlap_a_region_is_that_of_the_nearest_patch(prediction):
    xy = np.array([[0, 0], [128, 0], [256, 0]])
    scores = PatchScores(xy, 256.0, np.array([0, 4, 9], np.float32), 128.0)
    layer = by_kind(replace(prediction, regions={0.5: scores}))["regions"]
    assert layer.data.shape == (2, 4)
    assert set(np.unique(layer.data)) <= {1, 5, 10}, "no mean of two regions"
    assert layer.data[0, 0] == 1
    assert layer.data[0, 3] == 10


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
    found = by_kind(replace(prediction, anchors=chosen(prediction), zoom={0.5: chosen(prediction)}))
    assert len(found["anchors"].data) == len(found["zoom"].data) == 3
    assert found["zoom"].name == "Zoomed into at 0.5 µm/px – made-up"
    for kind in ("anchors", "zoom"):
        assert list(found[kind].features["rank"]) == [1, 2, 3]
        assert list(found[kind].text.values) == ["1", "2", "3"]


def test_a_zoom_path_goes_from_coarse_thick_boxes_to_fine_thin_ones_inside(prediction):
    coarse = PatchSet(np.array([[512, 512], [0, 0]]), 512.0, np.array([0.9, 0.1], np.float32))
    inside = np.array([[x, y] for corner in coarse.xy for x, y in corner + 256 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])])
    seen = PatchScores(inside, 256.0, np.arange(8, dtype=np.float32) / 28)
    whole = replace(prediction, attention={1.0: prediction.attention[0.5], 0.5: seen}, zoom={1.0: coarse})
    first, second = (layer for layer in all_of(whole) if facts(layer)["kind"] == "zoom")
    assert (first.name, second.name) == ("Zoomed into at 1 µm/px – made-up", "Looked at inside, 0.5 µm/px – made-up")
    assert facts(second)["width"] < facts(first)["width"]
    assert tuple(first.edge_color[0]) != tuple(second.edge_color[0])
    assert first.visible
    assert second.visible
    assert list(second.features["score"]) == sorted(seen.values, reverse=True)
    boxes = [(box.min(axis=0), box.max(axis=0)) for box in first.data]
    for box in second.data:
        assert sum((box.min(axis=0) >= low).all() and (box.max(axis=0) <= high).all() for low, high in boxes) == 1


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
    equal = replace(prediction, attention={0.5: replace(scores, values=np.full(30, 1 / 30, np.float32))})
    assert "rank 1 of 30, percentile 100" in PatchFinder(equal).describe(x + 1, y + 1), "equal scores share a rank"
    assert finder.describe(x + scores.size_level0 + 1, y) == ""
