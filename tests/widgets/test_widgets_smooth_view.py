"""Slides in a real window: rendering, resolution, scale bar, status bar, and tiles decoded ahead."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile
from napari.layers import Layer
from napari.settings import get_settings
from PIL import ImageCms
from qtpy.QtCore import QTimer

from napari_wsimil.slides import cache_info, open_slide
from napari_wsimil.widgets import locked_level, prefetch, warm_up
from napari_wsimil.widgets.place import on_slide
from napari_wsimil.widgets.preferences import AS_SCANNED, SRGB
from napari_wsimil.widgets.slide_layer import slide_layer
from napari_wsimil.widgets.slide_view import watch

pytestmark = pytest.mark.gui


@pytest.fixture
def reads(monkeypatch):
    """The level and the pixels of each read for a layer."""
    from napari_wsimil.slides import Slide

    made, read = [], Slide.read_level_window

    def spy(self, level, box, **options):
        made.append((level.index, box.width * box.height))
        return read(self, level, box, **options)

    monkeypatch.setattr(Slide, "read_level_window", spy)
    return made


def test_rendering_is_asynchronous_while_any_viewer_shows_a_slide(make_napari_viewer_proxy, sample):
    viewers = [make_napari_viewer_proxy(show=False) for _ in range(2)]
    for viewer in viewers:
        watch(viewer)
        watch(viewer)
    assert not get_settings().experimental.async_
    for viewer in viewers:
        viewer.open(str(sample), plugin="napari-wsimil")
        viewer.open(str(sample), plugin="napari-wsimil")
    states = [get_settings().experimental.async_]
    for viewer in viewers:
        viewer.layers.clear()
        states.append(get_settings().experimental.async_)
    assert states == [True, True, False]


@pytest.mark.parametrize("smooth", [True, False])
def test_a_level_too_large_to_load_whole_is_refused(window, sample, told, qtbot, monkeypatch, reads, own_preferences, smooth):
    monkeypatch.setattr(locked_level, "MOST_BYTES", 4 << 20)
    own_preferences.smooth_panning = smooth
    w = window()
    (layer,) = w.open(sample)
    w.viewer.scene.camera.zoom *= 0.1
    qtbot.waitUntil(lambda: layer.loaded and layer.data_level > 0)
    qtbot.wait(300)
    reads.clear()
    layer.locked_data_level = 0
    assert layer.locked_data_level is None
    qtbot.waitUntil(lambda: layer.loaded and layer.data_level > 0, timeout=3000)
    assert sum(size for level, size in reads if level == 0) <= 1 << 18, "no more than a tile of level 0"
    sentence = told()[-1]
    assert "Level 0 of sample (2,048 x 2,048 px, 13 MB) is too large" in sentence
    assert "lock level 1 (1,024 x 1,024 px)" in sentence
    layer.locked_data_level = 1
    qtbot.waitUntil(lambda: layer.loaded, timeout=3000)
    assert (layer.locked_data_level, layer.data_level) == (1, 1)
    assert len(told()) == len([text for text in told() if text != sentence]) + 1, "said once"
    assert np.asarray(layer.data[0]).shape == (2048, 2048, 3), "others get all pixels"


def test_three_dimensions_show_the_coarsest_level(window, sample, qtbot, reads):
    w = window()
    (layer,) = w.open(sample)
    w.viewer.scene.camera.zoom *= 8
    qtbot.waitUntil(lambda: layer.loaded and layer.data_level == 0, timeout=3000)
    reads.clear()
    w.viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: layer.loaded and layer.data_level == len(layer.data) - 1, timeout=3000)
    assert {level for level, _ in reads} <= {len(layer.data) - 1}


def test_the_scale_bar_is_shown_once(window, sample, no_mpp):
    w = window()
    bar = w.viewer.canvas.overlays.scale_bar
    w.open(no_mpp)
    assert not bar.visible
    w.open(sample)
    assert bar.visible
    assert bar.box
    bar.visible = False
    w.open(sample)
    assert not bar.visible


def test_a_typed_pixel_size_shows_the_scale_bar(window, no_mpp):
    from napari_wsimil.widgets.slide_layer import set_mpp

    w = window()
    (layer,) = w.open(no_mpp)
    set_mpp(layer, 0.25)
    assert w.viewer.canvas.overlays.scale_bar.visible


def test_places_on_a_slide_are_exact_to_the_pixel(sample):
    layer = Layer.create(*slide_layer(open_slide(sample)))
    assert on_slide(layer, (0.0, -0.25)).startswith("x 0.0 µm, y 0.2 µm  (0, 0 px)")
    assert on_slide(layer, (0.0, -0.2501)) == ""
    assert "(0, 0 px)" in on_slide(layer, (0.2499, 0.2499))
    assert "(1, 0 px)" in on_slide(layer, (0.2499, 0.2501))
    assert on_slide(layer, (100.0, 1000.0)).startswith("x 1,000.2 µm, y 100.2 µm  (2,000, 200 px)")
    assert "(2,047, 2,047 px)" in on_slide(layer, (1023.7499, 1023.7499))
    assert on_slide(layer, (0.0, 1023.7501)) == ""
    layer.data_level = 1
    assert on_slide(layer, (0.0, 0.0)).endswith("  level 1 · 1 µm/px")


def test_a_place_without_a_pixel_size(no_mpp):
    layer = Layer.create(*slide_layer(open_slide(no_mpp)))
    layer.data_level = 0
    assert on_slide(layer, (10.4, 20.6)) == "(21, 10 px)  level 0 · 1:1"


def told_in(status) -> str:
    """napari's status: words, or a dictionary for the active layer once that is loaded."""
    return status if isinstance(status, str) else status["coordinates"]


