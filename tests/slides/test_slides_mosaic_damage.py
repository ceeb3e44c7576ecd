"""Philips, Leica, Ventana and Trestle files that state what can't be: one sentence each, before any memory is taken."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import vendor_files as make

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide
from napari_wsimil.slides.backends.base import UnsupportedError
from napari_wsimil.slides.backends.tiff import TiffBackend

BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
AREA = {"first": (0, 0), "count": (3, 2), "place": (0, 0), "overlap": (16, 8)}


def refusal(path):
    """The sentence, which costs no memory worth speaking of."""
    tracemalloc.start()
    try:
        with pytest.raises(SlideError) as caught:
            open_slide(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    return text


@pytest.fixture
def pixels(images):
    noise, _ = images
    return noise(256, 384)


class TestLeica:
    def write(self, tmp_path, pixels, change=lambda text: text, **options):
        xml = lambda images, glass: change(make.leica_xml(images, glass))  # noqa: E731
        return make.write_leica(tmp_path / "a.scn", [(pixels, (20_000, 30_000))], xml=xml, **options)

    def test_fluorescence(self, tmp_path, pixels):
        assert "fluorescence only: only brightfield RGB" in refusal(self.write(tmp_path, pixels, lights=["fluorescence"]))

    def test_different_objectives(self, tmp_path, pixels):
        regions = [(pixels, (0, 50_000)), (pixels, (200_000, 50_000))]
        path = make.write_leica(tmp_path / "a.scn", regions, objectives=[20, 40])
        assert "different magnifications" in refusal(path)

    @pytest.mark.parametrize(
        ("old", "new", "reason"),
        [
            ("<?xml", BOMB + "<?xml", "no XML that can be read"),
            ("</collection>", "", "no XML that can be read"),
            ("<collection", "<nothing", "no XML that can be read"),
            ('offsetX="20000"', "", "no number offsetX"),
            ('offsetX="20000"', 'offsetX="nan"', "no number offsetX"),
            ('offsetX="20000"', 'offsetX="1e300"', "places an image at 1e+300"),
            ('sizeX="400000"', 'sizeX="500000000000"', "image of 1e+09 x"),
            ('<view sizeX="192000"', '<view sizeX="1e-300"', "states an image of"),
            ('<view sizeX="192000"', '<view sizeX="-5"', "without pixels"),
            ('ifd="1"', 'ifd="7"', "tells of page 7"),
            ('ifd="1"', 'ifd="-1"', "tells of page -1"),
            ('ifd="1"', 'ifd="1.5"', "whole number"),
            ("<view ", "<nothing ", "where an image lies"),
        ],
    )
    def test_description(self, tmp_path, pixels, old, new, reason):
        def change(text):
            assert old in text
            return text.replace(old, new)

        assert reason in refusal(self.write(tmp_path, pixels, change))

    def test_very_many_regions(self, tmp_path, pixels):
        def change(text):
            region = text[text.rindex("<image>") : text.index("</collection>")]
            return text.replace("</collection>", region * 1200 + "</collection>")

        assert "1202 scanned regions" in refusal(self.write(tmp_path, pixels, change))


class TestVentana:
    @pytest.mark.parametrize(
        ("old", "new", "reason"),
        [
            ("<EncodeInfo", BOMB + "<EncodeInfo", "no XML that can be read"),
            ('NumCols="3"', 'NumCols="1000000000"', "1000000000 x 2 tiles"),
            ('NumCols="3"', 'NumCols="-3"', "-3 x 2 tiles"),
            ('NumRows="2"', 'NumRows="0"', "3 x 0 tiles"),
            ('NumRows="2"', "", "no number NumRows"),
            ('Width="128"', 'Width="64"', "tiles of 64 x 128"),
            ('OriginX="0"', 'OriginX="-128"', "3 x 2 tiles"),
            ('OriginX="0"', 'OriginX="1e18"', "3 x 2 tiles"),
            ('OriginX="0"', 'OriginX="5"', "does not begin with a tile"),
            ('Pos-X="0"', 'Pos-X="1e12"', "at x 1e+12"),
            ('Pos-X="0"', 'Pos-X="inf"', "no number Pos-X"),
            ('Tile1="1"', 'Tile1="0"', "a tile 0 of 6"),
            ('Tile1="1"', 'Tile1="700"', "a tile 700 of 6"),
            ('Tile1="1"', 'Tile1="3"', "no neighbours"),
            ('Direction="UP"', 'Direction="DOWN"', "direction that is not known"),
            ('OverlapX="16"', 'OverlapX="100"', "overlap by 100 x 8"),
            ('OverlapX="16"', 'OverlapX="-1e308"', "overlap by -"),
            ('Confidence="98"', 'Confidence="-1"', "sure of a joint"),
            ("<AoiOrigin>", "<AoiOrigin><More/>", "1 scanned areas and 2 places"),
            ('AOIScanned="1"', 'AOIScanned="0"', "no area that was scanned"),
        ],
    )
    def test_encoding(self, tmp_path, pixels, old, new, reason):
        text = make.ventana_xml([AREA])
        assert old in text
        path = make.write_ventana(tmp_path / "a.bif", pixels, [AREA], xml=text.replace(old, new))
        with pytest.raises(SlideError, match=reason.replace("+", r"\+")) as caught:
            TiffBackend(path)
        if not isinstance(caught.value, UnsupportedError):
            assert reason in refusal(path)

    @pytest.mark.parametrize(
        ("scan", "reason"),
        [
            ("<Metadata>" + BOMB + "<iScan/></Metadata>", "no XML that can be read"),
            ("<Metadata><a><iScan/></a></Metadata>", "no scan"),
        ],
    )
    def test_scan(self, tmp_path, pixels, scan, reason):
        assert reason in refusal(make.write_ventana(tmp_path / "a.bif", pixels, [AREA], scan=scan))

    def test_level_that_shrinks_by_no_whole_number_is_openslides(self, tmp_path, pixels):
        path = make.write_ventana(tmp_path / "a.bif", pixels, [AREA], levels=2, magnifications=[20, 8])
        with open_slide(path) as slide:
            assert slide.backend == "openslide"
            assert slide.vendor == "ventana"
            assert "smaller by 2.5" in slide.notices[0]

    @pytest.mark.parametrize("magnifications", [[20, 20], [20, 0], [20, 1e-310], [20, float("nan")]])
    def test_magnifications(self, tmp_path, pixels, magnifications):
        path = make.write_ventana(tmp_path / "a.bif", pixels, [AREA], levels=2, magnifications=magnifications)
        assert "out of order" in refusal(path)


class TestPhilips:
    @pytest.mark.parametrize(
        ("spacings", "reason"),
        [
            (["0.00025 0.00025", "0 0"], "no two numbers"),
            (["nan nan", "0.0005 0.0005"], "no two numbers"),
            (["0.00025", "0.0005"], "no two numbers"),
            (["0.00025 0.00025"], "tells of 1"),
            (["1e-300 1e-300", "1e300 1e300"], "smaller by inf"),
            (["0.00025 0.00025", "0.00025 0.00025"], "says 384 x 256"),
        ],
    )
    def test_spacings(self, tmp_path, pixels, spacings, reason):
        path = make.write_philips(tmp_path / "a.tiff", pixels, levels=2, xml=make.philips_xml(spacings))
        with pytest.raises(SlideError, match=reason):
            TiffBackend(path)

    def test_entities(self, tmp_path, pixels):
        xml = make.philips_xml(["1 1"]).replace("<DataObject", BOMB + "<DataObject", 1)
        assert "no XML" in refusal(make.write_philips(tmp_path / "a.tiff", pixels, levels=1, xml=xml))

    def test_two_slides(self, tmp_path, pixels):
        path = make.write_philips(tmp_path / "a.tiff", pixels, levels=1, xml=make.philips_xml(["1 1"], slides=2))
        assert "2 whole-slide images" in refusal(path)

    def test_label_that_is_no_picture(self, tmp_path, pixels):
        path = make.write_philips(tmp_path / "a.tiff", pixels, levels=1, label=b"no JPEG")
        with open_slide(path) as slide, pytest.raises(SlideError, match="label"):
            slide.associated_images["label"]


class TestTrestle:
    @pytest.mark.parametrize(
        ("overlaps", "reason"),
        [("128 0", "overlap of 128"), ("9999999999 0", "no numbers"), ("-5 0", "no numbers"), ("x y", "no numbers")],
    )
    def test_overlaps(self, tmp_path, pixels, overlaps, reason):
        path = make.write_trestle(tmp_path / "a.tif", [pixels], [], description=f"OverlapsXY= {overlaps}")
        assert reason in refusal(path)

    def test_large_overlap_is_openslides(self, tmp_path, pixels):
        with open_slide(make.write_trestle(tmp_path / "a.tif", [pixels], [(100, 0)])) as slide:
            assert slide.backend == "openslide"
            assert "more than half" in slide.notices[0]


@pytest.mark.parametrize(
    ("tag", "value"), [(256, 10**9), (256, 0), (257, 5_000_000), (322, 10**9), (322, 16), (323, 1), (323, 2**31)]
)
@pytest.mark.parametrize("write", [make.write_philips, make.write_trestle])
def test_absurd_sizes(tmp_path, pixels, write, tag, value):
    """Of the image (256, 257) and its tiles (322, 323)."""
    path = write(tmp_path / "a.tif", pixels) if write is make.write_philips else write(tmp_path / "a.tif", [pixels], [(0, 0)])
    make.patch_tag(path, tag, value)
    assert "copy it again" in refusal(path)


def test_grey_pixels(tmp_path, images):
    noise, _ = images
    path = make.write_trestle(tmp_path / "a.tif", [noise(256, 256)[..., 0]], [], photometric="minisblack")
    assert "only brightfield RGB" in refusal(path)


def test_damaged_tile_is_white_and_the_rest_is_there(tmp_path, images):
    _, smooth = images
    path = make.write_trestle(tmp_path / "a.tif", [smooth(512, 512)], [(16, 8)], compression="jpeg", photometric="ycbcr")
    with open_slide(path) as slide:
        sound = slide.read_region(0, 0, slide.width, slide.height)
    plane = TiffBackend(path)._images[0].areas[0].plane
    data = bytearray(path.read_bytes())
    start, count = plane.offsets[5], plane.counts[5]
    data[start + count // 2 : start + count] = bytes(count - count // 2)
    path.write_bytes(data)
    with open_slide(path) as slide:
        pixels = slide.read_region(0, 0, slide.width, slide.height)
        assert "damaged tile" in slide.notices[0]
    # tile 5 is the second of the second row; its edges are covered by its neighbours
    changed = (pixels != sound).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows.min() >= 120
    assert rows.max() < 240
    assert columns.min() >= 112
    assert columns.max() < 224
    assert (pixels[128:240, 128:224] == 255).all()
