"""What the docks of a viewer look at together, and where docks stand."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import Qt

from napari_wsimil.patches import Patch
from napari_wsimil.slides import open_slide
from napari_wsimil.widgets.docks import AREAS, TABS, dock_around, open_dock
from napari_wsimil.widgets.layers import prediction_layers
from napari_wsimil.widgets.recipes import Recipe
from napari_wsimil.widgets.results import show_prediction
from napari_wsimil.widgets.session import MOST_DEEDS, session_of
from napari_wsimil.widgets.slide_layer import set_mpp, slide_layer


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def slides(sample, no_mpp):
    with open_slide(sample) as one, open_slide(no_mpp, mpp=0.5) as other:
        yield one, other


def show(viewer, slide):
    return viewer.add_layer(Layer.create(*slide_layer(slide)))


def predicted(viewer, prediction):
    return [viewer.add_layer(Layer.create(*layer)) for layer in prediction_layers(prediction)]


def heard(signal):
    values = []
    signal.connect(values.append)
    return values


def test_there_is_one_for_a_viewer(viewer):
    assert session_of(viewer) is session_of(viewer)
    assert session_of(ViewerModel()) is not session_of(viewer)


def test_the_slide_is_the_selected_one_else_the_one_before(viewer, slides):
    session = session_of(viewer)
    changes = heard(session.slide_changed)
    one, other = show(viewer, slides[0]), show(viewer, slides[1])
    assert session.slide_layer is other
    assert session.slide is slides[1]
    viewer.layers.selection.active = one
    assert changes == [one, other, one]
    viewer.add_layer(Image(np.ones((4, 4))))
    assert session.slide_layer is one, "what is of no slide changes nothing"
    viewer.layers.remove(one)
    assert session.slide_layer is other
    viewer.layers.clear()
    assert session.slide_layer is session.slide is None


def test_another_pixel_size_is_another_slide(viewer, slides):
    layer = show(viewer, slides[0])
    session = session_of(viewer)
    changes = heard(session.slide_changed)
    slide = set_mpp(layer, 0.25)
    assert changes == [layer]
    assert session.slide is slide


def test_the_prediction_is_that_of_the_active_layer_or_the_chosen_one(viewer, slides, made_up):
    session = session_of(viewer)
    changes, all_changes = heard(session.prediction_changed), heard(session.predictions_changed)
    layer = show(viewer, slides[0])
    first, second = made_up(slides[0]), made_up(slides[0], model="other", seed=1)
    layers = predicted(viewer, first)
    predicted(viewer, second)
    assert [id(one) for one in session.predictions] == [id(second), id(first)]
    assert session.prediction is second
    viewer.layers.selection.active = layers[0]
    assert session.prediction is first
    viewer.layers.selection.active = layer
    assert session.prediction is first, "the slide itself points at none"
    session.choose_prediction(second)
    assert [id(one) for one in changes] == [id(one) for one in (first, second, first, second)]
    assert len(all_changes) == 2
    show(viewer, slides[1])
    assert session.prediction is None
    session.choose_slide(layer)
    assert viewer.layers.selection.active is layer
    assert session.prediction is not None


def test_a_result_of_another_slide_does_not_take_the_user_there(viewer, slides, made_up):
    session = session_of(viewer)
    show(viewer, slides[0])
    other = show(viewer, slides[1])
    changes = heard(session.slide_changed)
    show_prediction(viewer, made_up(slides[0]), 10)
    assert viewer.layers.selection.active is other
    assert changes == []


def test_a_patch_is_pointed_out_until_the_slide_changes(viewer, slides):
    session = session_of(viewer)
    show(viewer, slides[0])
    chosen = heard(session.patch_chosen)
    patch = Patch(0.5, 256, 512, 128)
    session.choose_patch(patch)
    session.choose_patch(patch)
    show(viewer, slides[1])
    assert chosen == [patch, None]
    assert patch.centre == (320, 576)
    assert patch.box == (256, 512, 384, 640)


def test_what_was_done_is_remembered_newest_first_and_once(viewer):
    session = session_of(viewer)
    told = heard(session.done)
    deeds = [Recipe(str(number), "", "") for number in range(MOST_DEEDS + 2)]
    for deed in deeds:
        session.did(deed)
    session.did(deeds[5])
    assert told == [*deeds, deeds[5]]
    assert session.deeds[:2] == [deeds[5], deeds[-1]]
    assert len(session.deeds) == MOST_DEEDS
    assert session.deeds.count(deeds[5]) == 1


def test_docks_stand_in_their_place_behind_each_other(window, qtbot):
    w = window()
    for name, area in AREAS.items():
        dock = dock_around(open_dock(w.viewer, name))
        main = dock.parentWidget()
        qtbot.waitUntil(lambda dock=dock, name=name: dock.windowTitle() == TABS.get(name, name), timeout=3000)
        assert main.dockWidgetArea(dock) == area
    right = [name for name, area in AREAS.items() if area == Qt.DockWidgetArea.RightDockWidgetArea]
    analysis = dock_around(w.dock)
    assert {dock.windowTitle() for dock in main.tabifiedDockWidgets(analysis)} == {TABS.get(n, n) for n in right} - {"Analysis"}
    assert open_dock(w.viewer, "Slide analysis") is w.dock, "a dock that is open is not opened twice"
