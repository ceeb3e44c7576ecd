"""Hamamatsu NDPI against OpenSlide and tifffile; the files are made by `ndpi_writer`, for no real one is at hand."""

from __future__ import annotations

import io

import numpy as np
import openslide
import pytest
import tifffile
from ndpi_writer import MCU_STARTS, MCU_STARTS_HIGH, Page, Strip, encode, grey_map, level, write_ndpi
from PIL import Image

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide
from napari_wsimil.slides.backends.tiff import ndpi, restarts
from napari_wsimil.slides.backends.tiff.jpeg_head import read_jpeg_head


@pytest.fixture
def tissue(images):
    """(height, width) -> smooth pixels with some noise on them."""

    def make(height, width):
        grain = np.random.default_rng(1).normal(0, 6, (height, width, 3))
        return (images[1](height, width) + grain).clip(0, 255).astype(np.uint8)

    return make


def openslide_pixels(path, width, height, x=0, y=0, size=None):
    """A window of the OpenSlide level of that size; OpenSlide invents levels between the stored ones."""
    reference = openslide.OpenSlide(path)
    assert reference.properties["openslide.vendor"] == "hamamatsu"
    number = reference.level_dimensions.index((width, height))
    factor = reference.level_downsamples[number]
    region = reference.read_region((round(x * factor), round(y * factor)), number, size or (width, height))
    return np.asarray(region)[..., :3]


def tifffile_pixels(path, page):
    with tifffile.TiffFile(path, is_ndpi=True) as file:
        return file.pages[page].asarray()


@pytest.mark.parametrize("subsampling", [0, 1], ids=["444", "422"])
@pytest.mark.parametrize("interval", [256, 1024, 2048])
def test_every_pixel_equals_openslide_and_tifffile(tmp_path, tissue, interval, subsampling):
    pixels = tissue(536, 2048)
    path = tmp_path / "x.ndpi"
    options = {"interval": interval, "subsampling": subsampling}
    write_ndpi(
        path, [level(pixels, **options), level(pixels[::2, ::2], lens=10.0, **options), level(pixels[::8, ::8], lens=2.5)]
    )
    with open_slide(path) as slide:
        assert (slide.backend, slide.vendor, slide.notices) == ("tiff", "hamamatsu", ())
        assert [(about.width, about.height) for about in slide.levels] == [(2048, 536), (1024, 268), (256, 67)]
        for about in slide.levels:
            read = slide.read_region(0, 0, about.width, about.height, level=about.index)
            # OpenSlide leaves out the last rows where they make no whole block
            rows = about.height if about.index == 2 else about.height // 8 * 8
            assert (read[:rows] == openslide_pixels(path, about.width, about.height)[:rows]).all()
            if interval == 2048 or subsampling == 0:
                assert (read == tifffile_pixels(path, about.index)).all()


@pytest.mark.parametrize(
    ("x", "y", "width", "height"), [(0, 0, 300, 200), (701, 509, 1024, 300), (1900, 990, 148, 58), (250, 3, 20, 1040)]
)
def test_windows_anywhere(tmp_path, tissue, x, y, width, height):
    path = write_ndpi(tmp_path / "x.ndpi", [level(tissue(1048, 2048), interval=512)])
    expected = openslide_pixels(path, 2048, 1048, x, y, (width, height))
    assert (open_slide(path).read_region(x, y, width, height) == expected).all()


def test_chroma_with_half_the_rows_is_smooth_across_intervals(tmp_path, tissue):
    pixels = tissue(400, 600)
    path = write_ndpi(tmp_path / "x.ndpi", [level(pixels, interval=600, subsampling=2)])
    read = open_slide(path).read_region(0, 0, 600, 400)
    # the JPEG as a whole, which OpenSlide's strips of 16 rows are not
    whole = np.asarray(Image.open(io.BytesIO(encode(pixels, interval=600, subsampling=2).data)))
    assert (read == whole).all()


