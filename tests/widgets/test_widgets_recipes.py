"""What "Copy as…" puts on the clipboard: it is run, and must give what the window gave."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QPushButton

import napari_wsimil as ws
from napari_wsimil.annotations.outlines import outlines_as_wkt, outlines_from_wkt
from napari_wsimil.widgets.copying import COPIED, NOT_YET, TEXT
from napari_wsimil.widgets.recipes import (
    Code,
    Recipe,
    command_line,
    exporting,
    file_of,
    following,
    following_two,
    note_file,
    predicting,
    python_call,
)
from napari_wsimil.widgets.run_options import OVERLAPS

OUTLINES = (((0.25, 0.5), (1500.0, 0.0), (1500.0, 1300.13)), ((10.0, 10.0), (20.0, 10.0), (20.0, 20.0)))
AWKWARD = '/tmp/it\'s "my" $HOME `slide` 100% ü.svs'


@pytest.fixture
def one(tiny_slide, made_up):
    with ws.open_slide(tiny_slide) as slide:
        return made_up(slide)


def altered(prediction, **sections):
    """The prediction with other words in its provenance."""
    provenance = dict(prediction.provenance)
    for section, words in sections.items():
        provenance[section] = {**provenance[section], **words}
    return replace(prediction, provenance=provenance)


def evaluated(call, **names):
    """What `ws` was called with."""
    found = []

    class Noting:
        def __getattr__(self, _):
            return lambda *arguments, **options: found.append((arguments, options)) or found[-1]

    eval(call, {"ws": Noting(), **names})
    return found[-1]


class TestText:
    def test_python_is_what_was_meant(self):
        given = [
            AWKWARD,
            r"C:\new\slides\a.svs",
            Path("/a b"),
            np.float32(0.5),
            np.int64(3),
            True,
            None,
            ((1.5, 2),),
            [1],
            {"a": 1},
        ]
        arguments, options = evaluated(python_call("f", *given, left=None, out="x" * 100))
        assert arguments == (*given[:2], "/a b", 0.5, 3, True, None, ((1.5, 2),), [1], {"a": 1})
        assert options == {"out": "x" * 100}

    def test_a_long_call_has_a_line_for_each_argument(self):
        inner = Code(python_call("PatchOptions", overlap=0.5, inside=OUTLINES, stain="macenko" * 5))
        call = python_call("predict", "a" * 60, options=inner)
        assert [line[: len(line) - len(line.lstrip())] for line in call.splitlines()] == [
            "",
            *["    "] * 2,
            *["        "] * 3,
            "    ",
            "",
        ]
        compile(call, "recipe", "eval")

    def test_a_shell_reads_the_words_as_they_are(self):
        line = command_line(
            "predict", AWKWARD, windows=False, out="a b", at=[0.5, 1.0], whole_slide=True, store=None, json=False
        )
        words = ["napari-wsimil", "predict", AWKWARD, "--out", "a b", "--at", "0.5", "--at", "1.0", "--whole-slide"]
        assert shlex.split(line) == words

    def test_windows_quotes_as_its_programs_read(self):
        line = command_line(
            "predict", r"C:\My slides\a & b.svs", windows=True, model="C:\\models\\", inside="POLYGON ((0 0, 1 1))"
        )
        assert line == ('napari-wsimil predict "C:\\My slides\\a & b.svs" --model C:\\models\\ --inside "POLYGON ((0 0, 1 1))"')
        assert command_line("x", "C:\\a b\\", windows=True).endswith('"C:\\a b\\\\"'), "a backslash would escape the quote"

    def test_outlines_survive_as_text(self):
        assert outlines_from_wkt(outlines_as_wkt(OUTLINES)) == OUTLINES
        assert outlines_from_wkt(outlines_as_wkt(OUTLINES[:1])) == OUTLINES[:1]

    @pytest.mark.parametrize("text", ["POLYGON (", "POLYGON EMPTY", "POLYGON ((0 0, 9 0, 9 9, 0 0), (1 1, 2 1, 2 2, 1 1))"])
    def test_outlines_that_are_none(self, text):
        with pytest.raises(ws.AnnotationError, match="utlines"):
            outlines_from_wkt(text)

    def test_the_command_line_takes_outlines(self):
        from napari_wsimil.cli.options import patch_options

        found = []
        import click

        @click.command()
        @patch_options
        def command(options):
            """Do nothing."""
            found.append(options)

        result = CliRunner().invoke(command, ["--inside", outlines_as_wkt(OUTLINES)])
        assert (result.output, found) == ("", [ws.PatchOptions(inside=OUTLINES)])


class TestSteps:
    def test_only_what_differs_from_the_defaults(self, one):
        recipe = predicting(one, device="auto", precision="auto", compiled=False, store=None)
        path = one.provenance["slide"]["path"]
        assert recipe.title == "Predict tiny.tiff"
        call = recipe.python.split("prediction = ")[1].split("\nprediction.save")[0]
        assert evaluated(call) == ((path, "made-up"), {})
        assert shlex.split(recipe.command) == ["napari-wsimil", "predict", path, "--model", "made-up", "--out", "."]

    def test_a_typed_pixel_size_and_options(self, one):
        options = {"overlap": 0.5, "mpps": [1.0, 0.5], "tissue_only": False, "stain": "reinhard", "inside": "/a/drawn.xml"}
        told = altered(one, slide={"mpp": [0.3, 0.3], "mpp_source": "user"}, patches={"options": options})
        words = shlex.split(predicting(told, compiled=True, device="cpu").command)
        for expected in (
            ["--mpp", "0.3"], ["--overlap", "0.5"], ["--at", "1.0", "--at", "0.5"], ["--whole-slide"],
            ["--inside", "/a/drawn.xml"], ["--stain", "reinhard"], ["--compile"], ["--device", "cpu"],
        ):  # fmt: skip
            assert any(words[start : start + len(expected)] == expected for start in range(len(words))), expected

    def test_a_saved_prediction_is_read_and_not_made_again(self, one, tmp_path):
        unsaved = exporting(one, tmp_path / "a.geojson", threshold=0.9, top=10)
        assert (
            unsaved.command.splitlines()[1]
            == f"napari-wsimil export tiny.prediction.h5 --out {tmp_path}/a.geojson --threshold 0.9"
        )
        saved = one.save(tmp_path / "mine.prediction.h5")
        note_file(one, saved)
        recipe = exporting(one, tmp_path / "a.csv", top=10)
        assert recipe.command == f"napari-wsimil export {saved} --out {tmp_path}/a.csv"
        exec(recipe.python, {})
        assert (tmp_path / "a.csv").is_file()
        saved.unlink()
        assert file_of(one) is None

    def test_two_predictions_do_not_overwrite_each_other(self, one):
        recipe = following_two("Compare", one, one, ["print(first, second)"], "compare")
        *made, compared = [shlex.split(line) for line in recipe.command.splitlines()]
        assert [words[-1] for words in made] == ["first", "second"]
        assert compared[2:] == [str(Path(folder) / "tiny.prediction.h5") for folder in ("first", "second")]
        compile(recipe.python, "recipe", "exec")
        assert following("Look", one, ["print(prediction)"], "look").python.endswith("\nprint(prediction)\n")


def start(command, folder, shell=False):
    # the program beside this Python, wherever that is
    environment = {
        **os.environ,
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        command, cwd=folder, shell=shell, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def same(first, second):
    assert first.probabilities == pytest.approx(second.probabilities, abs=1e-6)
    options = [ws.PatchOptions.from_json(one.provenance["patches"]["options"]) for one in (first, second)]
    assert options[0] == options[1]
    assert set(first.attention) == set(second.attention)
    for mpp, scores in first.attention.items():
        np.testing.assert_array_equal(scores.xy, second.attention[mpp].xy)
        np.testing.assert_allclose(scores.values, second.attention[mpp].values, atol=1e-6)


@pytest.mark.gui
class TestWindow:
    def test_what_is_copied_gives_what_the_window_gave(self, window, tiny_slide, package, tmp_path, monkeypatch, run, qtbot):
        w = window()
        assert not w.dock.copy_button.isEnabled()
        assert w.dock.copy_button.toolTip() == NOT_YET
        (slide,) = w.open(tiny_slide)
        w.dock.models.add_folder(package)
        w.viewer.add_shapes(
            [np.array([[120.3, 130.1], [122.7, 600.2], [480.2, 590.9], [500.3, 150.4]])],
            shape_type="polygon",
            units=slide.units,
        )
        w.dock.options.inside.box.setChecked(True)
        w.dock.options.overlap.setCurrentIndex([share for _, share in OVERLAPS].index(0.5))
        w.dock.options.stain.setCurrentIndex(2)
        w.press(w.dock.predict_button)
        w.wait_end()
        assert w.dock.message.text() == ""
        prediction = w.dock.prediction
        w.dock.export(str(tmp_path / "all of it.csv"))
        qtbot.waitUntil(lambda: len(w.dock._session.deeds) == 2, timeout=10_000)
        export, predict = w.dock._session.deeds
        assert [export.title, predict.title] == ["Export all of it.csv", "Predict tiny.tiff"]
        places = [tmp_path / name for name in ("python", "shell")]
        for place in places:
            place.mkdir()
        started = [start([sys.executable, "-c", predict.python], places[0]), start(predict.command, places[1], shell=True)]
        for process in started:
            _, complaint = process.communicate(timeout=120)
            assert process.returncode == 0, complaint
        for place in places:
            same(ws.load_prediction(place / "tiny.prediction.h5"), prediction)
        scores = prediction.attention[0.5]
        assert scores.stride_level0 == scores.size_level0 / 2
        first, second = export.command.splitlines()
        assert first.startswith("napari-wsimil predict ")
        before = (tmp_path / "all of it.csv").read_bytes()
        (tmp_path / "all of it.csv").unlink()
        monkeypatch.chdir(places[1])
        assert run(*shlex.split(second)[1:])[0] == 0
        assert (tmp_path / "all of it.csv").read_bytes() == before

    def test_the_button(self, window, qtbot, monkeypatch):
        w = window()
        button, session = w.dock.copy_button, w.dock._session
        w.dock.result.setVisible(True)
        session.did(Recipe("Predict a & b.svs", "python 1", "command 1"))
        session.did(Recipe("Export c.csv", "python 2", "command 2"))
        assert button.isEnabled()
        assert "Export c.csv" in button.toolTip()

        texts = []
        monkeypatch.setattr(button, "setText", lambda text: texts.append(text) or QPushButton.setText(button, text))

        def choose():
            menu = QApplication.activePopupWidget()
            if menu is None:  # a key for no widget would end Python
                return
            timer.stop()
            qtbot.keyClick(menu, Qt.Key.Key_Down)
            qtbot.keyClick(menu, Qt.Key.Key_Down)
            qtbot.keyClick(menu, Qt.Key.Key_Return)

        timer = QTimer(button)
        timer.timeout.connect(choose)
        timer.start(50)
        w.press(button)
        qtbot.waitUntil(lambda: QGuiApplication.clipboard().text() == "command 2")
        assert texts[0] == COPIED
        before = [action for action in button.menu().actions() if action.menu()]
        assert [action.text() for action in before] == ["Predict a && b.svs"]
        before[0].menu().actions()[0].trigger()
        assert QGuiApplication.clipboard().text() == "python 1"
        qtbot.waitUntil(lambda: button.text() == TEXT)
