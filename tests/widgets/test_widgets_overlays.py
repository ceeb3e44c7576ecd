"""The overlays of a prediction: on the tissue to the pixel, and as the user wants them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer

import napari_wsimil as ws
from napari_wsimil.exports.looks import BoxLook, RasterLook
from napari_wsimil.inference import PatchScores, PatchSet
from napari_wsimil.patches import TissueMask
from napari_wsimil.widgets.boxes import keep_readable
from napari_wsimil.widgets.layers import prediction_layers
from napari_wsimil.widgets.live import LiveHeatmap
from napari_wsimil.widgets.overlays.aside import bring_back, give_looks, keep_looks, put_aside
from napari_wsimil.widgets.overlays.legend import NAME, words_of
from napari_wsimil.widgets.overlays.looks import looks_of
from napari_wsimil.widgets.overlays.panel import OverlayPanel
from napari_wsimil.widgets.overlays.scaling import bounds, look_of, percentiles, set_scaling, set_threshold, unit
from napari_wsimil.widgets.results import show_prediction
from napari_wsimil.widgets.slide_layer import facts

SQUARE = 1024
"""The dark square on the slide: from there, so large, in level-0 pixels."""


@pytest.fixture
def prediction(sample, made_up):
    with ws.open_slide(sample) as slide:
        return made_up(slide)


def made_of(prediction):
    """The layers of a prediction by their kind; of probabilities that of the positive class."""
    made = [Layer.create(*data) for data in prediction_layers(prediction)]
    return {facts(layer)["kind"]: layer for layer in made}


@pytest.fixture
def layers(prediction):
    return made_of(prediction)


class TestScaling:
    def test_percentiles_count_equal_scores_alike_and_leave_gaps(self):
        values = np.array([0.0, 0.0, 3.0, np.nan, 1.0], np.float32)
        np.testing.assert_array_equal(percentiles(values), np.array([50, 50, 100, np.nan, 75], np.float32))

    def test_percentile_and_back(self, layers):
        layer = layers["attention"]
        raw, limits = layer.data.copy(), list(layer.contrast_limits)
        set_scaling(layer, "percentile")
        np.testing.assert_allclose(layer.data.ravel(), np.arange(1, 31) / 0.3, rtol=1e-6)
        assert (layer.contrast_limits, unit(layer), bounds(layer)) == ([0, 100], "percentile", (0, 100))
        layer.contrast_limits = (20, 80)
        set_scaling(layer, "raw")
        np.testing.assert_array_equal(layer.data, raw)
        assert layer.contrast_limits == limits
        assert layer.contrast_limits_range[1] <= raw.max() + 1e-6, "the slider of napari's controls is of use again"
        set_scaling(layer, "percentile")
        assert layer.contrast_limits == [20, 80], "limits that were chosen for that scale"

    def test_a_threshold_hides_what_is_below_and_goes_with_the_scale(self, layers):
        layer = layers["attention"]
        raw = layer.data.copy()
        set_threshold(layer, float(raw[2, 0]))
        np.testing.assert_array_equal(np.isnan(layer.data), raw < raw[2, 0])
        set_scaling(layer, "percentile")
        assert look_of(layer)["threshold"] == pytest.approx(100 * 13 / 30)
        assert np.isnan(layer.data).sum() == 12, "the same patches are hidden"
        set_scaling(layer, "raw")
        np.testing.assert_array_equal(np.isnan(layer.data), raw < raw[2, 0])
        set_threshold(layer, None)
        np.testing.assert_array_equal(layer.data, raw)

    def test_a_threshold_above_all_hides_all_in_any_scale(self, layers):
        layer = layers["instances"]
        set_threshold(layer, 1.0)
        set_scaling(layer, "percentile")
        assert np.isnan(layer.data).all()
        set_threshold(layer, 0.0)
        set_scaling(layer, "raw")
        assert look_of(layer)["threshold"] is None
        assert not np.isnan(layer.data).any()

    def test_without_scores(self, prediction):
        nothing = PatchScores(np.zeros((0, 2), np.int64), 256.0, np.zeros(0, np.float32))
        made = [Layer.create(*data) for data in prediction_layers(replace(prediction, attention={0.5: nothing}), top=0)]
        set_scaling(made[-1], "percentile")
        set_threshold(made[-1], 50.0)
        assert bounds(made[-1]) == (0.0, 100.0)

    @pytest.mark.parametrize(
        ("kind", "raw", "percentile"),
        [("attention", "Attention, up to 0.063", "Attention, percentile"), ("instances", "P(tumour)", "P(tumour), percentile")],
    )
    def test_what_the_legend_says(self, layers, kind, raw, percentile):
        layer = layers[kind]
        assert words_of(layer) == raw
        set_scaling(layer, "percentile")
        assert words_of(layer) == percentile


class TestLooks:
    def test_what_was_put_aside_comes_back_and_no_more(self, layers):
        assert put_aside(layers.values()) == [layers["attention"], layers["top"]]
        assert not any(layer.visible for layer in layers.values())
        assert bring_back(layers.values()) == [layers["attention"], layers["top"]]
        assert [kind for kind, layer in layers.items() if layer.visible] == ["attention", "top"]
        assert bring_back(layers.values()) == []

    def test_a_new_result_of_the_model_looks_like_the_one_before(self, layers, prediction):
        old = layers["attention"]
        set_scaling(old, "percentile")
        set_threshold(old, 70.0)
        old.colormap, old.opacity, old.interpolation2d, old.contrast_limits = "gray", 0.9, "linear", (10, 90)
        layers["instances"].visible = True
        put_aside([layers["top"]])
        new = made_of(prediction)
        give_looks(new.values(), keep_looks(layers.values()))
        attention = new["attention"]
        assert look_of(attention)["scaling"] == "percentile"
        assert np.isnan(attention.data).sum() == np.isnan(old.data).sum() == 20
        assert (attention.colormap.name, attention.opacity, attention.interpolation2d) == ("gray", 0.9, "linear")
        assert attention.contrast_limits == [10, 90]
        assert new["instances"].visible
        assert new["top"].visible, "it was only put aside"

    def test_what_exports_draw(self, viewer_model, prediction):
        corner = PatchSet(prediction.attention[0.5].xy[:2], 256.0, np.ones(2, np.float32))
        mask = TissueMask(np.eye(8, dtype=bool), (256.0, 256.0), 128.0, "made up")
        whole = replace(prediction, anchors=corner, tissue=mask, regions={0.5: prediction.attention[0.5]})
        for data in prediction_layers(whole, top=3):
            viewer_model.layers.append(Layer.create(*data))
        assert [look.name for look in looks_of(viewer_model, whole)] == ["Attention", "Anchors", "Top regions"]
        attention, anchors, top = looks_of(viewer_model, whole)
        assert isinstance(attention, RasterLook)
        assert isinstance(anchors, BoxLook)
        np.testing.assert_allclose(anchors.boxes[:, :2], corner.xy)
        np.testing.assert_allclose(anchors.boxes[:, 2:], corner.xy + 256)
        assert top.labels == ("1", "2", "3")
        np.testing.assert_allclose(attention.origin, prediction.attention[0.5].xy[0])
        np.testing.assert_allclose(attention.step, (256, 256))
        assert (attention.values.shape, attention.unit, attention.smooth) == ((5, 6), "attention", False)
        for layer in viewer_model.layers:
            layer.visible = facts(layer)["kind"] in {"tissue", "regions"}
        tissue, regions = looks_of(viewer_model, whole)
        assert (tissue.unit, regions.unit) == ("tissue", "region")
        np.testing.assert_allclose((tissue.origin, tissue.step), ((0, 0), (256, 256)), atol=1e-9)
        assert np.isnan(tissue.values).sum() == 56
        assert tissue.colours[-1] == pytest.approx((0, 0.62, 0.45, 1))


@pytest.fixture
def viewer_model():
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture(scope="module")
def squared(tmp_path_factory):
    """A white slide of unequal pixel sides with a dark square."""
    import tifffile

    pixels = np.full((3072, 3072, 3), 250, np.uint8)
    pixels[SQUARE : 2 * SQUARE, SQUARE : 2 * SQUARE] = 20
    path = tmp_path_factory.mktemp("slides") / "squared.tiff"
    across, down = 1e4 / 0.5, 1e4 / 0.4
    tifffile.imwrite(
        path,
        pixels,
        tile=(256, 256),
        photometric="rgb",
        compression="adobe_deflate",
        resolution=(across, down),
        resolutionunit="CENTIMETER",
    )
    return path


def covering(slide, made_up, stride):
    """A prediction whose patches cover the dark square, and nothing else."""
    steps = np.arange(SQUARE, 2 * SQUARE - 127, stride)
    xy = np.array([(x, y) for y in steps for x in steps], np.int64)
    scores = PatchScores(xy, 128.0, np.full(len(xy), 1 / len(xy), np.float32), float(stride))
    base = made_up(slide, model=f"every {stride} px")
    mask = np.zeros((24, 24), np.bool_)
    mask[8:16, 8:16] = True
    square = PatchSet(np.array([[SQUARE, SQUARE]]), float(SQUARE), np.ones(1, np.float32))
    tissue = TissueMask(mask, (128.0, 128.0), None, "made up")
    return replace(base, attention={0.5: scores}, instances={}, anchors=square, tissue=tissue)


class Eyes:
    """Looks at the canvas of a viewer."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot = viewer, qtbot

    def look(self):
        """(rows, columns, 3) float, what is on the screen when all is drawn."""
        self.qtbot.wait(30)
        self.qtbot.waitUntil(lambda: all(layer.loaded for layer in self.viewer.layers), timeout=10_000)
        return self.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)

    def settled(self):
        """Likewise, once the tiles of the slide have come."""
        seen = [self.look(), self.look()]
        for _ in range(40):
            if np.array_equal(seen[-1], seen[-2]):
                break
            seen.append(self.look())
        return seen[-1]


