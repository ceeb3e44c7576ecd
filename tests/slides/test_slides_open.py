from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
import tifffile

from napari_wsimil.errors import SlideError, SlideWarning
from napari_wsimil.slides import open_slide
from napari_wsimil.slides.backends.tiff import TiffBackend

REAL = [
    # name, backend, size, mpp, source, power, downsamples
    ("cmu1_small_region.svs", "tiff", (2220, 2967), 0.499, "vendor", 20, [1]),
    ("tcga_cr_7395.svs", "tiff", (4443, 3567), None, None, None, [1, 4443 / 2221]),
    ("colon_part.tif", "tiff", (7680, 9984), 0.5, "tiff", None, [1, 2, 4, 8, 16]),
    ("dicom_cmu", "dicom", (2220, 2967), 0.499, "dicom", None, [1]),
    ("ome/bfconvert_JPEG-2000.ome.tiff", "tiff", (512, 512), None, None, None, [1]),
]


@pytest.mark.parametrize(("name", "backend", "size", "mpp", "source", "power", "downsamples"), REAL)
def test_real_slides_say_what_they_are(real_data, name, backend, size, mpp, source, power, downsamples):
    with open_slide(real_data(f"slides/{name}")) as slide:
        assert slide.backend == backend
        assert (slide.width, slide.height) == size
        assert slide.mpp == (None if mpp is None else pytest.approx((mpp, mpp)))
        assert slide.mpp_source == source
        assert slide.objective_power == power
        assert [level.downsample for level in slide.levels] == pytest.approx(downsamples, abs=1e-9)
        assert bool(slide.notices) == (mpp is None)
        assert slide.properties


def test_no_mpp_is_said_and_can_be_typed_in(real_data):
    path = real_data("slides/tcga_cr_7395.svs")
    with open_slide(path) as slide:
        assert slide.notices == ("tcga_cr_7395.svs does not say how many micrometres a pixel measures; type it in (mpp).",)
        with pytest.raises(SlideError, match="does not say how many micrometres"):
            slide.read_region(0, 0, 10, 10, mpp=1)
    with open_slide(path, mpp=0.5) as slide:
        assert (slide.mpp, slide.mpp_source, slide.notices) == ((0.5, 0.5), "user", ())


@pytest.mark.parametrize(("name", "number"), [("cmu1_jpeg_wrong_mpp.tiff", "0.00499"), ("boxes.tiff", "352.8")])
def test_real_resolution_that_cannot_be_true(real_data, name, number):
    with pytest.warns(SlideWarning, match=f"{name} says that a pixel measures {number} µm"):
        slide = open_slide(real_data(f"slides/{name}"))
    assert slide.mpp is None
    assert slide.mpp_source is None
    assert number in slide.notices[0]


def test_vendor_mpp_that_cannot_be_true(make_slide, images):
    path = make_slide(images[0](300, 300), name="a.svs", aperio=True, mpp=250)
    with pytest.warns(SlideWarning, match="250 µm"):
        assert open_slide(path).mpp is None
    # the user's word needs no warning: any would fail this test
    assert open_slide(path, mpp=(0.25, 0.26)).mpp == (0.25, 0.26)


def test_vendor_mpp_before_resolution(make_slide, images):
    path = make_slide(images[0](300, 300), name="a.svs", aperio=True, mpp=0.31, resolution=(2e4, 2e4), resolutionunit=3)
    slide = open_slide(path)
    assert (slide.mpp, slide.mpp_source, slide.vendor, slide.objective_power) == ((0.31, 0.31), "vendor", "aperio", 40)


