from __future__ import annotations

import subprocess
import sys

import pytest

import napari_wsimil as ws


def in_a_fresh_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_costs_neither_torch_nor_qt():
    code = (
        "import sys, napari_wsimil, napari_wsimil.cli\n"
        "print([m for m in ('torch', 'napari', 'qtpy', 'h5py', 'dask', 'scipy') if m in sys.modules])"
    )
    assert in_a_fresh_python(code) == "[]"


def test_results_are_handled_without_torch():
    code = (
        "import sys\n"
        "from napari_wsimil import PatchScores, SlidePrediction, load_prediction\n"
        "from napari_wsimil.inference import heatmap\n"
        "print('torch' in sys.modules)"
    )
    assert in_a_fresh_python(code) == "False"


def test_everything_left_of_the_widgets_runs_without_napari_and_qt():
    names = "slides patches encoders bags mil packages inference.job exports training cohorts.jobs samples cli.commands"
    code = (
        "import sys, importlib\n"
        f"for name in '{names}'.split():\n"
        "    importlib.import_module('napari_wsimil.' + name)\n"
        "print([m for m in ('napari', 'qtpy', 'magicgui', 'superqt', 'vispy') if m in sys.modules])"
    )
    assert in_a_fresh_python(code) == "[]"


@pytest.mark.parametrize("name", [name for name in ws.__all__ if name != "__version__"])
def test_every_public_name_is_there(name):
    assert callable(getattr(ws, name))
    assert name in dir(ws)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'unheard'"):
        _ = ws.unheard


def test_predict_is_the_function_however_it_is_reached():
    import napari_wsimil.inference
    import napari_wsimil.inference.job

    assert napari_wsimil.inference.predict is ws.predict is napari_wsimil.inference.job.predict


def test_the_whole_job_through_the_public_names(tiny_slide, random_model, tmp_path):
    with ws.open_slide(tiny_slide) as slide:
        grid = ws.patch_grid(slide, mpp=0.5, size=256, tissue=ws.find_tissue(slide))
        prediction = ws.predict(slide, ws.load_model(random_model.source), device="auto")
    assert len(prediction.attention[0.5]) == len(grid)
    again = ws.load_prediction(prediction.save(tmp_path / "a.prediction.h5"))
    assert again.probabilities == prediction.probabilities
    assert ws.export(again, tmp_path / "a.geojson").stat().st_size > 0
