"""Which slides are meant by folders, lists and manifests."""

from __future__ import annotations

import pytest

import napari_wsimil as ws
from napari_wsimil.cohorts.slides import named_slides
from napari_wsimil.slides import slide_kind


def names(found):
    return [slide.name for slide in found]


def test_folders_are_searched(tmp_path, tiny_slide):
    for place in ("b.tiff", "deep/er/a.tiff", "deep/b.tiff", ".hidden/c.tiff", "._b.tiff"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(tiny_slide.read_bytes())
    for other in ("notes.txt", "deep/thumbnail.png", "old.prediction.h5"):
        (tmp_path / other).write_text("no slide")
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    # what only slides are called is one, so that it is reported, whatever its content
    (tmp_path / "cut.svs").touch()
    found = ws.find_slides(tmp_path)
    assert [str(slide.path.relative_to(tmp_path)) for slide in found] == ["b.tiff", "cut.svs", "deep/b.tiff", "deep/er/a.tiff"]
    assert names(found) == ["b", "cut", "b-2", "a"]
    assert ws.find_slides([tmp_path, tmp_path / "b.tiff"]) == found


def test_folders_of_dicom_and_zarr_are_one_slide_each(tmp_path, tiny_slide):
    dicom, zarr = tmp_path / "series", tmp_path / "image.zarr"
    dicom.mkdir()
    for number in range(3):
        (dicom / f"{number}.dcm").write_bytes(bytes(128) + b"DICM")
    (zarr / "0").mkdir(parents=True)
    (zarr / "zarr.json").write_text("{}")
    (zarr / "0" / "zarr.json").write_text("{}")
    assert [slide.path for slide in ws.find_slides(tmp_path)] == [zarr, dicom]
    assert names(ws.find_slides(zarr)) == ["image.zarr"]
    # a slide beside DICOM files is not lost
    (dicom / "other.tiff").write_bytes(tiny_slide.read_bytes())
    assert [slide.path for slide in ws.find_slides(dicom)] == [dicom, dicom / "other.tiff"]


def test_lists_and_manifests(tmp_path, tiny_slide):
    (tmp_path / "s").mkdir()
    for name in ("a.tiff", "b.tiff"):
        (tmp_path / "s" / name).write_bytes(tiny_slide.read_bytes())
    text = tmp_path / "list.txt"
    text.write_text("# mine\ns/a.tiff\n\n  s/missing.tiff\r\n../" + tmp_path.name + "/s/a.tiff\n")
    assert [str(slide.path.relative_to(tmp_path)) for slide in ws.find_slides(text)] == ["s/a.tiff", "s/missing.tiff"]
    table = tmp_path / "m.csv"
    table.write_text("slide,slide_id,mpp\ns/a.tiff,case/1,0.25\ns/b.tiff,two,\n")
    found = ws.find_slides(table)
    assert [(slide.name, slide.mpp) for slide in found] == [("case_1", 0.25), ("two", None)]
    table.write_text("slide\ns/none.tiff\n")
    with pytest.raises(ws.TrainingError, match="line 2"):
        ws.find_slides(table)


@pytest.mark.parametrize(("content", "words"), [("# none\n", "names no slides"), (b"\xff\xfe\x00", "UTF-8")])
def test_bad_lists_are_refused(tmp_path, content, words):
    path = tmp_path / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ws.SlideError, match=words):
        ws.find_slides(path)


def test_a_folder_without_slides_is_refused(tmp_path):
    (tmp_path / "notes.md").write_text("none")
    with pytest.raises(ws.SlideError, match="no slide in"):
        ws.find_slides(tmp_path)


def test_slides_keep_their_names_when_others_join(tmp_path):
    first, second = tmp_path / "b" / "X.tiff", tmp_path / "a" / "x.tiff"
    alone = ws.find_slides(first)
    assert names(alone) == ["X"]
    both = named_slides(ws.find_slides([second, first]), {slide.path: slide.name for slide in alone})
    assert names(both) == ["x-2", "X"]


def test_kinds(tmp_path, tiny_slide):
    (tmp_path / "text.svs").write_text("no slide")
    assert slide_kind(tiny_slide) == "tiff"
    assert slide_kind(tmp_path / "text.svs") is None
    assert slide_kind(tmp_path / "missing") is None
