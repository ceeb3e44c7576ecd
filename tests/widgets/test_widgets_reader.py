"""What napari is given for a path: slides, saved predictions, or one sentence. No window."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import tifffile
from napari.layers import Layer

import napari_wsimil as ws
from napari_wsimil.widgets import reader
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.writer import write_prediction


def read(path):
    found = reader.get_reader(str(path))
    return None if found is None else found(str(path))


def test_a_slide_is_one_layer(sample, told):
    ((data, options, kind),) = read(sample)
    assert kind == "image"
    assert options["name"] == "sample"
    assert data[0].shape == (2048, 2048, 3)
    assert told() == []


def test_ordinary_files_are_left_to_others(tmp_path):
    picture, notes = tmp_path / "picture.tif", tmp_path / "notes.dcm"
    tifffile.imwrite(picture, np.zeros((32, 32), np.uint8))
    notes.write_text("not DICOM")
    (tmp_path / "folder").mkdir()
    for path in (picture, notes, tmp_path / "folder", tmp_path / "missing.dcm"):
        assert reader.get_reader(str(path)) is None
    assert reader.get_reader([str(picture), str(picture)]) is None


@pytest.mark.parametrize("content", [b"", b"just a text\n", b"II*\0" + b"\xff" * 60])
@pytest.mark.parametrize("name", ["broken.svs", "broken.tiff"])
def test_a_broken_slide_is_one_sentence(tmp_path, told, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    assert read(path) == reader.NOTHING
    (sentence,) = told()
    assert name in sentence
    assert "\n" not in sentence
    assert "Traceback" not in sentence


@pytest.mark.parametrize("name", ["broken.svs", "unreadable.svs", "unopenable.tiff"])
def test_real_broken_files_are_one_sentence(real_data, told, name):
    path = real_data(f"slides/broken/{name}")
    assert read(path) == reader.NOTHING
    (sentence,) = told()
    assert name in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "name", ["cmu1_small_region.svs", "cmu1_jp2.tiff", "dicom_cmu", "ome/bfconvert_JPEG.ome.tiff", "boxes.tiff"]
)
def test_real_slides_are_claimed_by_content(real_data, name):
    assert reader.get_reader(str(real_data(f"slides/{name}"))) is reader.read_slide


def test_a_pixel_size_that_is_implausible_is_told_once(real_data, told):
    read(real_data("slides/cmu1_jpeg_wrong_mpp.tiff"))
    (sentence,) = told()
    assert re.search(r"0\.00\d* ?µm", sentence)


def test_a_slide_without_pixel_size_is_in_pixels_and_says_so(no_mpp, told):
    ((data, options, kind),) = read(no_mpp)
    layer = Layer.create(data, options, kind)
    assert tuple(layer.scale) == (1.0, 1.0)
    assert {str(unit) for unit in layer.units} == {"pixel"}
    assert len(told()) == 1


@pytest.fixture
def saved(sample, made_up, tmp_path):
    with ws.open_slide(sample) as slide:
        prediction = made_up(slide)
    return prediction, prediction.save(tmp_path / "result.prediction.h5")


def test_a_saved_prediction_restores_slide_and_layers(saved):
    prediction, path = saved
    layers = [Layer.create(*layer) for layer in read(path)]
    assert [facts(layer)["kind"] for layer in layers] == ["slide", "instances", "instances", "attention", "top"]
    attention = layers[3]
    np.testing.assert_allclose(attention.data[4], prediction.attention[0.5].values[24:])
    assert tuple(attention.scale) == (128.0, 128.0)
    assert attention.name == "Attention – made-up"


def test_a_moved_slide_is_found_beside_its_prediction_and_a_lost_one_is_told(sample, made_up, tmp_path, told):
    slide = shutil.copy(sample, tmp_path / "moved.tiff")
    with ws.open_slide(slide) as opened:
        prediction = made_up(opened)
    path = prediction.save(tmp_path / "elsewhere.prediction.h5")
    shutil.move(slide, tmp_path / "gone.tiff")
    assert len(read(path)) == 4
    assert "moved.tiff was not found" in told()[0]
    other = tmp_path / "other"
    other.mkdir()
    shutil.move(tmp_path / "gone.tiff", other / "moved.tiff")
    assert len(read(shutil.move(path, other / path.name))) == 5


def test_a_broken_prediction_is_one_sentence(tmp_path, told):
    path = tmp_path / "broken.prediction.h5"
    path.write_bytes(b"nothing")
    assert read(path) == reader.NOTHING
    assert len(told()) == 1
    assert "broken.prediction.h5" in told()[0]


@pytest.mark.parametrize("suffix", [".geojson", ".csv", ".prediction.h5"])
def test_saving_our_layers_writes_their_prediction(saved, tmp_path, suffix):
    _, path = saved
    layers = [Layer.create(*layer).as_layer_data_tuple() for layer in read(path)]
    target = str(tmp_path / f"out{suffix}")
    assert write_prediction(target, layers[3:4]) == [target]
    written = (tmp_path / f"out{suffix}").read_bytes()
    assert len(written) > 500
    assert write_prediction(target, layers) == [target], "the slide beside them does no harm"


def test_saving_layers_of_others_says_why_not(tmp_path, told):
    plain = Layer.create(np.zeros((4, 4)), {}, "image").as_layer_data_tuple()
    assert write_prediction(str(tmp_path / "out.csv"), [plain]) == []
    assert "belong to no prediction" in told()[0]
    assert list(tmp_path.iterdir()) == []


def test_the_sample_reports_each_per_cent(monkeypatch, tmp_path):
    from napari_wsimil.widgets import sample_data

    def paint(kind, progress, path):
        for done in range(4):
            progress(done + 1, 4)
        return path

    monkeypatch.setattr(sample_data, "make_sample_slide", paint)
    made = []

    def follow():
        made.append((yield from sample_data.paint("normal", path=tmp_path)))

    assert list(follow()) == list(range(1, 101))
    assert made == [tmp_path]
