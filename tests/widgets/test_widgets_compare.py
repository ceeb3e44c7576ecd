"""The dock "Compare" in a real window: every control, and what is on the slide after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog

from napari_wsimil.widgets.docks import open_dock
from napari_wsimil.widgets.results import show_prediction
from napari_wsimil.widgets.session import session_of
from napari_wsimil.widgets.slide_layer import facts, is_slide

pytestmark = pytest.mark.gui


@pytest.fixture
def opened(make_napari_viewer_proxy, qtbot, sample):
    """A window with the sample slide and the dock: (viewer, dock, slide)."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1000, 680)
    viewer.open(str(sample), plugin="napari-wsimil")
    dock = open_dock(viewer, "Compare")
    yield viewer, dock, facts(viewer.layers[0])["slide"]
    from superqt.utils import WorkerBase

    WorkerBase.await_workers(20_000)


@pytest.fixture
def press(qtbot):
    def click(button):
        qtbot.waitUntil(button.isVisible, timeout=5000)
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(10, button.height() // 2))

    return click


def compared(viewer):
    """The layers of a comparison that are seen."""
    return [layer for layer in viewer.layers if facts(layer).get("kind") == "compared" and layer.visible]


def shown(viewer):
    return {layer.name: layer.visible for layer in viewer.layers}


def orange(pixels):
    """How much of a picture is orange, from 0 to 1."""
    return float(((pixels[..., 0] > 180) & (pixels[..., 1] > 80) & (pixels[..., 2] < 120)).mean())


def blue(pixels):
    """Likewise."""
    return float(((pixels[..., 2] > 180) & (pixels[..., 0] < 140)).mean())


@pytest.fixture
def sees(qtbot):
    """Wait until a test of the pixels on the canvas holds; returns them."""

    def wait(viewer, holds):
        seen = []

        def look():
            qtbot.wait(30)
            seen.append(viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int))
            return holds(seen[-1])

        qtbot.waitUntil(lambda: all(layer.loaded for layer in viewer.layers), timeout=20_000)
        qtbot.waitUntil(look, timeout=20_000)
        return seen[-1]

    return wait


def ready(qtbot, dock, before=None):
    qtbot.waitUntil(lambda: dock.comparison is not None and dock.comparison is not before, timeout=10_000)
    return dock.comparison


def test_two_models_on_one_slide(opened, qtbot, press, sees, made_up):
    viewer, dock, slide = opened
    assert "second model" in dock.hint.text()
    assert not dock.choices.isVisible()
    first, second = made_up(slide, "one"), made_up(slide, "two", seed=3)
    show_prediction(viewer, first, 5)
    show_prediction(viewer, second, 5)
    session = session_of(viewer)
    found = ready(qtbot, dock)
    before = shown(viewer)
    assert dock.choices.isVisible()
    assert not dock.hint.isVisible()
    # what was there before comes first
    assert (dock.choices.first.currentText(), dock.choices.second.currentText()) == ("one", "two")
    assert dock.figures.verdict.text() == found.verdict
    assert f"{found.spearman:.2f}" in dock.figures.verdict.text()
    table = dock.figures.table
    assert [table.item(1, column).text() for column in range(4)] == ["tumour", "80.0 %", "80.0 %", "+0.0"]
    assert "30 places" in dock.figures.details.text()
    assert not compared(viewer)

    press(dock.views["blend"])
    one, two = compared(viewer)
    assert two.opacity == one.opacity > 0
    assert not any(layer.visible for layer in viewer.layers if "prediction" in facts(layer))
    np.testing.assert_allclose(np.nanmax(one.data), 100 * (29.5 / 30))
    dock.slider.setFocus()
    qtbot.keyClick(dock.slider, Qt.Key.Key_Home)
    assert (one.opacity > 0, two.opacity) == (True, 0)
    only_first = sees(viewer, lambda picture: orange(picture) > 0.02)
    qtbot.keyClick(dock.slider, Qt.Key.Key_End)
    assert (one.opacity, two.opacity > 0) == (0, True)
    sees(viewer, lambda picture: np.abs(picture - only_first).max() > 60)
    assert dock.blending.isVisible()

    press(dock.views["difference"])
    (layer,) = compared(viewer)
    assert not dock.blending.isVisible()
    low, high = layer.contrast_limits
    assert low == -high
    np.testing.assert_allclose(layer.data.ravel()[np.isfinite(layer.data.ravel())], 100 * found.difference.values, atol=1e-3)
    assert layer.colorbar.visible
    sees(viewer, lambda picture: orange(picture) > 0.02 and blue(picture) > 0.02)
    assert session.deeds[0].title == "Compare one with two"
    assert "ws.compare(first, second)" in session.deeds[0].python
    assert "napari-wsimil compare" in session.deeds[0].command

    press(dock.choices.swap)
    swapped = ready(qtbot, dock, found)
    assert swapped.names == ("two", "one")
    np.testing.assert_allclose(swapped.difference.values, -found.difference.values)
    qtbot.waitUntil(lambda: compared(viewer)[0].name.startswith("two − one"))

    dock.choices.scale.setCurrentIndex(1)
    multiples = ready(qtbot, dock, swapped)
    assert multiples.scale == "times average"
    assert np.mean(multiples.first.values) == pytest.approx(1)
    dock.choices.what.setCurrentIndex(dock.choices.what.findText("Tumour probability"))
    instances = ready(qtbot, dock, multiples)
    assert (instances.by, instances.class_name) == ("instances", "tumour")
    assert not dock.choices.scale.isEnabled()

    # taking a layer of it away ends it
    viewer.layers.remove(compared(viewer)[0])
    qtbot.waitUntil(lambda: dock.view == "off")
    assert shown(viewer) == before
    # and the window can be closed with one on the slide
    press(dock.views["side by side"])


