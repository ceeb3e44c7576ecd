from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide
from napari_wsimil.slides.backends.czi import is_czi

czi = pytest.importorskip("pylibCZIrw.czi", reason="pip install 'napari-wsimil[czi]'")


def write(path, *scenes, mpp=(0.22, 0.23), options=None, plane=None):
    """A CZI of scenes ((x, y), pixels), each stored in pieces of 500 pixels; Zeiss stores blue first."""
    with czi.create_czi(str(path), exist_ok=True, compression_options=options) as file:
        for number, ((x, y), pixels) in enumerate(scenes):
            for top in range(0, pixels.shape[0], 500):
                for left in range(0, pixels.shape[1], 500):
                    part = np.ascontiguousarray(pixels[top : top + 500, left : left + 500, ::-1])
                    file.write(part, location=(x + left, y + top), plane={"C": 0, **(plane or {})}, scene=number)
        if mpp:
            file.write_metadata(scale_x=mpp[0] * 1e-6, scale_y=mpp[1] * 1e-6)
    return path


@pytest.fixture
def pixels(images):
    return images[0](900, 1300)


def test_one_scene(tmp_path, pixels):
    # by content: the suffix says nothing
    slide = open_slide(write(tmp_path / "a.tif", ((-300, 200), pixels)))
    assert (slide.backend, slide.vendor, slide.notices) == ("czi", "zeiss", ())
    assert (slide.width, slide.height, slide.mpp) == (1300, 900, pytest.approx((0.22, 0.23)))
    assert (slide.mpp_source, len(slide.levels), len(slide.associated_images)) == ("vendor", 1, 0)
    assert (slide.read_region(0, 0, 1300, 900) == pixels).all()
    assert (slide.read_region(-10, 450, 700, 460)[:450, 10:] == pixels[450:, :690]).all()
    assert (slide.read_region(1290, 890, 20, 20)[10:, 10:] == 255).all()


def test_blue_comes_first_in_the_file(tmp_path, pixels):
    # the bytes of the first row of "Bgr24" as they lie in the file: what the reader turns around is Zeiss's order, not ours
    path = write(tmp_path / "a.czi", ((0, 0), pixels), options="uncompressed:")
    assert np.ascontiguousarray(pixels[0, :500, ::-1]).tobytes() in path.read_bytes()


class Piece:
    """A piece of a pyramid as libCZI describes it."""

    def __init__(self, shown, stored):
        self.logicalRect, self.physicalSize = Size(*shown), Size(*stored)


class Size:
    def __init__(self, w, h):
        self.w, self.h = w, h


def test_levels_are_the_layers_of_the_files_pyramid(tmp_path, images, monkeypatch):
    pixels = images[1](1203, 1301)
    path = write(tmp_path / "a.czi", ((-7, 11), pixels))
    # its writer makes no pyramid, so the directory is made up; libCZI shrinks the pixels instead
    sizes = [((500, 500), (500, 500)), ((1024, 1000), (512, 500)), ((301, 203), (150, 101)), ((1301, 1203), (325, 300))]
    pieces = [Piece(*size) for size in sizes]
    monkeypatch.setattr(czi.CziReader, "enumerate_subblocks", lambda self, note: [note(0, piece) for piece in pieces])
    slide = open_slide(path)
    assert [(level.width, level.height) for level in slide.levels] == [(1301, 1203), (650, 601), (325, 300)]
    assert (slide.read_region(0, 0, 1301, 1203) == pixels).all()
    for level, step in ((1, 2), (2, 4)):
        width, height = slide.levels[level].width, slide.levels[level].height
        shown = slide.read_region(0, 0, width, height, level=level)
        expected = pixels[: height * step, : width * step].reshape(height, step, width, step, 3).mean((1, 3))
        assert np.abs(shown - expected).mean() < 5


