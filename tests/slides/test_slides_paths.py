"""Paths that are no files, may not be read, or have odd names."""

from __future__ import annotations

import os

import fuzz_samples
import pytest
import tifffile
from refusals import read_all, refusal

from napari_wsimil.slides import open_slide


def test_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "x.svs")
    assert "is no file but a pipe or a device" in refusal(tmp_path / "x.svs")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no device files")  # noqa: PTH110
@pytest.mark.parametrize("backend", [None, "tiff", "openslide", "dicom"])
def test_device_is_refused(backend):
    assert "is no file but a pipe or a device" in refusal("/dev/zero", backend=backend)


def test_pipe_in_a_folder_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "x.dcm")
    assert "is a folder without DICOM files" in refusal(tmp_path)


def test_links_that_lead_in_a_circle(tmp_path):
    (tmp_path / "a.svs").symlink_to(tmp_path / "b.svs")
    (tmp_path / "b.svs").symlink_to(tmp_path / "a.svs")
    assert "does not exist" in refusal(tmp_path / "a.svs")
    (tmp_path / "c").symlink_to(tmp_path)
    assert "is a folder without DICOM files" in refusal(tmp_path / "c")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users")
def test_no_permission(tmp_path, make_slide, images):
    path = make_slide(images[0](64, 64), tile=(64, 64))
    path.chmod(0)
    mine = os.geteuid()
    if mine == 0:
        # root may read everything
        os.seteuid(65534)
    try:
        text = refusal(path)
    finally:
        os.seteuid(mine)
    assert text == "slide.tif can't be read: you have no permission to; ask its owner."


@pytest.mark.parametrize("name", ["Prä parat Ω 50%.svs", "a\nb.svs", "x" * 200 + ".svs"])
def test_odd_names(tmp_path, name):
    path = tmp_path / name
    fuzz_samples.GENERATED["svs"](tmp_path).rename(path)
    with open_slide(path) as slide:
        assert read_all(slide).shape == (300, 360, 3)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_name_that_is_no_text(tmp_path, caplog):
    path = tmp_path / os.fsdecode(b"slide\xff\xfe.svs")
    fuzz_samples.GENERATED["svs"](tmp_path).rename(path)
    content = path.read_bytes()
    with open_slide(path) as slide:
        repr(slide).encode()
        slide.name.encode()
        read_all(slide)
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[1]
    path.write_bytes(content[:offset] + bytes(200) + content[offset + 200 :])
    with open_slide(path) as slide:
        read_all(slide)
        assert slide.notices
        assert all(text.encode() for text in slide.notices)
        assert caplog.text.encode()
    path.write_bytes(b"no slide")
    assert "slide??.svs is no slide" in refusal(path)
    assert "slide??.svs" in refusal(tmp_path / os.fsdecode(b"none\xff\xfe" + b"slide\xff\xfe.svs"))
