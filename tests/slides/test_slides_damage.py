"""Damage that happens: files cut off, sizes that can't be, files that vanish, and paths that are no files."""

from __future__ import annotations

import json
import os
import shutil
import threading

import fuzz_samples
import numpy as np
import pytest
import tifffile
import vendor_files
from refusals import read_all, refusal

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide


def overwrite(path, page, values, *, kind=4):
    """Other numbers in tags of one directory of a little-endian TIFF."""
    with tifffile.TiffFile(path) as file:
        wide = 8 if file.is_bigtiff else 4
        places = {file.pages[page].tags[name].offset: value for name, value in values.items()}
    with path.open("r+b") as file:
        for place, value in places.items():
            file.seek(place + 2)
            file.write(kind.to_bytes(2, "little") + (1).to_bytes(wide, "little") + value.to_bytes(wide, "little"))


# cut off


@pytest.mark.parametrize("compression", ["jpeg", "zlib", "jpeg2000", None])
@pytest.mark.parametrize("planar", [False, True])
def test_what_is_left_of_a_file_is_shown_and_what_is_lost_said_once(make_slide, images, compression, planar):
    pixels = images[1](1024, 1024)
    options = {"compression": compression} | ({"planarconfig": "separate"} if planar else {})
    path = make_slide(np.ascontiguousarray(pixels.transpose(2, 0, 1)) if planar else pixels, **options)
    expected = read_all(open_slide(path))
    with tifffile.TiffFile(path) as file:
        offsets = file.pages[0].dataoffsets
    first_lost = 32 + 9 if planar else 9
    path.write_bytes(path.read_bytes()[: offsets[first_lost] + 5])
    with open_slide(path) as slide:
        expected[512:768, 256:], expected[768:] = 255, 255
        assert (read_all(slide) == expected).all()
        assert slide.notices == (
            "slide.tif is cut off: 7 of 16 tiles (44 %) lie beyond the end of the file and are shown as background; copy it "
            "again.",
        )


def test_strips_of_a_file_cut_off(make_slide, images):
    path = make_slide(images[0](600, 500), compression="zlib", tile=None, rowsperstrip=50)
    with tifffile.TiffFile(path) as file:
        offsets = file.pages[0].dataoffsets
    expected = images[0](600, 500)
    path.write_bytes(path.read_bytes()[: offsets[7]])
    slide = open_slide(path)
    expected[350:] = 255
    assert (read_all(slide) == expected).all()
    assert "5 of 12 tiles (42 %)" in slide.notices[0]


def test_tiles_laid_over_each_other_in_a_file_cut_off(tmp_path, images):
    path = vendor_files.write_trestle(tmp_path / "x.tif", [images[0](256, 256)], [(16, 16)])
    whole = read_all(open_slide(path))
    with tifffile.TiffFile(path) as file:
        offsets = file.pages[0].dataoffsets
    path.write_bytes(path.read_bytes()[: offsets[3] + 10])
    slide = open_slide(path)
    read = read_all(slide)
    assert "1 of 4 tiles (25 %)" in slide.notices[0]
    assert len(slide.notices) == 1
    assert (read[128:, 128:] == 255).all()
    # the three others, of which one shows below the missing one
    assert (read[:112] == whole[:112]).all()
    assert (read[:, :112] == whole[:, :112]).all()


def test_coarser_level_that_is_lost_is_left_out(make_slide, images):
    path = make_slide(images[0](512, 512), images[1](256, 256))
    with tifffile.TiffFile(path) as file:
        second = file.pages[1]
        last = max(tag.valueoffset + tag.valuebytecount for tag in second.tags)
        end = max(last, second.offset + 2 + 12 * len(second.tags) + 4)
    assert end <= second.dataoffsets[0]
    path.write_bytes(path.read_bytes()[:end])
    slide = open_slide(path)
    assert [level.width for level in slide.levels] == [512]
    assert (read_all(slide) == images[0](512, 512)).all()
    assert "1 of 5 tiles" in slide.notices[0]


def test_nothing_left_of_the_finest_level_is_refused(make_slide, images):
    path = make_slide(images[0](512, 512))
    with tifffile.TiffFile(path) as file:
        first = file.pages[0].dataoffsets[0]
    path.write_bytes(path.read_bytes()[: first + 10])
    assert refusal(path) == "slide.tif is cut off: nothing of its finest level is left; copy it again."


