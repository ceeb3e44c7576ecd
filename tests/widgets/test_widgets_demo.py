"""`napari-wsimil demo`: the whole way in one window."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from napari_wsimil.widgets import demo


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_it_says_what_to_do(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert demo.run(tmp_path, headless=True) == 2
    said = capsys.readouterr().err
    assert said.startswith("There is no display")
    assert said.count("\n") == 1


@pytest.mark.gui
class TestWindow:
    @pytest.fixture(autouse=True)
    def _real_window(self, make_napari_viewer, monkeypatch, sample):
        """napari's own fixture makes the window and clears it away; the demonstration only asks for it."""
        monkeypatch.setattr("napari.Viewer", lambda **options: make_napari_viewer(show=True, **options))
        monkeypatch.setattr(demo, "_sample", lambda: sample)

    def test_headless_leaves_picture_and_files(self, monkeypatch, made_up, tmp_path, capsys):
        from napari_wsimil.widgets.analysis import SlideAnalysis

        def steps(slide, model, **_):
            yield from ()
            return made_up(slide)

        monkeypatch.setattr(SlideAnalysis, "steps", staticmethod(steps))
        assert demo.run(tmp_path / "out", headless=True) == 0
        names = ["window.png", "sample.geojson", "sample.csv", "sample.prediction.h5", "report.html", "figure.png"]
        assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in names]
        picture = np.asarray(Image.open(tmp_path / "out" / "window.png").convert("RGB"))
        assert picture.shape[0] >= 700
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 500, "the slide is drawn, not a blank window"
        assert json.loads((tmp_path / "out" / "sample.geojson").read_text())["features"]

    def test_a_failure_is_a_sentence_and_an_exit_code(self, monkeypatch, tmp_path, capsys):
        from napari_wsimil.errors import ModelError
        from napari_wsimil.widgets.analysis import SlideAnalysis

        def steps(slide, model, **_):
            yield from ()
            raise ModelError("The model is broken.")

        monkeypatch.setattr(SlideAnalysis, "steps", staticmethod(steps))
        assert demo.run(tmp_path, headless=True) == 2
        said = capsys.readouterr().err
        assert said.endswith("The model is broken.\n")
        assert "Traceback" not in said
        assert list(tmp_path.iterdir()) == []