@pytest.mark.parametrize("thumbnail", [True, False])
def test_svs_levels_with_and_without_a_thumbnail_between(tmp_path, images, thumbnail):
    fine, coarse = images[0](1000, 1000), images[0](250, 250)
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as file:
        about = "Aperio Image Library v11.2.1 \n1000x1000|AppMag = 40|MPP = 0.25"
        file.write(fine, tile=(256, 256), photometric="rgb", description=about, metadata=None)
        if thumbnail:
            file.write(images[0](300, 300), photometric="rgb", metadata=None)
        file.write(coarse, tile=(256, 256), photometric="rgb", metadata=None)
    slide = open_slide(path)
    assert [(level.width, level.downsample) for level in slide.levels] == [(1000, 1), (250, 4)]
    assert (slide.read_region(0, 0, 250, 250, level=1) == coarse).all()
    assert list(slide.associated_images) == (["thumbnail"] if thumbnail else [])


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), (0.5, 0)])
def test_user_mpp_must_make_sense(make_slide, images, mpp):
    with pytest.raises(SlideError, match="positive"):
        open_slide(make_slide(images[0](300, 300)), mpp=mpp)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("broken/broken.svs", "broken.svs is no slide"),
        ("broken/unreadable.svs", "unreadable.svs is damaged"),
        ("broken/unopenable.tiff", "unopenable.tiff is compressed in a way that can't be read here"),
        ("broken", "broken is a folder without DICOM files"),
        ("no_such.svs", "no_such.svs does not exist"),
    ],
)
def test_real_broken_files_are_refused_in_one_sentence(real_data, capfd, name, text):
    path = real_data("slides") / name
    with pytest.raises(SlideError, match=text) as caught:
        open_slide(path)
    assert_one_sentence(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "is empty"), (b"Dear pathologist, this is a letter.\n" * 20, "is no slide"), (b"II*\0" + bytes(300), "damaged")],
)
def test_files_that_are_no_slides(tmp_path, capfd, content, text):
    path = tmp_path / "x.svs"
    path.write_bytes(content)
    with pytest.raises(SlideError, match=text) as caught:
        open_slide(path)
    assert_one_sentence(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pixels", "text"),
    [
        (np.zeros((64, 64, 3), np.uint16), "x.tif holds 16-bit integer pixels"),
        (np.zeros((64, 64), np.float32), "x.tif holds 32-bit floating-point pixels"),
        (np.zeros((64, 64), np.uint8), "8-bit integer image with axes YX"),
        (np.zeros((4, 64, 64, 3), np.uint8), "not one RGB plane"),
    ],
)
def test_images_that_are_not_rgb(tmp_path, pixels, text):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pixels, photometric="rgb" if pixels.shape[-1] == 3 else "minisblack")
    with pytest.raises(SlideError, match=text) as caught:
        open_slide(path)
    assert_one_sentence(caught.value)


def assert_one_sentence(error):
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 250


def test_huge_compressed_piece_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), compression="zlib", rowsperstrip=64)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name, value in (("ImageWidth", 60000), ("ImageLength", 60000), ("RowsPerStrip", 60000)):
            file.pages[0].tags[name].overwrite(value)
    with pytest.raises(SlideError, match="pieces of 60000 x 60000 pixels"):
        open_slide(path)


def test_opening_decodes_no_pixel(make_slide, images, monkeypatch):
    path = make_slide(images[0](2048, 2048), images[0](512, 512), aperio=True)
    read = []
    original = TiffBackend.read_tile

    def count(self, *args, **kwargs):
        read.append(args)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(TiffBackend, "read_tile", count)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("decoded a page"))
    slide = open_slide(path)
    pyramid = slide.pyramid()
    assert read == []
    # the smallest level is what a viewer reads first: here a stored one of 4 tiles
    np.asarray(pyramid[-1])
    assert len(read) == 4


def test_fingerprint_is_of_the_pixels(make_slide, images, tmp_path):
    path = make_slide(images[0](600, 600))
    copy = tmp_path / "elsewhere.svs"
    shutil.copy(path, copy)
    other = make_slide(images[0](600, 600, seed=1), name="other.tif")
    first = open_slide(path).fingerprint
    assert open_slide(copy).fingerprint == first
    assert open_slide(path, backend="openslide").fingerprint == first
    assert open_slide(other).fingerprint != first
    assert len(first) == 32


def test_pickle_opens_again(make_slide, images):
    path = make_slide(images[0](300, 300), mpp=352.8)
    with open_slide(path, mpp=0.25, backend="tiff") as slide:
        again = pickle.loads(pickle.dumps(slide))
        assert (again.path, again.mpp, again.backend) == (path, (0.25, 0.25), "tiff")
        assert (again.read_region(10, 10, 50, 50) == slide.read_region(10, 10, 50, 50)).all()
    # what was warned of once is not warned of again in a worker
    with pytest.warns(SlideWarning):
        slide = open_slide(path)
    assert pickle.loads(pickle.dumps(slide)).notices == slide.notices


def test_name_leaves_suffixes_out(real_data):
    assert open_slide(real_data("slides/ome/bfconvert_LZW.ome.tiff")).name == "bfconvert_LZW"
    assert open_slide(real_data("slides/dicom_cmu")).name == "dicom_cmu"
