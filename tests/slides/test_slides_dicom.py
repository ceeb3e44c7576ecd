from __future__ import annotations

import sys

import pytest

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide
from napari_wsimil.slides.backends import dicom
from napari_wsimil.slides.backends.base import UnsupportedError


@pytest.mark.parametrize("name", ["cmu1_small_region.svs", "dicom_cmu"])
def test_label_is_read_only_by_name(real_data, name):
    images = open_slide(real_data(f"slides/{name}")).associated_images
    assert set(images) == {"thumbnail", "macro"}
    assert images["thumbnail"].shape == (768, 574, 3)
    assert images["label"].shape == (463, 387, 3)
    with pytest.raises(KeyError):
        images["barcode"]


def test_dicom_folder_and_any_member_are_one_slide(real_data):
    folder = real_data("slides/dicom_cmu")
    whole = open_slide(folder)
    for member in folder.iterdir():
        part = open_slide(member)
        assert part.fingerprint == whole.fingerprint
        assert (part.width, part.height) == (whole.width, whole.height)
    assert not [name for name in whole.properties if "Patient" in name]


def refuse_dicom(monkeypatch):
    def refuse(*_):
        raise UnsupportedError("no")

    monkeypatch.setattr(dicom, "OpenSlideDicom", refuse)


def test_dicom_that_openslide_refuses_is_read_by_wsidicom(real_data, monkeypatch):
    pytest.importorskip("wsidicom")
    folder = real_data("slides/dicom_cmu")
    with open_slide(folder) as slide:
        expected, fingerprint = slide.read_region(700, 900, 500, 500), slide.fingerprint
    refuse_dicom(monkeypatch)
    for path in (folder, next(folder.iterdir())):
        with open_slide(path) as slide:
            assert type(slide._backend).__name__ == "WsiDicomBackend"
            assert (slide.mpp, slide.fingerprint) == (pytest.approx((0.499, 0.499)), fingerprint)
            assert (slide.read_region(700, 900, 500, 500) == expected).all()


def test_dicom_reader_missing(real_data, monkeypatch):
    refuse_dicom(monkeypatch)
    monkeypatch.setitem(sys.modules, "wsidicom", None)
    with pytest.raises(SlideError, match=r"pip install 'napari-wsimil\[dicom\]'"):
        open_slide(real_data("slides/dicom_cmu"))