def test_the_status_bar_tells_the_place_whichever_layer_is_active(window, sample, qtbot):
    w = window()
    (layer,) = w.open(sample)
    qtbot.waitUntil(lambda: layer.loaded, timeout=3000)
    qtbot.wait(300)
    w.viewer.mouse_over_canvas = True
    w.viewer.cursor.position = (100.0, 1000.0)
    texts = []
    for active in (layer, w.viewer.add_points([[0, 0]], units=("um", "um"))):
        w.viewer.layers.selection.active = active
        for _ in range(2):
            w.viewer.update_status_from_cursor()
        texts.append(told_in(w.viewer.status))
    assert all(text.startswith("x 1,000.2 µm, y 100.2 µm  (2,000, 200 px)  level ") for text in texts)
    assert [text.count("µm/px") for text in texts] == [1, 1]
    w.viewer.layers.remove(layer)
    w.viewer.update_status_from_cursor()
    assert "µm/px" not in told_in(w.viewer.status)


class Level:
    def __init__(self, side, chunk=512):
        self.shape, self.chunks = (side, side, 3), ((chunk,), (chunk,), (3,))


def test_the_strips_around_a_window_and_its_place_one_level_coarser():
    view = prefetch.View(0, prefetch.Box(1024, 1024, 1536, 1024))
    found = list(prefetch.around(view, [Level(8192), Level(4096)], moves=(300, 0)))
    assert found[0] == (0, (2560, 1024, 512, 1024)), "ahead first"
    parents = [box for number, box in found if number == 1]
    assert parents == [(0, 0, 2048, 1536)], "around (128, 256), in whole chunks"
    covered = np.zeros((8192, 8192), np.uint8)
    for x, y, width, height in [box for number, box in found if number == 0]:
        covered[y : y + height, x : x + width] += 1
    expected = np.zeros_like(covered)
    expected[512:2560, 512:3072] = 1
    expected[1024:2048, 1024:2560] = 0
    np.testing.assert_array_equal(covered, expected)


