from __future__ import annotations

import logging
import warnings

import numpy as np
import openslide
import pytest
import tifffile

from napari_wsimil.errors import SlideWarning
from napari_wsimil.slides import open_slide
from napari_wsimil.slides.backends.tiff.planes import jpeg_stream


@pytest.mark.parametrize("name", ["cmu1_small_region.svs", "colon_part.tif", "cmu1_jpeg_wrong_mpp.tiff"])
def test_real_pixels_equal_openslide(real_data, name):
    path = real_data(f"slides/{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlideWarning)
        slide = open_slide(path)
    reference = openslide.OpenSlide(path)
    for level in slide.levels:
        x, y = level.width // 3, level.height // 3
        corner = round(x * level.downsample), round(y * level.downsample)
        expected = np.asarray(reference.read_region(corner, level.index, (300, 260)))
        inside = expected[..., 3] == 255
        got = slide.read_region(*corner, 300, 260, level=level.index)
        assert (got[inside] == expected[inside, :3]).all()
        assert (got[~inside] == 255).all()


def test_real_formats_of_the_same_region_agree(real_data):
    """The RGB JPEG of the SVS says nowhere that it is RGB; read as YCbCr it is 47 grey levels off."""
    svs = open_slide(real_data("slides/cmu1_small_region.svs")).read_region(0, 0, 2220, 2967).astype(int)
    for name, most in (("cmu1_jp2.tiff", 1), ("cmu1_webp.tiff", 6), ("cmu1_jpeg_wrong_mpp.tiff", 4)):
        other = open_slide(real_data(f"slides/{name}"), mpp=0.499).read_region(0, 0, 2220, 2967)
        assert abs(svs - other).mean() < most
    dicom = open_slide(real_data("slides/dicom_cmu")).read_region(0, 0, 2220, 2967)
    assert abs(svs - dicom).mean() < 4


def test_real_ome_codecs_agree(real_data):
    reference = open_slide(real_data("slides/ome/bfconvert_LZW.ome.tiff")).read_region(0, 0, 512, 512)
    for codec in ("zlib", "JPEG-2000"):
        assert (open_slide(real_data(f"slides/ome/bfconvert_{codec}.ome.tiff")).read_region(0, 0, 512, 512) == reference).all()


LOSSLESS = [
    {"compression": None},
    {"compression": "lzw"},
    {"compression": "zlib", "predictor": True},
    {"compression": "jpeg2000"},
    {"compression": "webp", "compressionargs": {"lossless": True}},
    {"compression": None, "tile": None, "rowsperstrip": 1000},
    {"compression": None, "tile": None, "rowsperstrip": 7},
    {"compression": "lzw", "tile": None, "rowsperstrip": 7},
    {"compression": "zlib", "tile": None, "rowsperstrip": 300},
    {"compression": "lzw", "bigtiff": True},
]


@pytest.mark.parametrize("options", LOSSLESS, ids=str)
def test_lossless_formats(tmp_path, images, options):
    pixels = images[0](531, 407)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", **{"tile": (128, 128), **options})
    slide = open_slide(path, mpp=0.5)
    assert (slide.backend, slide.width, slide.height) == ("tiff", 407, 531)
    assert (slide.read_region(0, 0, 407, 531) == pixels).all()
    assert (slide.read_region(33, 250, 300, 281) == pixels[250:531, 33:333]).all()


@pytest.mark.parametrize("options", [{}, {"outcolorspace": "ycbcr"}], ids=str)
@pytest.mark.parametrize("tile", [(256, 256), None])
def test_jpeg_formats(tmp_path, images, options, tile):
    pixels = images[1](500, 400)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", compression="jpeg", compressionargs={"level": 95, **options}, tile=tile)
    read = open_slide(path, mpp=0.5).read_region(0, 0, 400, 500)
    assert abs(read.astype(int) - pixels).mean() < 2
    assert (read == tifffile.imread(path)).all()


def test_jpeg_stream_states_colours_and_carries_tables():
    tables, tile = b"\xff\xd8<DQT>\xff\xd9", b"\xff\xd8<scan>\xff\xd9"
    assert jpeg_stream(tile, None, rgb=False) == tile
    assert jpeg_stream(tile, tables, rgb=False) == b"\xff\xd8<DQT><scan>\xff\xd9"
    stream = jpeg_stream(tile, tables, rgb=True)
    assert stream.startswith(b"\xff\xd8<DQT>\xff\xee\x00\x0eAdobe")
    assert stream.endswith(b"<scan>\xff\xd9")
    spoken = b"\xff\xd8\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x01<scan>\xff\xd9"
    assert jpeg_stream(spoken, None, rgb=True) == spoken


def test_ome_with_subifd_pyramid(tmp_path, images):
    levels = [images[0](700, 900), images[0](350, 450), images[0](175, 225)]
    path = tmp_path / "x.ome.tif"
    metadata = {
        "axes": "YXS",
        "PhysicalSizeX": 250,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.26,
        "PhysicalSizeYUnit": "µm",
    }
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(levels[0], subifds=2, tile=(256, 256), photometric="rgb", metadata=metadata)
        for level in levels[1:]:
            file.write(level, subfiletype=1, tile=(256, 256), photometric="rgb")
    slide = open_slide(path)
    assert (slide.vendor, slide.mpp_source, slide.mpp) == ("ome", "ome", pytest.approx((0.25, 0.26)))
    assert [level.downsample for level in slide.levels] == [1, 2, 4]
    for number, level in enumerate(levels):
        assert (slide.read_region(0, 0, level.shape[1], level.shape[0], level=number) == level).all()


def test_transparent_pixels_are_white(tmp_path):
    pixels = np.zeros((300, 300, 4), np.uint8)
    pixels[:150] = (10, 20, 30, 255)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unassalpha"], tile=(256, 256))
    read = open_slide(path, mpp=0.5).read_region(0, 0, 300, 300)
    assert (read[:150] == (10, 20, 30)).all()
    assert (read[150:] == 255).all()


def test_openslide_composites_on_white_and_keeps_holes_white(tmp_path, images):
    pixels = images[0](512, 512)
    path = sparse_slide(tmp_path / "x.tif", pixels, missing=1)
    slide = open_slide(path, backend="openslide", mpp=0.5)
    expected = pixels.copy()
    expected[:256, 256:] = 255
    assert (slide.read_region(-10, -10, 532, 532)[10:-10, 10:-10] == expected).all()
    assert (slide.read_region(-10, -10, 532, 532)[:10] == 255).all()


def sparse_slide(path, pixels, missing):
    tiles = [pixels[y : y + 256, x : x + 256] for y in (0, 256) for x in (0, 256)]
    tiles[missing] = None
    tifffile.imwrite(
        path, iter(tiles), shape=pixels.shape, dtype=np.uint8, tile=(256, 256), photometric="rgb", compression="zlib"
    )
    return path


def test_tiles_without_bytes_are_white(tmp_path, images):
    pixels = images[0](512, 512)
    slide = open_slide(sparse_slide(tmp_path / "x.tif", pixels, missing=2), mpp=0.5)
    pixels[256:, :256] = 255
    assert slide.backend == "tiff"
    assert (slide.read_region(0, 0, 512, 512) == pixels).all()
    assert not slide.notices


def test_white_outside(make_slide, images):
    pixels = images[0](300, 400)
    slide = open_slide(make_slide(pixels))
    read = slide.read_region(-20, -30, 500, 400)
    assert (read[30:330, 20:420] == pixels).all()
    read[30:330, 20:420] = 255
    assert (read == 255).all()
    assert (slide.read_region(5000, 5000, 10, 10) == 255).all()
    assert (slide.read_region(-2000, 0, 10, 10, mpp=1.0) == 255).all()


@pytest.mark.parametrize("compression", ["jpeg", "zlib"])
def test_damaged_tile_is_background_and_said_once(make_slide, images, caplog, compression):
    path = make_slide(images[1](768, 768), compression=compression)
    expected = open_slide(path).read_region(0, 0, 768, 768)
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[4], file.pages[0].databytecounts[4]
    with path.open("r+b") as file:
        file.seek(offset + count // 2)
        file.write(bytes(count - count // 2))
    slide = open_slide(path)
    with caplog.at_level(logging.WARNING):
        read = slide.read_region(0, 0, 768, 768)
        slide.read_region(200, 200, 300, 300)
        slide.read_patches([[0, 0], [256, 256]], 256, 0.25)
    expected[256:512, 256:512] = 255
    assert (read == expected).all()
    assert len(slide.notices) == 1
    assert "slide.tif has a damaged tile at x 256, y 256 (level 0" in slide.notices[0]
    assert [record.message for record in caplog.records] == list(slide.notices)


def test_openslide_goes_on_after_a_damaged_tile(make_slide, images):
    path = make_slide(images[1](1536, 512), compression="jpeg")
    expected = open_slide(path).read_region(0, 0, 512, 1536)
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(count))
    slide = open_slide(path, backend="openslide")
    read = slide.read_region(0, 0, 512, 1536)
    assert (read[512:] == expected[512:]).all()
    assert (read[:256, :256] == 255).all()
    assert len(slide.notices) == 1