def test_scenes_lie_on_one_white_canvas(tmp_path, pixels):
    slide = open_slide(write(tmp_path / "a.czi", ((100, 50), pixels[:400, :600]), ((1000, 700), pixels[400:, 600:])))
    assert (slide.width, slide.height, slide.properties["czi.scenes"]) == (1600, 1150, "2")
    expected = np.full((1150, 1600, 3), 255, np.uint8)
    expected[:400, :600] = pixels[:400, :600]
    expected[650:, 900:] = pixels[400:, 600:]
    assert (slide.read_region(0, 0, 1600, 1150) == expected).all()


@pytest.mark.parametrize("options", ["uncompressed:", "zstd0:", "zstd1:"])
def test_compressed(tmp_path, images, options):
    pixels = images[1](600, 700)
    slide = open_slide(write(tmp_path / "a.czi", ((0, 0), pixels), options=options))
    assert (slide.read_region(0, 0, 700, 600) == pixels).all()


def test_without_pixel_size(tmp_path, pixels):
    slide = open_slide(write(tmp_path / "a.czi", ((0, 0), pixels), mpp=None))
    assert slide.mpp is None
    assert "does not say how many micrometres" in slide.notices[0]


def test_several_planes_are_said(tmp_path, pixels):
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for z in range(3):
            file.write(np.ascontiguousarray(pixels[:200, :200] // (z + 1)), location=(0, 0), plane={"C": 0, "Z": z}, scene=0)
    slide = open_slide(path, mpp=0.25)
    assert (slide.read_region(0, 0, 200, 200) == pixels[:200, :200, ::-1]).all()
    assert slide.notices == ("a.czi holds several planes in depth or time; only the first is shown.",)


def test_fluorescence_is_refused(tmp_path):
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for channel in range(2):
            file.write(np.zeros((100, 100, 1), np.uint16), location=(0, 0), plane={"C": channel})
    with pytest.raises(SlideError, match=r"a\.czi is a CZI with Gray16 pixels in 2 channels; only brightfield"):
        open_slide(path)


def test_cut_off_files_are_refused_or_say_what_is_missing(tmp_path, pixels):
    path = write(tmp_path / "a.czi", ((0, 0), pixels))
    whole = path.read_bytes()
    for count in (100, 5000, len(whole) // 2):
        path.write_bytes(whole[:count])
        with pytest.raises(SlideError, match=r"a\.czi is a damaged CZI"):
            open_slide(path)


def test_a_piece_that_claims_to_be_larger_is_refused_before_libczi_crashes_on_it(tmp_path, pixels):
    path = write(tmp_path / "a.czi", ((0, 0), pixels))
    content = bytearray(path.read_bytes())
    piece = content.index(b"ZISRAWSUBBLOCK")
    # the fifth byte of the length of its pixels
    content[piece + 45] = 255
    path.write_bytes(content)
    with pytest.raises(SlideError, match=rf"a\.czi is a damaged CZI \(at byte {piece}\)"):
        open_slide(path)


def test_reads_from_many_threads(tmp_path, pixels):
    slide = open_slide(write(tmp_path / "a.czi", ((0, 0), pixels)))
    wrong = []

    def read(seed):
        random = np.random.default_rng(seed)
        for _ in range(30):
            x, y = int(random.integers(0, 900)), int(random.integers(0, 500))
            # past the cache: every read calls libCZI
            tile = slide._backend.read_tile(0, x // 512, y // 512)
            left, top = x // 512 * 512, y // 512 * 512
            if not (tile == pixels[top : top + 512, left : left + 512]).all():
                wrong.append((x, y))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_closed(tmp_path, pixels):
    slide = open_slide(write(tmp_path / "a.czi", ((0, 0), pixels)))
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="was closed"):
        slide._backend.read_tile(0, 0, 0)


def test_missing_reader_is_named(tmp_path, pixels, monkeypatch):
    path = write(tmp_path / "a.czi", ((0, 0), pixels))
    assert is_czi(path)
    monkeypatch.setitem(sys.modules, "pylibCZIrw", None)
    with pytest.raises(SlideError, match=r"a\.czi is a Zeiss CZI; install its reader with pip install 'napari-wsimil\[czi\]'"):
        open_slide(path)