def test_nothing_beyond_the_slide_is_asked_for():
    view = prefetch.View(1, prefetch.Box(0, 0, 700, 700))
    assert list(prefetch.around(view, [Level(1400), Level(700)])) == []
    top = prefetch.View(0, prefetch.Box(0, 0, 512, 512))
    assert all(min(box) >= 0 for _, box in prefetch.around(top, [Level(1400), Level(700)], (-1, -1)))


def test_tiles_around_the_view_are_there_before_they_are_asked_for(window, sample, qtbot, monkeypatch):
    w = window(900, 600)
    (layer,) = w.open(sample)
    done, decode = [], prefetch._decode

    def spy(steps, should_stop):
        view = prefetch.shown(layer)
        decode(steps, should_stop)
        if not should_stop():
            done.append(view)

    monkeypatch.setattr(prefetch, "_decode", spy)
    w.viewer.scene.camera.zoom = 8
    w.viewer.scene.camera.center = (0, 250, 250)
    qtbot.waitUntil(lambda: prefetch.shown(layer) in done and layer.data_level == 0 and layer.loaded)
    assert prefetch.shown(layer).window.width < 2048
    before = cache_info()
    for number, (x, y, width, height) in prefetch.around(prefetch.shown(layer), layer.data):
        np.asarray(layer.data[number][y : y + height, x : x + width])
    assert cache_info().misses == before.misses
    assert cache_info().hits > before.hits


def test_no_tiles_ahead_while_a_prediction_runs(window, sample, slow_job, qtbot, monkeypatch):
    w = window(900, 600)
    (layer,) = w.open(sample)
    qtbot.wait(400)
    rings = []
    monkeypatch.setattr(prefetch, "_decode", lambda steps, should_stop: rings.append(should_stop))
    w.dock.steps = slow_job
    w.press(w.dock.predict_button)
    qtbot.waitUntil(lambda: slow_job.done > 2, timeout=5000)
    rings.clear()
    w.viewer.scene.camera.zoom = 8
    qtbot.wait(500)
    assert rings == []
    w.press(w.dock.cancel_button)
    w.wait_end()
    qtbot.waitUntil(lambda: len(rings) > 0, timeout=4000)
    assert not rings[-1]()
    w.viewer.layers.remove(layer)
    assert rings[-1](), "stops when the layer is gone"


def with_profile(path, profile: bytes):
    pixels = np.full((1024, 1024, 3), 200, np.uint8)
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="adobe_deflate", iccprofile=profile)
    return path


def test_colours_follow_the_preference_at_once(window, tmp_path, own_preferences):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    w = window()
    (layer,) = w.open(with_profile(tmp_path / "coloured.tiff", profile))
    colours = [layer.data[0].pixels.colour]
    for choice in (SRGB, AS_SCANNED, SRGB):
        own_preferences.colours = choice
        colours.append(layer.data[0].pixels.colour)
    (later,) = w.open(with_profile(tmp_path / "later.tiff", profile))
    colours.append(later.data[0].pixels.colour)
    assert colours == ["raw", "srgb", "raw", "srgb", "srgb"]
    layer.locked_data_level = 0
    assert layer.locked_data_level == 0, "a small level"


def test_a_damaged_profile_is_said_and_left_alone(window, tmp_path, own_preferences, told):
    own_preferences.colours = SRGB
    w = window()
    (layer,) = w.open(with_profile(tmp_path / "damaged.tiff", b"no profile" * 20))
    assert layer.data[0].pixels.colour == "raw"
    assert [text for text in told() if "damaged.tiff" in text]


def test_the_window_is_drawn_while_a_slow_overview_is_made(window, sample, monkeypatch):
    w = window()
    ended = threading.Event()
    monkeypatch.setattr(warm_up, "_read_coarsest", lambda slide: ended.wait(5))
    beats = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(1) or (len(beats) == 10 and ended.set()))
    timer.start(10)
    (layer,) = w.open(sample)
    timer.stop()
    assert len(beats) >= 10, "without the event loop it would wait five seconds and count none"
    assert layer in w.viewer.layers