def extent(found):
    """First row, last row, first column and last column where there is something."""
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    assert len(rows), "nothing is there"
    return np.array([rows[0], rows[-1], columns[0], columns[-1]])


@pytest.mark.gui
class TestPlace:
    def test_overlays_lie_on_the_tissue_to_the_pixel(
        self, make_napari_viewer_proxy, squared, made_up, tmp_path, qtbot, settled
    ):
        viewer = make_napari_viewer_proxy(show=True)
        viewer.window.resize(1000, 800)
        viewer.open(str(squared), plugin="napari-wsimil")
        settled(viewer)
        slide = facts(viewer.layers[0])["slide"]
        assert slide.mpp == pytest.approx((0.5, 0.4))
        eyes = Eyes(viewer, qtbot)
        viewer.canvas.overlays.scale_bar.visible = False
        viewer.canvas.background_color_override = "white"
        for stride in (128, 32):
            prediction = covering(slide, made_up, stride)
            if stride == 32:
                viewer.open(str(prediction.save(tmp_path / "saved.prediction.h5")), plugin="napari-wsimil")
            else:
                show_prediction(viewer, prediction, top=0)
            self.check(viewer, eyes, stride)

    def check(self, viewer, eyes, stride):
        made = {facts(layer)["kind"]: layer for layer in viewer.layers if f"every {stride} px" in layer.name}
        for layer in made.values():
            layer.visible = False
        made["attention"].colormap, made["attention"].contrast_limits = "green", (0, 1e-9)
        for layer in made.values():
            layer.opacity = 1.0
        # screen px per µm: a patch of 64 x 51 µm is from 0.5 to 190 px large
        views = [(0.008, 1.5), (0.1, 1.5), (0.77, 1.5), (3.0, 1.0)]
        for zoom, centre in views if stride == 128 else views[::2]:
            viewer.scene.camera.zoom = zoom
            viewer.scene.camera.center = (centre * SQUARE * 0.4, centre * SQUARE * 0.5)
            plain = eyes.settled()
            dark = extent(plain.mean(axis=2) < 135)
            for kind in ("attention", "tissue"):
                made[kind].visible = True
                covered = extent(np.abs(eyes.look() - plain).max(axis=2) > 30)
                made[kind].visible = False
                assert np.abs(covered - dark).max() <= 1, (stride, kind, zoom, covered, dark)
            made["anchors"].visible = True
            made["anchors"].text.visible = False  # the number stands above the box
            outline = extent(np.abs(eyes.look() - plain).max(axis=2) > 60)
            made["anchors"].visible = False
            assert np.abs(outline - dark).max() <= 2.5, (stride, "anchors", zoom, outline, dark)

    def test_boxes_keep_their_width_and_numbers_only_where_readable(self, viewer_model, prediction):
        fine = replace(prediction.attention[0.5], size_level0=128.0, stride_level0=128.0)
        coarse = PatchSet(prediction.attention[0.5].xy[:2], 256.0, np.ones(2, np.float32))
        whole = replace(prediction, anchors=coarse, zoom={1.0: coarse}, attention={0.5: fine}, instances={})
        for data in prediction_layers(whole):
            viewer_model.layers.append(Layer.create(*data))
        boxes = [layer for layer in viewer_model.layers if "side" in facts(layer)]
        assert [facts(layer)["kind"] for layer in boxes] == ["anchors", "zoom", "zoom", "top"]
        viewer_model.scene.camera.zoom = 2.0
        keep_readable(viewer_model)
        keep_readable(viewer_model)
        for zoom, numbered in ((2.0, True), (0.01, False), (5.0, True)):
            viewer_model.scene.camera.zoom = zoom
            for layer in boxes:
                on_screen = layer.edge_width[0] * 0.5 * zoom
                side = facts(layer)["side"] * 0.5 * zoom
                assert on_screen == pytest.approx(min(facts(layer)["width"], 0.15 * side), rel=0.26)
                assert layer.text.visible == numbered


