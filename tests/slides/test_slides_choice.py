"""Which backend opens what; by content, by force, and what happens when it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
import zarr
from openslide._convert import argb2rgba
from PIL import Image

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import _open, open_slide
from napari_wsimil.slides.backends.base import UnsupportedError
from napari_wsimil.slides.backends.openslide import _on_white, mirax_file


@pytest.mark.parametrize("suffix", [".ndpi", ".mrxs", ".dcm", ".czi", ".zarr", ".txt", ""])
def test_tiff_by_content_not_by_suffix(make_slide, images, suffix):
    pixels = images[0](300, 300)
    path = make_slide(pixels)
    slide = open_slide(path.rename(path.with_suffix(suffix)))
    assert (slide.backend, slide.notices) == ("tiff", ())
    assert (slide.read_region(0, 0, 300, 300) == pixels).all()


def test_dicom_by_content(real_data, tmp_path):
    for member in real_data("slides/dicom_cmu").iterdir():
        shutil.copy(member, tmp_path / f"{member.stem}.svs")
    assert open_slide(next(tmp_path.iterdir())).backend == "dicom"
    with pytest.raises(SlideError, match="is no TIFF"):
        open_slide(next(tmp_path.iterdir()), backend="tiff")


@pytest.fixture
def ome_zarr(tmp_path, images):
    folder = tmp_path / "a.svs"
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    group.create_array("0", data=images[0](300, 400), chunks=(128, 128, 3))
    group.attrs["ome"] = {"multiscales": [{"axes": [{"name": axis} for axis in "yxc"], "datasets": [{"path": "0"}]}]}
    return folder


def test_ome_zarr_by_content(ome_zarr):
    assert open_slide(ome_zarr).backend == "ome-zarr"


def test_forced_backend(make_slide, images, ome_zarr):
    path = make_slide(images[0](300, 300))
    assert open_slide(path, backend="openslide").backend == "openslide"
    with pytest.raises(SlideError, match=r"no backend 'zarr'.*ome-zarr, dicom, czi, tiff, openslide"):
        open_slide(path, backend="zarr")
    for backend, text in (("ome-zarr", "is no OME-Zarr"), ("dicom", "is no DICOM"), ("czi", "is no CZI")):
        with pytest.raises(SlideError, match=text):
            open_slide(path, backend=backend)
    for backend in ("tiff", "czi", "openslide", "dicom"):
        with pytest.raises(SlideError):
            open_slide(ome_zarr, backend=backend)


@pytest.mark.parametrize(("expected", "notices"), [(True, 0), (False, 1)])
def test_what_one_backend_refuses_openslide_reads(make_slide, images, monkeypatch, caplog, expected, notices):
    def refuse(path):
        raise UnsupportedError("Too odd.", expected=expected)

    monkeypatch.setitem(_open.FORMATS, "tiff", _open.FORMATS["tiff"]._replace(open=refuse))
    pixels = images[0](300, 300)
    with caplog.at_level("INFO"):
        slide = open_slide(make_slide(pixels))
    assert slide.backend == "openslide"
    # the reason is logged; the user is told only what could not be expected
    assert "slide.tif is read through OpenSlide, not by the tiff backend: Too odd." in caplog.text
    assert len(slide.notices) == notices
    assert all("opened through OpenSlide" in notice for notice in slide.notices)
    assert (slide.read_region(0, 0, 300, 300) == pixels).all()


def test_what_nobody_reads_is_refused_with_the_first_reason(make_slide, images, monkeypatch):
    def refuse(path):
        raise UnsupportedError("Too odd for words.")

    for name in ("tiff", "openslide"):
        monkeypatch.setitem(_open.FORMATS, name, _open.FORMATS[name]._replace(open=refuse))
    monkeypatch.setattr(_open, "OpenSlideBackend", refuse)
    with pytest.raises(SlideError, match=r"^Too odd for words\.$"):
        open_slide(make_slide(images[0](300, 300)))


def test_a_folder_of_nothing(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SlideError, match="is a folder without DICOM files and no OME-Zarr"):
        open_slide(tmp_path)


def test_absurd_sizes_are_refused(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group = zarr.open_group(tmp_path / "a.zarr")
    group.create_array("0", shape=(1 << 30, 1 << 30, 3), chunks=(512, 512, 3), dtype=np.uint8)
    group.attrs["ome"] = {"multiscales": [{"axes": [{"name": axis} for axis in "yxc"], "datasets": [{"path": "0"}]}]}
    with pytest.raises(SlideError, match=r"a\.zarr says that it is 1073741824 x 1073741824 pixels, which is no slide"):
        open_slide(tmp_path / "a.zarr")


def test_the_folder_of_an_mrxs_means_the_file_beside_it(tmp_path):
    data = tmp_path / "slide [1]"
    data.mkdir()
    assert mirax_file(data) is None
    (data / "Slidedat.ini").write_text("[GENERAL]")
    assert mirax_file(data) is None
    (tmp_path / "slide [1].MRXS").touch()
    assert mirax_file(data) == tmp_path / "slide [1].MRXS"
    assert _open.whole_slide(data) == tmp_path / "slide [1].MRXS"


def test_transparent_pixels_of_openslide_are_laid_over_white_exactly():
    # every pair of alpha and colour that OpenSlide may give, which multiplies them
    alpha, stored = (values.astype(np.uint8) for values in np.meshgrid(np.arange(256), np.arange(256), indexing="ij"))
    possible = stored <= alpha
    words = np.dstack([stored, stored, stored, alpha]).view("<u4").reshape(-1)
    # as openslide-python does before we see the pixels
    argb2rgba(words)
    shown = _on_white(Image.fromarray(words.view(np.uint8).reshape(256, 256, 4), "RGBA"))
    expected = stored.astype(int) + 255 - alpha
    assert (shown[..., 0][possible] == expected[possible]).all()
    assert _on_white(Image.new("RGBA", (4, 4), (10, 20, 30, 0))) is None


def test_importing_slides_imports_none_of_the_heavy_libraries():
    heavy = {"torch", "dask", "zarr", "wsidicom", "pydicom", "pylibCZIrw", "napari", "qtpy"}
    code = f"import sys, napari_wsimil.slides; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