def test_level_wider_than_a_jpeg_may_be(tmp_path, tissue):
    pixels = tissue(16, 70000 // 400 * 400)
    path = write_ndpi(tmp_path / "x.ndpi", [level(pixels, interval=400), level(pixels[::2, ::16], lens=1.25)])
    with tifffile.TiffFile(path, is_ndpi=True) as file:
        assert read_jpeg_head(jpeg_of(path, file)).width == 0
        expected = file.pages[0].asarray()
    slide = open_slide(path)
    assert slide.width == 70000
    read = slide.read_region(0, 0, 70000, 16)
    assert (read == expected).all()
    assert (read == openslide_pixels(path, 70000, 16)).all()


def jpeg_of(path, file, page=0):
    offset, count = file.pages[page].tags[273].value[0], file.pages[page].tags[279].value[0]
    return path.read_bytes()[offset : offset + count]


def test_sizes_that_are_no_whole_blocks(tmp_path, tissue):
    pixels = tissue(517, 643)
    path = write_ndpi(tmp_path / "x.ndpi", [level(pixels, interval=643), level(pixels[::2, ::2], lens=10.0, interval=322)])
    slide = open_slide(path)
    for about in slide.levels:
        read = slide.read_region(0, 0, about.width, about.height, level=about.index)
        assert (read == tifffile_pixels(path, about.index)).all()


@pytest.mark.parametrize("change", ["absent", "shifted", "short", "backwards", "text"])
@pytest.mark.parametrize("block", [1 << 23, 1000])
def test_markers_are_looked_for_where_the_record_is_missing_or_wrong(tmp_path, tissue, monkeypatch, change, block):
    monkeypatch.setattr(restarts, "_SCAN_BYTES", block)
    strip = encode(tissue(640, 768), interval=256)
    starts = {
        "absent": None,
        "shifted": (4, [start + 1 for start in strip.starts]),
        "short": (4, strip.starts[:-3]),
        "backwards": (4, strip.starts[::-1]),
        "text": (2, b"not numbers\0"),
    }[change]
    path = write_ndpi(tmp_path / "x.ndpi", [Page(strip, (768, 640), tags={MCU_STARTS: starts, MCU_STARTS_HIGH: None})])
    good = write_ndpi(tmp_path / "good.ndpi", [Page(strip, (768, 640))])
    expected = openslide_pixels(good, 768, 640)
    slide = open_slide(path)
    assert slide.backend == "tiff"
    # the last tile first: what lies before it must be found as well
    assert (slide.read_region(600, 600, 168, 40) == expected[600:, 600:]).all()
    assert (slide.read_region(0, 0, 768, 640) == expected).all()


def test_markers_are_looked_for_once(tmp_path, tissue, monkeypatch):
    path = write_ndpi(tmp_path / "x.ndpi", [level(tissue(640, 768), interval=256, record=False)])
    looked = []
    scan = restarts.Intervals._scan_on
    monkeypatch.setattr(restarts.Intervals, "_scan_on", lambda self, reader: (looked.append(1), scan(self, reader)))
    slide = open_slide(path)
    assert looked == []
    for _ in range(2):
        slide.read_patches([[0, 0], [500, 500], [200, 100]], 64, 0.5)
    assert looked == [1]


def test_level_without_markers(tmp_path, tissue, monkeypatch):
    path = write_ndpi(tmp_path / "x.ndpi", [level(tissue(600, 800))])
    expected = openslide_pixels(path, 800, 600)
    slide = open_slide(path)
    assert (slide.backend, slide.levels[0].tile_size) == ("tiff", (800, 600))
    assert (slide.read_region(0, 0, 800, 600) == expected).all()
    monkeypatch.setattr(ndpi, "LARGEST_PIECE", 800 * 600 - 1)
    slide = open_slide(path)
    assert slide.backend == "openslide"
    assert len(slide.notices) == 1
    assert "800 x 600 pixels in one JPEG without restart markers" in slide.notices[0]
    assert (slide.read_region(0, 0, 800, 600) == expected).all()


def test_progressive_level(tmp_path, tissue):
    file = io.BytesIO()
    Image.fromarray(tissue(200, 300)).save(file, "JPEG", progressive=True, subsampling=0)
    path = write_ndpi(tmp_path / "x.ndpi", [Page(Strip(file.getvalue(), []), (300, 200))])
    assert (open_slide(path).read_region(0, 0, 300, 200) == np.asarray(Image.open(file))).all()


def test_what_the_file_says(tmp_path, tissue):
    pixels, macro, overview = tissue(256, 512), tissue(90, 200), tissue(60, 40)[..., 0]
    profile = b"profile" * 30
    pages = [
        level(pixels, interval=512, lens=40.0, tags={34675: (7, list(profile))}),
        level(macro, lens=-1.0),
        grey_map(overview),
    ]
    slide = open_slide(write_ndpi(tmp_path / "x.ndpi", pages, mpp=0.2278))
    reference = openslide.OpenSlide(tmp_path / "x.ndpi")
    assert slide.mpp == pytest.approx((0.2278, 0.2278), rel=1e-5)
    assert slide.mpp_source == "vendor"
    assert slide.objective_power == 40
    theirs = {key: value for key, value in reference.properties.items() if key.startswith("hamamatsu.")}
    assert theirs.items() <= slide.properties.items()
    assert slide.properties["hamamatsu.NDP.S/N"] == "123456"
    assert slide._backend.metadata.icc_profile == profile
    assert list(slide.associated_images) == ["macro", "map"]
    assert (slide.associated_images["macro"] == np.asarray(reference.associated_images["macro"])[..., :3]).all()
    assert (slide.associated_images["map"] == overview[..., None]).all()


def test_focal_planes_other_than_0_are_left_out(tmp_path, tissue):
    planes = {plane: tissue(256, 512) // 2 + 60 * number for number, plane in enumerate((-4000, 0, 4000))}
    pages = [level(pixels, interval=512, plane=plane) for plane, pixels in planes.items()]
    pages += [level(pixels[::2, ::2], lens=10.0, plane=plane) for plane, pixels in planes.items()]
    slide = open_slide(write_ndpi(tmp_path / "x.ndpi", pages))
    assert [about.width for about in slide.levels] == [512, 256]
    for about in slide.levels:
        read = slide.read_region(0, 0, about.width, about.height, level=about.index)
        assert abs(read.astype(int) - planes[0][:: 2**about.index, :: 2**about.index]).mean() < 3


@pytest.mark.parametrize("suffix", [".tif", ".svs", ""])
def test_by_content_not_by_suffix(tmp_path, tissue, suffix):
    path = write_ndpi(tmp_path / "x.ndpi", [level(tissue(256, 512), interval=256)])
    expected = open_slide(path).read_region(0, 0, 512, 256)
    slide = open_slide(path.rename(path.with_suffix(suffix)))
    assert (slide.backend, slide.vendor) == ("tiff", "hamamatsu")
    assert (slide.read_region(0, 0, 512, 256) == expected).all()


def test_beyond_4_gigabytes(tmp_path, tissue):
    """A file with a hole: it takes a few hundred kB of disk."""
    pages = [level(tissue(512, 1024), interval=256), level(tissue(100, 200), lens=-1.0)]
    path = write_ndpi(tmp_path / "x.ndpi", pages, start=(1 << 32) + 4096)
    if path.stat().st_blocks * 512 > 1 << 28:
        pytest.skip("this file system has no files with holes")
    slide = open_slide(path)
    assert slide._backend._images[0].strip[0] == (1 << 32) + 4096
    assert (slide.read_region(0, 0, 1024, 512) == openslide_pixels(path, 1024, 512)).all()
    assert slide.associated_images["macro"].shape == (100, 200, 3)


@pytest.mark.parametrize("record", [True, False])
def test_cut_off_file(tmp_path, tissue, record):
    """The directory stands in front; a third of the pixels is missing behind it."""
    pixels = tissue(1600, 512)
    page = level(pixels, interval=512, record=record)
    path = write_ndpi(tmp_path / "x.ndpi", [page])
    with open_slide(path) as slide:
        expected = slide.read_region(0, 0, 512, 1600)
        rows = slide.levels[0].tile_size[1]
    content = bytearray(path.read_bytes())
    start, length = 16, len(page.strip.data)
    # the pixels once more, behind the directory
    offset = content.rindex(length.to_bytes(4, "little"))
    entry = content.rindex((273).to_bytes(2, "little") + (4).to_bytes(2, "little"), 0, offset)
    content[entry + 8 : entry + 12] = len(content).to_bytes(4, "little")
    content += content[start : start + length * 2 // 3]
    path.write_bytes(content)
    with open_slide(path) as slide:
        read = slide.read_region(0, 0, 512, 1600)
        whole = next(top for top in range(0, 1600, rows) if not (read[top : top + rows] == expected[top : top + rows]).all())
        assert 0 < whole < 1600
        assert (read[whole:] == 255).all()
        assert len(slide.notices) == 1
        assert "cut off" in slide.notices[0]
        assert "(50 %)" in slide.notices[0]


def test_damaged_interval_is_background_and_said_once(tmp_path, tissue):
    page = level(tissue(1024, 512), interval=512)
    path = write_ndpi(tmp_path / "x.ndpi", [page])
    expected = open_slide(path).read_region(0, 0, 512, 1024)
    with path.open("r+b") as file:
        file.seek(16 + page.strip.starts[70] - 2)
        file.write(b"\0\0")
    slide = open_slide(path)
    read = slide.read_region(0, 0, 512, 1024)
    assert (read[:512] == expected[:512]).all()
    assert (read[512:] == 255).all()
    assert len(slide.notices) == 1
    assert "x 0, y 512" in slide.notices[0]


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ({258: (3, [16] * 3)}, "holds 16-bit pixels of 3 channels, not 8-bit RGB"),
        ({262: (3, [1]), 277: (3, [1]), 258: (3, [8])}, "holds 8-bit pixels of 1 channels, not 8-bit RGB"),
        ({256: (4, [0])}, "states an image of 0 x 256 pixels"),
        ({257: (4, [1 << 30]), 278: (4, [1 << 30])}, r"states an image of 512 x 1.07374e\+09 pixels"),
        ({256: (4, [700])}, "a JPEG of 512 x 256 pixels stands for 700 x 256"),
        ({65421: (11, [-1.0])}, "without a level"),
        ({273: (4, [7])}, "can't be read piece by piece"),
    ],
)
def test_what_can_not_be_read_is_refused_in_one_sentence(tmp_path, tissue, tags, text):
    path = write_ndpi(tmp_path / "x.ndpi", [level(tissue(256, 512), interval=256, tags=tags)])
    with pytest.raises(SlideError, match=text) as caught:
        open_slide(path)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_another_compression_is_refused(tmp_path):
    path = write_ndpi(tmp_path / "x.ndpi", [Page(Strip(b"II\xbc\1" + bytes(5000), []), (512, 256), tags={259: (3, [22610])})])
    with pytest.raises(SlideError, match="TIFF compression 22610"):
        open_slide(path)


def test_what_only_openslide_reads_says_why(tmp_path, tissue):
    pixels = tissue(256, 512)
    path = write_ndpi(tmp_path / "x.ndpi", [level(pixels, interval=256, tags={279: (4, [300])})])
    slide = open_slide(path)
    assert slide.backend == "openslide"
    assert len(slide.notices) == 1
    assert "opened through OpenSlide" in slide.notices[0]
    assert "can't be read piece by piece (the header has no end)" in slide.notices[0]


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_reduced_tiles(tmp_path, tissue, factor):
    path = write_ndpi(tmp_path / "x.ndpi", [level(tissue(1032, 1024), interval=512)])
    slide = open_slide(path)
    full = slide.read_region(0, 0, 1024, 1032).astype(float)
    backend = slide._backend
    assert backend.reduces
    for row, height in enumerate((512, 512, 8)):
        read = backend.read_tile_reduced(0, 1, row, factor)
        assert read.shape == (height // factor, 512 // factor, 3)
        part = full[row * 512 : row * 512 + height, 512:]
        mean = part.reshape(height // factor, factor, 512 // factor, factor, 3).mean((1, 3))
        assert abs(read - mean).mean() < 1.5