@pytest.mark.gui
class TestPanel:
    @pytest.fixture
    def shown(self, make_napari_viewer_proxy, sample, prediction, qtbot):
        """A window with a slide, a result and the panel."""
        viewer = make_napari_viewer_proxy(show=True)
        viewer.window.resize(1280, 800)
        viewer.open(str(sample), plugin="napari-wsimil")
        panel = OverlayPanel(viewer)
        viewer.window.add_dock_widget(panel, name="Overlays", area="right")
        assert not panel.isVisible(), "no result yet"
        show_prediction(viewer, prediction, top=3)
        qtbot.waitUntil(lambda: len(panel.rows) == 4, timeout=5000)
        assert panel.isVisible()
        return viewer, panel

    def test_every_control(self, shown, prediction, qtbot):
        from qtpy.QtCore import Qt

        viewer, panel = shown
        eyes = Eyes(viewer, qtbot)

        def press(button):
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

        assert [row.name.text() for row in panel.rows] == [
            "Top regions",
            "Attention",
            "Tumour probability",
            "Normal probability",
        ]
        row = panel.row("attention")
        layer = viewer.layers["Attention – made-up"]
        shown_at_first = eyes.settled()

        # the eye, here and in napari's own list
        press(row.eye)
        assert not layer.visible
        assert np.abs(eyes.look() - shown_at_first).max() > 30
        layer.visible = True
        assert row.eye.isChecked()
        np.testing.assert_array_equal(eyes.look(), shown_at_first)

        # opacity by key, and from outside
        row.opacity.setFocus()
        qtbot.keyClick(row.opacity, Qt.Key.Key_PageUp)
        assert layer.opacity == pytest.approx(0.65)
        layer.opacity = 0.4
        assert row.opacity.value() == 40

        self.check_details(row, layer, eyes, press, qtbot)
        self.check_legend(viewer, panel, layer, eyes, press)

        # all at once, and those that were shown before again
        press(panel.eye)
        assert not any(one.visible for one in viewer.layers[1:])
        assert not panel.eye.isChecked()
        assert not viewer.canvas.overlays[NAME].visible, "no legend of nothing"
        press(panel.eye)
        assert [facts(one)["kind"] for one in viewer.layers[1:] if one.visible] == ["attention", "top"]
        assert panel.row("instances").eye.isChecked() is False

        # a layer that goes takes its row with it
        viewer.layers.remove(viewer.layers["Normal probability – made-up"])
        qtbot.waitUntil(lambda: len(panel.rows) == 3, timeout=3000)
        press(panel.remove)
        assert len(viewer.layers) == 1
        qtbot.waitUntil(lambda: not panel.isVisible(), timeout=3000)
        assert not viewer.canvas.overlays[NAME].visible

    def check_details(self, row, layer, eyes, press, qtbot):
        from qtpy.QtCore import Qt

        assert row.details is None, "made when it is wanted"
        press(row.arrow)
        details = row.details
        assert details.isVisible()
        raw = layer.data.copy()

        def choose(combo, text):
            combo.setFocus()
            while combo.currentText() != text:
                before = combo.currentIndex()
                qtbot.keyClick(combo, Qt.Key.Key_Down)
                assert combo.currentIndex() == before + 1, f"no {text}"
            return eyes.look()

        warm = eyes.look()
        assert np.abs(choose(details.colours, "cividis") - warm).max() > 20
        assert layer.colormap.name == "cividis"
        layer.colormap = "magenta"
        assert details.colours.currentText() == "magenta", "chosen in napari's own controls"
        layer.colormap = "gray"

        before = eyes.look()
        assert np.abs(choose(details.scale, "percentile (rank)") - before).max() > 20
        np.testing.assert_allclose(layer.data.max(), 100)
        assert "percentile" in details.threshold.toolTip()
        assert details.threshold.maximum() == 100
        before = eyes.look()
        details.threshold.setValue(70)
        assert np.isnan(layer.data).sum() == 20
        assert np.abs(eyes.look() - before).max() > 20
        details.threshold.setValue(0)
        assert not np.isnan(layer.data).any()
        choose_back = eyes.look()
        np.testing.assert_array_equal(choose_back, before)
        press(details.smooth)
        assert layer.interpolation2d == "linear"
        assert np.abs(eyes.look() - before).max() > 5
        layer.interpolation2d = "nearest"
        assert not details.smooth.isChecked()
        details.scale.setFocus()
        qtbot.keyClick(details.scale, Qt.Key.Key_Up)
        np.testing.assert_array_equal(layer.data, raw)
        press(row.arrow)
        assert not details.isVisible()

    def check_legend(self, viewer, panel, layer, eyes, press):
        words = viewer.canvas.overlays[NAME]
        assert words.visible
        assert words.text == "Attention, up to 0.063"
        assert layer.colorbar.visible
        layer.contrast_limits = (0, 0.00002)
        assert words.text == "Attention, up to 0.00002"
        on = eyes.look()
        press(panel.legend)
        assert not layer.colorbar.visible
        changed = np.abs(eyes.look() - on).max(axis=2) > 20
        first, last, left, right = extent(changed)
        assert last - first > 120, "the bar is that high"
        assert right - left > 30
        assert last < changed.shape[0] - 100, "it is not over the scale bar"
        press(panel.legend)
        set_scaling(layer, "percentile")
        assert words.text == "Attention, percentile"
        set_scaling(layer, "raw")
        other = viewer.layers["Tumour probability – made-up"]
        other.visible = True
        assert words.text.startswith("Attention"), "the active layer's"
        viewer.layers.selection.active = other
        assert words.text == "P(tumour)"
        assert (other.colorbar.visible, layer.colorbar.visible) == (True, False)
        other.visible = False
        assert words.text.startswith("Attention"), "the topmost that is shown"
        viewer.layers.selection.active = layer

    def test_predicting_again_keeps_the_looks(self, shown, prediction, made_up, qtbot):
        viewer, panel = shown
        row = panel.row("attention")
        row.unfold()
        row.details.scale.setCurrentIndex(1)
        row.details.scale.activated.emit(1)
        row.opacity.setValue(90)
        panel.row("top").eye.click()
        live = LiveHeatmap(viewer)
        live.begin(viewer.layers[0], "made-up")
        scores = prediction.attention[0.5]
        from napari_wsimil.inference.progress import Provisional
        from napari_wsimil.widgets.live import draw

        live.show(draw(Provisional(0.5, scores), (0.5, 0.5)))
        assert not viewer.layers["Attention – made-up"].visible
        again = replace(prediction, attention={0.5: replace(scores, values=scores.values[::-1].copy())})
        show_prediction(viewer, again, top=3)
        live.end()
        layer = viewer.layers["Attention – made-up"]
        assert facts(layer)["prediction"] is again
        assert layer.visible
        assert layer.opacity == pytest.approx(0.9)
        assert look_of(layer)["scaling"] == "percentile"
        np.testing.assert_allclose(layer.data.ravel(), np.arange(30, 0, -1) / 0.3, rtol=1e-6)
        assert not viewer.layers["Top regions – made-up"].visible
        qtbot.waitUntil(lambda: panel.rows[0].layer in viewer.layers, timeout=3000)
        assert panel.row("attention").unfolded, "the controls that were open stay open"
        assert panel.row("attention").details.scale.currentData() == "percentile"
        # another theme: the eyes are drawn anew
        before = panel.eye.icon().cacheKey()
        viewer.theme = "light"
        assert panel.eye.icon().cacheKey() != before