def test_side_by_side(opened, qtbot, press, sees, made_up):
    viewer, dock, slide = opened
    show_prediction(viewer, made_up(slide, "one"), 5)
    show_prediction(viewer, made_up(slide, "two", seed=3), 5)
    ready(qtbot, dock)
    session, grid = session_of(viewer), viewer.canvas.grid
    before, active = shown(viewer), viewer.layers.selection.active
    settings = grid.enabled, grid.stride, tuple(grid.shape), grid.spacing
    slide_layer = session.slide_layer
    press(dock.views["side by side"])
    left, right = compared(viewer)
    twin = viewer.layers[-2]
    assert facts(twin)["kind"] == "twin"
    assert not is_slide(twin)
    assert twin.data[0] is not None
    assert (session.slide_layer, len(session.predictions)) == (slide_layer, 2)
    position = {layer.name: grid.position(index, viewer.layers) for index, layer in enumerate(viewer.layers)}
    assert position[slide_layer.name] == position[left.name] == (0, 0)
    assert position[twin.name] == position[right.name] == (0, 1)

    def both(picture):
        half = picture.shape[1] // 2
        left, right = picture[:, :half], picture[:, -half:]
        return left.std() > 10 and right.std() > 10 and np.abs(left - right).mean() > 5

    sees(viewer, both)

    # what the user draws meanwhile comes to the left, and the second view stays what it is
    drawn = viewer.add_shapes([[[100, 100], [200, 200]]], name="drawn", scale=slide_layer.scale, units=slide_layer.units)
    assert list(viewer.layers)[-2:] == [twin, right]
    assert grid.position(viewer.layers.index(drawn), viewer.layers) == (0, 0)
    assert grid.position(len(viewer.layers) - 1, viewer.layers) == (0, 1)
    viewer.layers.remove(drawn)
    assert grid.position(len(viewer.layers) - 2, viewer.layers) == (0, 1)

    press(dock.views["off"])
    assert shown(viewer) == before
    assert viewer.layers.selection.active == active
    assert (grid.enabled, grid.stride, tuple(grid.shape), grid.spacing) == settings

    # napari's own button for the grid ends it
    press(dock.views["side by side"])
    grid.enabled = False
    qtbot.waitUntil(lambda: dock.view == "off")
    assert shown(viewer) == before
    # a prediction that goes takes its comparison with it
    press(dock.views["difference"])
    for layer in [layer for layer in viewer.layers if facts(layer).get("model") == "two"]:
        viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: dock.view == "off")
    assert "second model" in dock.hint.text()
    assert not compared(viewer)
    assert not grid.enabled
    assert shown(viewer) == {name: visible for name, visible in before.items() if "two" not in name}


def test_saved_predictions_and_magnifications(opened, qtbot, press, made_up, tmp_path):
    viewer, dock, slide = opened
    plain = made_up(slide, "one")
    doubled = replace(plain.attention[0.5], size_level0=2 * plain.attention[0.5].size_level0)
    coarse = replace(doubled, xy=doubled.xy * 2, stride_level0=doubled.size_level0)
    both = replace(plain, attention={0.5: plain.attention[0.5], 1.0: coarse})
    show_prediction(viewer, both, 5)
    ready(qtbot, dock)
    assert [dock.choices.first.itemText(row) for row in range(2)] == ["one at 0.5 µm/px", "one at 1 µm/px"]
    assert dock.comparison.mpps == (0.5, 1.0)
    press(dock.views["difference"])
    assert "ws.compare(prediction, prediction)" in session_of(viewer).deeds[0].python
    before = dock.comparison

    saved = made_up(slide, "one", seed=5).save(tmp_path / "again.prediction.h5")
    press(dock.add_button)
    dialog = dock.findChild(QFileDialog)
    dialog.fileSelected.emit(str(saved))
    dialog.reject()
    found = ready(qtbot, dock, before)
    assert dock.choices.second.currentText() == "one (2)"
    assert found.probabilities["tumour"] == (0.8, pytest.approx(0.8))
    # the same model twice can be compared, and what was added is no layer
    assert len(session_of(viewer).predictions) == 1

    elsewhere = replace(plain, provenance={**plain.provenance, "slide": {**plain.provenance["slide"], "fingerprint": "0"}})
    dock.add_file(str(elsewhere.save(tmp_path / "other.prediction.h5")))
    qtbot.waitUntil(lambda: "another slide" in dock.message.text())
    dock.add_file(str(tmp_path / "none.prediction.h5"))
    qtbot.waitUntil(lambda: "none.prediction.h5" in dock.message.text())

    press(dock.views["blend"])
    assert len(compared(viewer)) == 2
    viewer.window.remove_dock_widget(dock)
    assert not compared(viewer)
    assert any(layer.visible for layer in viewer.layers if facts(layer).get("kind") == "attention")
