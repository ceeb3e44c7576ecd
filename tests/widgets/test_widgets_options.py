"""What the fold "Options" changes about a run."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QMessageBox

import napari_wsimil as ws
from napari_wsimil.errors import WsimilError
from napari_wsimil.packages import InstalledModel
from napari_wsimil.widgets import model_chooser
from napari_wsimil.widgets.inside_shapes import DRAW_FIRST, InsideShapes
from napari_wsimil.widgets.job import prediction_steps
from napari_wsimil.widgets.kept_features import KeptFeatures
from napari_wsimil.widgets.preferences import feature_preferences
from napari_wsimil.widgets.run_options import RunOptions
from napari_wsimil.widgets.slide_layer import slide_layer

BOX = np.array([[10, 20], [10, 60], [40, 60], [40, 20]], float)
"""(row, column) in the data of a Shapes layer."""


@pytest.fixture
def viewer(sample, qapp):
    viewer = ViewerModel()
    with ws.open_slide(sample) as slide:
        data, options, _ = slide_layer(slide)
        viewer.add_image(data, **options)
        yield viewer


class TestInsideShapes:
    def test_it_says_why_it_cannot_be_ticked(self, viewer, qtbot):
        inside = InsideShapes(viewer)
        qtbot.addWidget(inside)
        assert not inside.box.isEnabled()
        assert inside.hint.text() == DRAW_FIRST
        shapes = viewer.add_shapes(units=("um", "um"))
        shapes.add_paths([BOX[:3]])
        assert not inside.box.isEnabled(), "a line has no inside"
        shapes.add_polygons([BOX])
        assert inside.box.isEnabled()
        assert inside.box.text() == "Only inside the drawn shape"
        assert inside.hint.isHidden()
        inside.box.setChecked(True)
        viewer.layers.remove(shapes)
        assert not inside.box.isEnabled()
        assert not inside.box.isChecked()
        assert inside.outlines(viewer.layers[0]) is None

    def test_selected_shapes_else_all_of_the_layer(self, viewer, qtbot):
        inside = InsideShapes(viewer)
        qtbot.addWidget(inside)
        shapes = viewer.add_shapes([BOX, BOX + 100, BOX + 200], shape_type="polygon", units=("um", "um"), name="Mine")
        assert inside.outlines(viewer.layers[0]) is None, "not ticked"
        inside.box.setChecked(True)
        assert inside.box.text() == "Only inside the 3 drawn shapes"
        assert len(inside.outlines(viewer.layers[0])) == 3
        shapes.selected_data = {1}
        assert len(inside.outlines(viewer.layers[0])) == 1
        assert inside.box.text() == "Only inside the selected shape"
        assert "“Mine”" in inside.box.toolTip()
        viewer.layers.selection.active = viewer.layers[0]
        assert len(inside.outlines(viewer.layers[0])) == 1, "of the topmost Shapes layer where another kind is active"

    @pytest.mark.parametrize("placed", [{}, {"scale": (2.0, 4.0), "translate": (7.0, -3.0)}, {"rotate": 90}])
    def test_outlines_are_level_0_pixels_however_the_layers_are_placed(self, viewer, qtbot, placed):
        inside = InsideShapes(viewer)
        qtbot.addWidget(inside)
        viewer.add_shapes([BOX], shape_type="rectangle", units=("um", "um"), **placed)
        inside.box.setChecked(True)
        (outline,) = inside.outlines(viewer.layers[0])
        rows, columns = BOX.T
        if "scale" in placed:
            rows, columns = rows * 2 + 7, columns * 4 - 3
        if "rotate" in placed:
            rows, columns = -columns, rows
        np.testing.assert_allclose(outline, np.stack([columns / 0.5 + 0.5, rows / 0.5 + 0.5], axis=1), atol=1e-6)

    def test_units_are_minded(self, viewer, qtbot):
        inside = InsideShapes(viewer)
        qtbot.addWidget(inside)
        viewer.add_shapes([BOX], shape_type="rectangle", units=("mm", "mm"), scale=(0.001, 0.001))
        inside.box.setChecked(True)
        (outline,) = inside.outlines(viewer.layers[0])
        np.testing.assert_allclose(outline[0], (40.5, 20.5), atol=1e-6)

    def test_an_ellipse_is_round(self, viewer, qtbot):
        inside = InsideShapes(viewer)
        qtbot.addWidget(inside)
        viewer.add_shapes([BOX], shape_type="ellipse", units=("um", "um"))
        inside.box.setChecked(True)
        (outline,) = inside.outlines(viewer.layers[0])
        x, y = (np.array(outline) - (80.5, 50.5)).T / np.array([[40.0], [30.0]])
        np.testing.assert_allclose(np.hypot(x, y), 1, atol=1e-3)
        assert len(outline) > 30


class TestRunOptions:
    def test_untouched_they_are_as_the_model_was_trained(self, viewer, qtbot):
        from napari_wsimil.inference.options import PatchOptions

        options = RunOptions(viewer)
        qtbot.addWidget(options)
        settings = options.settings(viewer.layers[0])
        assert PatchOptions(**settings.pop("choices")) == PatchOptions()
        assert settings == {"precision": "auto", "compiled": False}

    def test_each_gets_into_the_run(self, viewer, qtbot):
        options = RunOptions(viewer)
        qtbot.addWidget(options)
        viewer.add_shapes([BOX], shape_type="rectangle", units=("um", "um"))
        for combo, text in ((options.overlap, "50 %"), (options.stain, "Macenko"), (options.precision, "Full")):
            combo.setCurrentText(text)
        options.mpps.setText("0.5; 1,")
        options.tissue_only.click()
        options.inside.box.click()
        options.compiled.click()
        settings = options.settings(viewer.layers[0])
        inside = settings["choices"].pop("inside")
        assert settings == {
            "choices": {"overlap": 0.5, "mpps": (0.5, 1.0), "tissue_only": False, "stain": "macenko"},
            "precision": "fp32",
            "compiled": True,
        }
        assert inside[0][0] == pytest.approx((40.5, 20.5))

    def test_a_typing_error_is_a_sentence(self, viewer, qtbot):
        options = RunOptions(viewer)
        qtbot.addWidget(options)
        options.mpps.setText("20x")
        with pytest.raises(WsimilError, match="“20x” under Magnification is no list of µm per pixel"):
            options.settings(viewer.layers[0])


class TestKeptFeatures:
    def stored(self, cache, size=5000):
        """A file like those of the store."""
        folder = cache / "features" / "20x_256px_0px_overlap-0123abcd" / "features_net-0123abcd"
        folder.mkdir(parents=True)
        (folder / "slide-0123456789ab.h5").write_bytes(bytes(size))
        return folder / "slide-0123456789ab.h5"

    def test_choices_are_preferences(self, qtbot):
        kept = KeptFeatures()
        qtbot.addWidget(kept)
        assert kept.keep_bytes == 20 * 10**9
        kept.most.setValue(3)
        assert feature_preferences().most_gb == 3
        assert kept.keep_bytes == 3 * 10**9
        kept.keep.click()
        assert not feature_preferences().keep
        assert kept.keep_bytes is None
        feature_preferences().keep = True
        assert kept.keep.isChecked(), "changed in napari's own window"

    def test_what_is_kept_can_be_cleared(self, qtbot, own_cache):
        path = self.stored(own_cache)
        kept = KeptFeatures()
        qtbot.addWidget(kept)
        kept.show()
        qtbot.waitUntil(kept.clear_button.isEnabled, timeout=20_000)
        assert kept.amount.text().endswith("kB")
        kept.set_running(True)
        assert not kept.clear_button.isEnabled()
        kept.set_running(False)
        qtbot.waitUntil(kept.clear_button.isEnabled, timeout=20_000)
        kept.clear_button.click()
        box = kept.findChild(QMessageBox)
        assert path.exists(), "nothing goes without a question"
        next(button for button in box.buttons() if button.text() == "Delete").click()
        qtbot.waitUntil(lambda: kept.amount.text() == "nothing", timeout=20_000)
        assert not path.exists()
        assert not kept.clear_button.isEnabled()


def outcome(steps):
    """Run a job to its end: (prediction, patches that were encoded, as far as it told)."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen


@pytest.fixture(scope="module")
def slide(sample):
    with ws.open_slide(sample) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(slide, random_model):
    def predict(keep_bytes=None, precision="fp32", compiled=False, **choices):
        steps = prediction_steps(
            slide,
            random_model.source,
            choices=choices,
            keep_bytes=keep_bytes,
            device="cpu",
            focus=None,
            provisional=None,
            precision=precision,
            compiled=compiled,
        )
        return outcome(steps)[0]

    return predict


@pytest.fixture(scope="module")
def plain(run):
    return run()


class TestRealRuns:
    """Options change the real prediction, by way of the function that Predict runs."""

    def test_overlap(self, run, plain):
        assert len(run(overlap=0.5).attention[0.5]) > 3 * len(plain.attention[0.5])

    def test_everywhere(self, run, plain, slide):
        everywhere = run(tissue_only=False).attention[0.5]
        assert len(everywhere) == 64 > len(plain.attention[0.5])

    def test_inside(self, run, plain):
        half = ((0.0, 0.0), (1024.0, 0.0), (1024.0, 2048.0), (0.0, 2048.0))
        inside, whole = run(inside=(half,)).attention[0.5], plain.attention[0.5]
        left = whole.xy[:, 0] + whole.size_level0 / 2 < 1024
        assert 0 < left.sum() < len(whole)
        np.testing.assert_array_equal(inside.xy, whole.xy[left])

    def test_magnifications(self, run):
        assert sorted(run(mpps=(0.5, 1.0)).attention) == [0.5, 1.0]

    def test_stain(self, run, plain):
        stained = run(stain="macenko")
        np.testing.assert_array_equal(stained.attention[0.5].xy, plain.attention[0.5].xy)
        assert not np.allclose(stained.attention[0.5].values, plain.attention[0.5].values, rtol=1e-4)

    def test_precision_and_compiling(self, run, monkeypatch):
        from napari_wsimil.encoders import Encoder

        asked = []

        def tuned(encoder, precision="auto", *, compiled=False):
            asked.append((precision, compiled))
            return encoder

        monkeypatch.setattr(Encoder, "tuned", tuned)
        run(precision="auto")
        run(precision="fp32", compiled=True)
        # measured while the tissue is found, then asked for again
        assert list(dict.fromkeys(asked)) == [("auto", False), ("fp32", True)]

    def test_features_are_kept_where_wanted(self, run, plain, own_cache):
        run()
        assert not list(own_cache.rglob("*.h5"))
        first = run(keep_bytes=10**9)
        (path,) = own_cache.rglob("*.h5")
        assert path.is_relative_to(own_cache / "features")
        np.testing.assert_allclose(first.attention[0.5].values, plain.attention[0.5].values, rtol=1e-5)
        run(keep_bytes=10**9, stain="reinhard")
        assert len(list(own_cache.rglob("*.h5"))) == 2
        run(keep_bytes=1)
        assert len(list(own_cache.rglob("*.h5"))) == 1, "trimmed before the job"


def test_a_model_stays_chosen_when_the_list_grows_around_it(qtbot, monkeypatch, package):
    found = [InstalledModel(name, Path(name), None) for name in ("bundled", "/models/other", "/models/third")]
    ready = Event()
    monkeypatch.setattr(model_chooser, "survey", lambda: (found, "cpu") if ready.wait(30) else None)
    chooser = model_chooser.ModelChooser()
    qtbot.addWidget(chooser)
    chooser.add_folder(str(package))
    ready.set()
    qtbot.waitUntil(lambda: chooser.model_combo.count() == 5)
    assert chooser.model == str(package)
    chooser.model_combo.setCurrentIndex(chooser.model_combo.findData(model_chooser.CHOOSE))
    assert chooser.model == str(package), "a dialog asks for a folder meanwhile"