def test_list_of_images_that_is_lost_is_said(make_slide, images):
    path = make_slide(images[0](512, 512))
    content = path.read_bytes()
    for beyond in (len(content), len(content) + 1000, 0xFFFFFFFF):
        path.write_bytes(content[:4] + beyond.to_bytes(4, "little") + content[8:])
        assert "is cut off: the list of its images, which says where pixels lie, is lost" in refusal(path)


def test_list_of_images_that_breaks_off_is_said(make_slide, images):
    path = make_slide(images[0](512, 512), images[1](256, 256))
    with tifffile.TiffFile(path) as file:
        first, second = file.pages[0], file.pages[1]
        link = first.offset + 2 + 12 * len(first.tags)
    content = bytearray(path.read_bytes())
    content[link : link + 4] = (len(content) + 4).to_bytes(4, "little")
    path.write_bytes(content)
    slide = open_slide(path)
    assert second is not first
    assert [level.width for level in slide.levels] == [512]
    assert slide.notices == ("slide.tif is cut off: the list of its images breaks off; copy it again.",)


@pytest.mark.parametrize("compression", ["jpeg", "zlib", "zstd"])
def test_tile_cut_short_is_background(make_slide, images, compression):
    path = make_slide(images[1](512, 512), compression=compression)
    expected = read_all(open_slide(path))
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[2], file.pages[0].databytecounts[2]
    content = bytearray(path.read_bytes())
    content[offset + count // 3 : offset + count] = bytes(count - count // 3)
    path.write_bytes(content)
    slide = open_slide(path)
    expected[256:, :256] = 255
    assert (read_all(slide) == expected).all()
    assert len(slide.notices) == 1
    assert "damaged tile at x 0, y 256" in slide.notices[0]


# sizes that can't be


@pytest.mark.parametrize("size", [(1 << 31, 1 << 31), (0, 512), (512, 0), (50_000_000, 50_000_000)])
@pytest.mark.parametrize("backend", [None, "tiff", "openslide"])
def test_absurd_images(make_slide, images, size, backend):
    path = make_slide(images[0](512, 512), compression="jpeg")
    overwrite(path, 0, {"ImageWidth": size[0], "ImageLength": size[1]})
    assert len(refusal(path, backend=backend)) < 250


def test_byte_counts_of_gigabytes_never_reach_openslide(make_slide, images):
    """OpenSlide ends the process where it can't get the memory."""
    path = make_slide(images[0](512, 512), compression="jpeg", aperio=True)
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["TileByteCounts"].valueoffset
    content = bytearray(path.read_bytes())
    content[place : place + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(content)
    assert "cut off" in refusal(path, backend="openslide")
    assert "1 of 4 tiles (25 %)" in open_slide(path).notices[0]


def test_planes_by_the_billion(tmp_path, images):
    tifffile.imwrite(tmp_path / "x.ome.tif", images[0](256, 256), photometric="rgb", tile=(128, 128), metadata={"axes": "YXS"})
    with tifffile.TiffFile(tmp_path / "x.ome.tif") as file:
        text = file.ome_metadata
    assert 'SizeT="1"' in text
    options = {"photometric": "rgb", "tile": (128, 128), "metadata": None}
    for size in ("4000000000", "0", "1e9"):
        about = text.replace('SizeT="1"', f'SizeT="{size}"')
        tifffile.imwrite(tmp_path / "x.tif", images[0](256, 256), description=about.encode(), **options)
        assert "damaged" in refusal(tmp_path / "x.tif")


def test_subdirectories_in_a_circle(tmp_path):
    path = fuzz_samples.GENERATED["ome"](tmp_path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.subifds
        tag = page.tags["SubIFDs"]
        place, start = tag.valueoffset, page.offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(start.to_bytes(8, "little"))
    with open_slide(path) as slide:
        assert (slide.width, slide.height) == (360, 300)
        assert read_all(slide).shape == (300, 360, 3)


def test_associated_image_with_bytes_beyond_the_end(tmp_path):
    path = fuzz_samples.GENERATED["svs"](tmp_path)
    overwrite(path, 4, {"StripByteCounts": 0xFFFFFFF0})
    slide = open_slide(path)
    with pytest.raises(SlideError, match=r"The macro image of x.svs can't be decoded"):
        slide.associated_images["macro"]
    assert slide.associated_images["label"].shape == (40, 50, 3)


def test_window_beyond_the_edge_but_within_its_last_tile(make_slide, images):
    slide = open_slide(make_slide(images[0](300, 300)))
    assert (slide.read_region(310, 0, 64, 64) == 255).all()
    assert (slide.read_region(0, 400, 300, 5) == 255).all()
    assert (slide.read_patches([(310, 310), (301, 0)], 32, 0.5) == 255).all()
    assert (slide.read_region(290, 0, 64, 64)[:, :10] == images[0](300, 300)[:64, 290:]).all()


def test_blosc_chunk_cut_short_is_background(tmp_path):
    """numcodecs would read what lies in memory behind it."""
    folder = fuzz_samples.GENERATED["zarr2"](tmp_path)
    assert json.loads((folder / "1/.zarray").read_text())["compressor"]["id"] == "blosc"
    with open_slide(folder) as slide:
        expected = read_all(slide)
    chunk = folder / "1/0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:500])
    with open_slide(folder) as slide, open_slide(folder) as again:
        read = read_all(slide)
        assert (read[128:] == expected[128:]).all() or len(slide.notices) == 1
        assert len(slide.notices) == 1
        assert "damaged tile" in slide.notices[0]
        assert slide.fingerprint == again.fingerprint


# files that change while they are open


@pytest.mark.parametrize("kind", ["svs", "ndpi", "zarr2", "zarr3", "zarr_zip", "bif"])
@pytest.mark.parametrize("what", ["removed", "emptied", "replaced"])
def test_slide_that_goes_while_it_is_open(tmp_path, kind, what):
    path = fuzz_samples.GENERATED[kind](tmp_path)
    with open_slide(path) as slide:
        expected = read_all(slide)
    slide = open_slide(path)
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    if what == "removed":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file in files if what != "removed" else ():
        if what == "emptied":
            os.truncate(file, 0)
        else:
            file.write_bytes(b"\xff" * file.stat().st_size)
    read = read_all(slide)
    # an open file stays readable after it was removed
    if not (read == expected).all():
        assert slide.notices
        assert all(text.endswith(".") for text in slide.notices)
        if what != "replaced":
            assert (read == 255).all()
            assert "was changed, cut short or removed while it was open" in slide.notices[-1] or path.is_dir()
    slide.close()


def test_folder_that_disappears_is_said_once(tmp_path):
    folder = fuzz_samples.GENERATED["zarr2"](tmp_path)
    slide = open_slide(folder)
    shutil.rmtree(folder)
    assert (read_all(slide) == 255).all()
    assert len(slide.notices) == 1
    assert "removed while it was open" in slide.notices[0]


def test_many_threads_meet_the_same_damage_once(make_slide, images):
    path = make_slide(images[1](512, 512), compression="jpeg")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[3]
    content = bytearray(path.read_bytes())
    content[offset : offset + 300] = bytes(300)
    path.write_bytes(content)
    slide = open_slide(path)
    threads = [threading.Thread(target=read_all, args=(slide,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slide.notices) == 1


def test_openslide_error_of_one_thread_is_not_that_of_others(make_slide, images):
    """OpenSlide tells one error to all who read from the same handle."""
    pixels = images[1](2048, 2048)
    path = make_slide(pixels, compression="jpeg")
    expected = read_all(open_slide(path))
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = bytes(count)
    path.write_bytes(content)
    slide = open_slide(path, backend="openslide")
    reads: list[np.ndarray] = []
    places = [(x, y) for y in range(0, 2048, 512) for x in range(0, 2048, 512)] * 3
    threads = [threading.Thread(target=lambda at=at: reads.append((at, slide.read_region(*at, 512, 512)))) for at in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (x, y), read in reads:
        assert (x, y) == (0, 0) or (read == expected[y : y + 512, x : x + 512]).all()
    assert len(reads) == len(places)
    assert len(slide.notices) == 1


@pytest.mark.parametrize("backend", ["openslide", "tiff"])
def test_slide_cut_short_while_it_is_open(make_slide, images, backend):
    path = make_slide(images[1](1024, 1024), compression="jpeg")
    slide = open_slide(path, backend=backend)
    os.truncate(path, 20_000)
    read = read_all(slide)
    assert (read[512:] == 255).all()
    assert len(slide.notices) == 1
    assert "was changed, cut short or removed while it was open" in slide.notices[0]


def test_heights_by_the_dozen_never_reach_openslide(tmp_path):
    """OpenSlide takes memory for as many rows as the first of them says, and ends the process where it can't."""
    path = fuzz_samples.GENERATED["ndpi"](tmp_path)
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["ImageLength"].offset
    with path.open("r+b") as file:
        file.seek(place + 4)
        file.write((127).to_bytes(4, "little"))
    assert "states 127 numbers for one size" in refusal(path, backend="openslide")
    assert "damaged" in refusal(path)
