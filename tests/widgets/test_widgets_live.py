"""The heatmap of a running prediction, and what the job learns of the view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_wsimil as ws
from napari_wsimil.errors import ModelError
from napari_wsimil.inference import PatchScores
from napari_wsimil.inference.progress import Provisional
from napari_wsimil.widgets.hover import CursorText, ProvisionalFinder
from napari_wsimil.widgets.layers import prediction_layers
from napari_wsimil.widgets.live import WAITING, LiveHeatmap, draw
from napari_wsimil.widgets.slide_layer import facts, slide_layer
from napari_wsimil.widgets.writer import write_prediction


def kinds(viewer):
    return [facts(layer).get("kind") for layer in viewer.layers]


def tint(viewer, layer, scores, row, qtbot):
    """What a layer adds to red, green and blue in the middle of a patch on the screen."""
    viewer.scene.camera.zoom = 4.0
    x, y = (scores.xy[row] + scores.size_level0 / 2) * 0.5
    viewer.scene.camera.center = (y, x)
    seen = []
    for visible in (True, False):
        layer.visible = visible
        qtbot.wait(100)
        qtbot.waitUntil(lambda: all(layer.loaded for layer in viewer.layers), timeout=5000)
        picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
        rows, columns = (side // 2 for side in picture.shape[:2])
        seen.append(picture[rows - 30 : rows + 30, columns - 30 : columns + 30].mean(axis=(0, 1)))
    layer.visible = True
    return seen[0] - seen[1]


def so_far(prediction, count):
    """What was known of a prediction after its first patches."""
    scores = prediction.attention[0.5]
    values = np.where(np.arange(len(scores)) < count, scores.values, np.nan).astype(np.float32)
    return Provisional(0.5, replace(scores, values=values))


@pytest.fixture
def opened(sample):
    with ws.open_slide(sample) as slide:
        yield slide


@pytest.fixture
def viewer(opened):
    """A viewer without a window, with the slide in it."""
    viewer = ViewerModel()
    data, options, _ = slide_layer(opened)
    viewer.add_image(data, **options)
    return viewer


class TestDrawing:
    def test_it_lies_where_the_result_will_lie(self, opened, made_up):
        prediction = made_up(opened)
        drawn = draw(so_far(prediction, 12), opened.mpp)
        values, options, _ = next(layer for layer in prediction_layers(prediction) if layer[1]["name"].startswith("Attention"))
        assert drawn.values.shape == values.shape
        for name in ("scale", "translate", "units", "opacity", "interpolation2d", "blending"):
            assert drawn.options[name] == options[name], name

    def test_known_and_waiting_patches_differ(self, opened, made_up):
        prediction = made_up(opened)
        drawn = draw(so_far(prediction, 12), opened.mpp)
        known = prediction.attention[0.5].values[:12]
        assert (drawn.values == WAITING).sum() == 18
        low, high = drawn.options["contrast_limits"]
        coloured = drawn.values[drawn.values != WAITING]
        assert coloured.max() == known.max()
        assert coloured.min() > low, "what is at the lower limit or below has the colour of what waits"
        assert low < high <= known.max()

    def test_glass_is_clear_and_so_is_all_that_no_one_waits_for(self, opened, made_up):
        scores = made_up(opened).attention[0.5]
        corner = replace(
            scores, xy=np.concatenate([scores.xy[:2], scores.xy[-1:]]), values=np.array([0.5, 0.5, np.nan], np.float32)
        )
        assert np.isnan(draw(Provisional(0.5, corner), opened.mpp).values).sum() == 27
        assert np.isnan(draw(Provisional(0.5, corner), opened.mpp, veil=False).values).sum() == 28

    def test_no_patch_known_yet(self, opened, made_up):
        drawn = draw(so_far(made_up(opened), 0), opened.mpp)
        assert set(np.unique(drawn.values)) == {WAITING}
        assert drawn.options["contrast_limits"] == (0.0, 1.0)


class TestLayers:
    @pytest.fixture
    def live(self, viewer):
        heatmap = LiveHeatmap(viewer)
        heatmap.begin(viewer.layers[0], "made-up")
        return heatmap

    def test_one_layer_is_kept_up_to_date(self, live, viewer, opened, made_up):
        prediction = made_up(opened)
        live.show(draw(so_far(prediction, 6), opened.mpp))
        layer = viewer.layers[-1]
        assert layer.name == "Attention (provisional) – made-up"
        assert viewer.layers.selection.active is viewer.layers[0], "the user's layer stays the chosen one"
        before = layer.contrast_limits
        live.show(draw(so_far(prediction, 24), opened.mpp))
        assert viewer.layers[-1] is layer
        assert (layer.data == WAITING).sum() == 6
        assert layer.contrast_limits != before
        layer.contrast_limits = [0, 1]
        live.show(draw(so_far(prediction, 30), opened.mpp))
        assert layer.contrast_limits == [0, 1], "limits that the user set"
        assert live.shown
        live.end()
        assert kinds(viewer) == ["slide"]
        assert not live.shown

    def test_who_removes_it_has_peace(self, live, viewer, opened, made_up):
        live.show(draw(so_far(made_up(opened), 6), opened.mpp))
        viewer.layers.pop()
        live.show(draw(so_far(made_up(opened), 7), opened.mpp))
        assert kinds(viewer) == ["slide"]
        assert not live.shown
        live.end()

    def test_a_second_magnification_is_a_second_layer(self, live, viewer, opened, made_up):
        scores = made_up(opened).attention[0.5]
        finer = PatchScores(scores.xy, scores.size_level0 / 2, scores.values)
        live.show(draw(so_far(made_up(opened), 25), opened.mpp))
        live.show(draw(Provisional(0.25, finer), opened.mpp, veil=False))
        names = [layer.name for layer in viewer.layers][1:]
        assert names == [f"Attention (provisional) at {mpp} µm/px – made-up" for mpp in (0.5, 0.25)]
        assert not (viewer.layers[1].data == WAITING).any(), "the model has done with the coarser one"
        live.end()
        assert kinds(viewer) == ["slide"]

    def test_earlier_results_of_the_model_are_hidden_meanwhile(self, live, viewer, opened, made_up):
        from napari.layers import Layer

        for prediction in (made_up(opened), made_up(opened, model="another")):
            for layer in prediction_layers(prediction):
                viewer.layers.append(Layer.create(*layer))
        before = {layer.name: layer.visible for layer in viewer.layers}
        viewer.layers.selection.active = viewer.layers["Attention – made-up"]
        live.show(draw(so_far(made_up(opened), 3), opened.mpp))
        shown = {layer.name for layer in viewer.layers if layer.visible}
        assert shown == {"sample", "Attention – another", "Top regions – another", "Attention (provisional) – made-up"}
        live.end()
        assert {layer.name: layer.visible for layer in viewer.layers} == before
        assert viewer.layers.selection.active is viewer.layers["Attention – made-up"]

    def test_it_is_in_no_export(self, live, viewer, opened, made_up, tmp_path, told):
        live.show(draw(so_far(made_up(opened), 3), opened.mpp))
        assert write_prediction(str(tmp_path / "a.geojson"), [viewer.layers[-1].as_layer_data_tuple()]) == []
        assert "belong to no prediction" in told()[-1]

    def test_hovering(self, live, viewer, opened, made_up):
        scores = made_up(opened).attention[0.5]
        cursor = CursorText(viewer)
        said = []
        for count in (3, 20):
            live.show(draw(so_far(made_up(opened), count), opened.mpp))
            for row in (1, 12):
                x, y = (scores.xy[row] + scores.size_level0 / 2) * opened.mpp
                viewer.cursor.position = (y, x)
                said.append(cursor.text())
        assert said == [
            "Attention 0.0043 so far (rank 2 of the 3 patches encoded)",
            "Not encoded yet",
            "Attention 0.0043 so far (rank 19 of the 20 patches encoded)",
            "Attention 0.028 so far (rank 8 of the 20 patches encoded)",
        ]
        viewer.cursor.position = (0, 0)
        assert cursor.text() == ""

    def test_patches_are_sorted_once(self, opened, made_up):
        first = ProvisionalFinder(so_far(made_up(opened), 3).attention)
        second = ProvisionalFinder(so_far(made_up(opened), 4).attention, first)
        assert second._lookup.index is first._lookup.index


@pytest.mark.gui
class TestWindow:
    def test_it_fills_in_and_makes_room_for_the_result(self, window, sample, puppet, made_up, qtbot):
        w = window()
        (slide_layer,) = w.open(sample)
        w.dock.steps = puppet
        w.press(w.dock.predict_button)
        puppet.show(w.dock.slides.slide, 6)
        qtbot.waitUntil(lambda: kinds(w.viewer) == ["slide", "provisional"], timeout=5000)
        layer = w.viewer.layers[-1]
        puppet.show(w.dock.slides.slide, 24)
        qtbot.waitUntil(lambda: (layer.data == WAITING).sum() == 6, timeout=5000)
        qtbot.waitUntil(lambda: "heatmap\xa0provisional" in w.dock.progress.label.text(), timeout=5000)
        assert w.dock.progress.rates.isVisible()
        assert "(limits)" in w.dock.progress.rates.text()
        assert w.viewer.layers.selection.active == slide_layer
        scores = made_up(w.dock.slides.slide).attention[0.5]
        red, green, blue = tint(w.viewer, layer, scores, 28, qtbot)
        assert max(red, green, blue) < -15, "a veil lies on what waits"
        red, green, blue = tint(w.viewer, layer, scores, 23, qtbot)
        assert red - blue > 40, "attention is warm"
        puppet.end()
        w.wait_end()
        assert kinds(w.viewer) == ["slide", "instances", "instances", "attention", "top"]
        assert not w.dock.progress.isVisible()

    def test_cancel_failure_and_a_slide_that_goes(self, window, sample, puppet, qtbot):
        w = window()
        (slide_layer,) = w.open(sample)
        w.dock.steps = puppet

        def start():
            w.press(w.dock.predict_button)
            puppet.show(w.dock.slides.slide, 6)
            qtbot.waitUntil(lambda: "provisional" in kinds(w.viewer), timeout=5000)

        start()
        w.press(w.dock.cancel_button)
        assert kinds(w.viewer) == ["slide"], "at once"
        w.wait_end(timeout=5000)
        assert kinds(w.viewer) == ["slide"]
        assert w.dock.progress.label.text() == "Stopped."
        assert not w.dock.progress.rates.isVisible()
        start()
        puppet.end(ModelError("No good."))
        w.wait_end(timeout=5000)
        assert kinds(w.viewer) == ["slide"]
        assert w.dock.message.text() == "No good."
        start()
        w.viewer.layers.remove(slide_layer)
        w.wait_end(timeout=5000)
        assert len(w.viewer.layers) == 0

    def test_the_job_knows_the_view(self, window, sample, puppet, made_up, qtbot):
        w = window()
        w.open(sample)
        w.dock.steps = puppet
        w.press(w.dock.predict_button)
        qtbot.waitUntil(lambda: "focus" in puppet.settings, timeout=5000)
        asked = {"device", "focus", "provisional", "choices", "precision", "compiled", "keep_bytes"}
        assert set(puppet.settings) == asked
        focus, scores = puppet.settings["focus"], made_up(w.dock.slides.slide).attention[0.5]
        assert focus.sees(scores).all(), "the whole slide is in view"
        camera, moves = w.viewer.scene.camera, focus.moves
        x, y = (scores.xy[8] + scores.size_level0 / 2) * 0.5
        for step in range(20):
            camera.zoom, camera.center = 8.0, (y - 20 + step, x)
        camera.center = (y, x)
        qtbot.waitUntil(lambda: np.flatnonzero(focus.sees(scores)).tolist() == [8], timeout=5000)
        assert focus.moves - moves < 10, "a drag is not told pixel by pixel"
        camera.zoom = 2.0
        qtbot.waitUntil(lambda: 9 <= focus.sees(scores).sum() < 30, timeout=5000)
        puppet.end()
        w.wait_end()
        moves = focus.moves
        camera.center = (0, 0)
        qtbot.wait(250)
        assert focus.moves == moves, "nobody needs to know any more"

    def test_closing_the_window(self, window, sample, puppet, qtbot, told):
        from napari_wsimil.widgets.job import any_running

        w = window()
        w.open(sample)
        w.dock.steps = puppet
        w.press(w.dock.predict_button)
        puppet.show(w.dock.slides.slide, 6)
        qtbot.waitUntil(lambda: "provisional" in kinds(w.viewer), timeout=5000)
        w.viewer.close()
        qtbot.waitUntil(lambda: not any_running(), timeout=2000)
        assert told() == []
