"""SVS, QPTIFF, OME-TIFF and plain TIFF as their writers make them, and files whose numbers can't be true."""

from __future__ import annotations

import base64
import re
import time

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide
from napari_wsimil.slides.backends.base import TileError
from napari_wsimil.slides.backends.tiff.planes import make_plane

APERIO = "Aperio Image Library v11.2.1 \n{w}x{h} [0,100 {w}x{h}] (256x256) J2K/YUV16 Q=30|AppMag = 40|MPP = 0.25"
# 32 x 32 px of luma and 16 x 32 of each chroma, made with OpenJPEG: no encoder that Python packages bring can make one
SUBSAMPLED = base64.b85decode(
    r"|4;u>051Rl0000W0000W00000000000000W0000W000000000000RdB0S5vB2Lb{AQUDA9000311q1{D0smY86F@*nNKi;fP)JBnNJvmfNKpS|"
    r"03`qcLvm$dbY)~9VtF7>aAj^vP(?=|c4cyNX>V>IGA=bPH2;tQ3IG5A00Tw<0soW1@&W`u&$I{xufg&H1V6y}0YmBnhuQ=PKL}p|kHGl=fC10I"
    r"2nC<V+6zAbX#4?y04q4p=?ji`$ryhM?jrGYkH^{v0O(MCKwtzoj{?687Ej082Lt2<53~#g{dEh&3P^9m>JEq0Ap_?c9G1mx3)~t|Gvuehmp>PV"
    r"92-j-J8}9*b<v-f|34rbmM+8_>+A;Nh3sF)+7Scf3jlOL7cB}4K&5Ic11HjuKMu*K-NWh$htv-N@&*?L8>tT(TNT$DA_z*^-"
    r")|Zu9pVdf!|Eo7)KdfJG&ZF|kYA3BL~E%*qUEk1@C<zh%FDi6MPm?n8*k5a%wHFu*6sL1fT&S<;EMgjeFf1AqAw1_WbnV&>CeU;Hm6x7Y+icw!"
    r"}HP<^Sw1MVpe@$K*eFt3qok{_Q!8W+0ylaH#X{AR}aJL6@d6lfI2uKaIZG~g8+aC3Yk-DnTZ(<a=LMkDJ2-"
    r"re_RK{r%``6g#oD+pAW(Fk%Q+S0Ca#MTZy(u6U8q{)}d`XS&1cwE<xB7x;xxFF8Tk20k%^faQUKmirsI)^U@&s>QE1c)L)1;kE8&PTGcy|e~4~"
    r"f)ATt|LognCeNa+(s|w(72DuuzLlDkZ7aL#XMK>L07&ijS@m8K@Ppt|YTH@S6S_H4K0GyM@$Dg-"
    r"!D`6m0b*8^;;FtKqSRRUiVNVy|m+g=uqXRSySrMhY-J(1_6Mey$o8kazrfl2!Bll}`@$I$z@M-"
    r"p!ShBQu?KkWqbYal2C0ASb@^b*Kn`HD0hqDd>QS)MS#Jf*8!*0>=qTh}VsE+QTAJbnIn6Y{%cNf`sPi~)0FLZ+~;2}`?!Skhnb=U)}fHn0JSJ="
    r"3rh0{DGKc&~KbpvCvrzuPD!BRNvu!A3w#5icINUAF?e&SkEIT-"
    r"U&L1l;zFCN(Q(}?vyJ9xq2Y|pcVBd1CXaoOxlL>x`ioF7XNjqe~6v}Q)z!1)e9`3*n|U^VgM#0uFsNNxvFs*-{S$i583at@}IaIGtf--"
    r"IA0*i2B5?a{Dd8azo=D2IZm46J*bB8<fpEM7vg?vzp6@KhM4m70y^td`18;1xgr*#"
)


def write_aperio(path, tiles, shape, compression, size=64):
    """A tiled page whose tiles are compressed already."""
    description = APERIO.format(w=shape[1], h=shape[0])
    options = {"photometric": "rgb", "description": description, "metadata": None, "compression": compression}
    tifffile.imwrite(path, iter(tiles), shape=shape, dtype=np.uint8, tile=(size, size), **options)
    return path


def tiles_of(pixels, size=64):
    for y in range(0, pixels.shape[0], size):
        for x in range(0, pixels.shape[1], size):
            tile = pixels[y : y + size, x : x + size]
            yield np.pad(tile, ((0, size - tile.shape[0]), (0, size - tile.shape[1]), (0, 0)), "edge")


def jpeg2000(tile, mct):
    return imagecodecs.jpeg2k_encode(tile, level=0, reversible=True, mct=mct, codecformat="J2K")


def read_all(slide, level=0):
    about = slide.levels[level]
    return slide.read_region(0, 0, about.width, about.height, level=level)


def openslide_pixels(path, vendor="aperio"):
    reference = openslide.OpenSlide(path)
    assert reference.properties["openslide.vendor"] == vendor
    return np.asarray(reference.read_region((0, 0), 0, reference.dimensions))[..., :3]


def test_aperio_jpeg_2000_with_luma_and_chroma(tmp_path, images):
    """33003: what is stored is Y, Cb, Cr, and nothing in the stream says so."""
    stored = images[0](200, 300)
    path = write_aperio(tmp_path / "x.svs", (jpeg2000(tile, mct=False) for tile in tiles_of(stored)), stored.shape, 33003)
    slide = open_slide(path)
    assert (slide.backend, slide.vendor, slide.objective_power, slide.mpp) == ("tiff", "aperio", 40, (0.25, 0.25))
    assert (read_all(slide) == openslide_pixels(path)).all()
    assert (slide.read_region(50, 60, 100, 90) == openslide_pixels(path)[60:150, 50:150]).all()


def test_aperio_jpeg_2000_with_half_the_columns_of_chroma(tmp_path):
    path = write_aperio(tmp_path / "x.svs", [SUBSAMPLED] * 6, (60, 96, 3), 33003, size=32)
    slide = open_slide(path)
    assert slide.backend == "tiff"
    difference = abs(read_all(slide).astype(int) - openslide_pixels(path))
    # OpenJPEG cuts off where OpenSlide rounds
    assert difference.max() <= 1
    assert difference.mean() < 0.5


def test_aperio_jpeg_2000_in_rgb(tmp_path, images):
    pixels = images[0](200, 300)
    path = write_aperio(tmp_path / "x.svs", (jpeg2000(tile, mct=True) for tile in tiles_of(pixels)), pixels.shape, 33005)
    slide = open_slide(path)
    assert slide.backend == "tiff"
    assert (read_all(slide) == pixels).all()
    assert (openslide_pixels(path) == pixels).all()


def test_33003_of_other_writers_is_rgb(tmp_path, images):
    """bfconvert writes it so."""
    pixels = images[0](128, 192)
    tiles = (jpeg2000(tile, mct=True) for tile in tiles_of(pixels))
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, tiles, shape=pixels.shape, dtype=np.uint8, tile=(64, 64), photometric="rgb", compression=33003)
    assert (read_all(open_slide(path, mpp=0.5)) == pixels).all()


PARTS = {
    "thumbnail": ((100, 150), "{base}\n600x400 -> 150x100", 0),
    "label": ((90, 80), "Aperio Image Library v11.2.1 \nlabel 80x90", 1),
    "macro": ((60, 190), "Aperio Image Library v11.2.1 \nmacro 190x60", 9),
}


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize("names", [("thumbnail", "label", "macro"), ("thumbnail", "macro"), ("label", "macro"), ("macro",), ()])
def test_aperio_images_beside_the_slide(tmp_path, images, names, described):
    """A de-identified slide lacks the label, and some lack the thumbnail: no name may move to another image."""
    base = "Aperio Image Library v11.2.1 \n600x400 (256x256) JPEG/RGB Q=70|AppMag = 20|MPP = 0.5"
    levels = [images[0](400, 600), images[0](100, 150, seed=2)]
    made = {name: images[0](*PARTS[name][0], seed=number) for number, name in enumerate(PARTS)}
    path = tmp_path / "x.svs"
    with tifffile.TiffWriter(path) as file:
        options = {"photometric": "rgb", "metadata": None}
        file.write(levels[0], tile=(256, 256), description=base, **options)
        for name in names[:1] if names[:1] == ("thumbnail",) else ():
            file.write(made[name], description=PARTS[name][1].format(base=base), **options)
        file.write(levels[1], tile=(256, 256), description=base, **options)
        for name in (name for name in names if name != "thumbnail"):
            text = PARTS[name][1] if described else "Aperio"
            file.write(made[name], description=text, subfiletype=PARTS[name][2], compression="lzw", **options)
    slide = open_slide(path)
    assert [about.width for about in slide.levels] == [600, 150]
    assert (read_all(slide, 1) == levels[1]).all()
    assert set(slide._backend.associated_names()) == set(names)
    for name in names:
        assert (slide.associated_images[name] == made[name]).all()


def qpi_description(kind, **more):
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in {"ImageType": kind, **more}.items())
    root = "PerkinElmer-QPI-ImageDescription"
    return f'<?xml version="1.0" encoding="utf-16"?>\r\n<{root}>{inner}</{root}>'


def write_qptiff(path, pages, mpp=0.5):
    """Pages as (pixels, kind, further XML elements), in the order in which the scanners write them."""
    with tifffile.TiffWriter(path) as file:
        for pixels, kind, more in pages:
            photometric = "rgb" if pixels.ndim == 3 else "minisblack"
            tile = (256, 256) if kind.endswith("Resolution") else None
            where = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
            options = {"photometric": photometric, "tile": tile, "metadata": None, "software": "PerkinElmer-QPI", **where}
            file.write(pixels, description=qpi_description(kind, **more), compression="lzw", **options)
    return path


SCAN = "<root><PixelSizeMicrons>0.498</PixelSizeMicrons><Magnification>20</Magnification></root>"


@pytest.mark.parametrize(
    ("more", "mpp", "power"),
    [
        ({"ScanProfile": SCAN}, 0.498, 20),
        ({"Objective": "40x"}, 0.5, 40),
        ({"ScanProfile": "{&quot;json&quot;: 1}"}, 0.5, None),
    ],
)
def test_brightfield_qptiff(tmp_path, images, more, mpp, power):
    levels = [images[0](1000, 1400), images[0](500, 700, seed=1), images[0](250, 350, seed=2)]
    beside = {"thumbnail": images[0](125, 175), "macro": images[0](80, 200), "label": images[0](90, 70)}
    pages = [
        (levels[0], "FullResolution", more),
        (beside["thumbnail"], "Thumbnail", {}),
        (levels[1], "ReducedResolution", {}),
        (levels[2], "ReducedResolution", {}),
        (beside["macro"], "Overview", {}),
        (beside["label"], "Label", {}),
    ]
    slide = open_slide(write_qptiff(tmp_path / "x.qptiff", pages))
    assert (slide.backend, slide.vendor, slide.notices, slide.objective_power) == ("tiff", "akoya", (), power)
    assert (slide.mpp, slide.mpp_source) == (pytest.approx((mpp, mpp)), "vendor")
    for number, pixels in enumerate(levels):
        assert (read_all(slide, number) == pixels).all()
    assert set(slide._backend.associated_names()) == set(beside)
    for name, pixels in beside.items():
        assert (slide.associated_images[name] == pixels).all()
    assert slide.properties["akoya.ImageType"] == "FullResolution"


def test_fluorescence_qptiff_is_refused(tmp_path, images):
    channels = [
        (images[0](300, 400, seed=number)[..., 0], "FullResolution", {"Name": name}) for number, name in enumerate("ABC")
    ]
    path = write_qptiff(tmp_path / "x.qptiff", [*channels, (images[0](75, 100), "Thumbnail", {})])
    with pytest.raises(SlideError, match=r"x\.qptiff is a fluorescence QPTIFF: only brightfield RGB slides can be opened\."):
        open_slide(path)


LOSSLESS = {
    "none": {},
    "lzw": {"compression": "lzw", "predictor": True},
    "zlib": {"compression": "zlib"},
    "zstd": {"compression": "zstd", "predictor": True},
    "lzma": {"compression": "lzma"},
    "packbits": {"compression": "packbits"},
    "webp": {"compression": "webp", "compressionargs": {"lossless": True}},
    "jpeg2000": {"compression": "jpeg2000"},
    "jpegxl": {"compression": "jpegxl", "compressionargs": {"lossless": True}},
}


@pytest.mark.parametrize("codec", LOSSLESS)
@pytest.mark.parametrize("kind", ["tiled", "strips", "planar", "planar strips", "big-endian", "bigtiff"])
def test_every_pixel_of_lossless_tiff(tmp_path, images, codec, kind):
    pixels = images[0](277, 333)
    options = {"photometric": "rgb", **LOSSLESS[codec]}
    options |= {"rowsperstrip": 50} if "strips" in kind else {"tile": (128, 128)}
    options |= {"byteorder": ">"} if kind == "big-endian" else {"bigtiff": kind == "bigtiff"}
    if "planar" in kind:
        if codec == "webp":
            pytest.skip("WebP has no grey images")
        options["planarconfig"] = "separate"
        pixels = np.moveaxis(pixels, 2, 0)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.ascontiguousarray(pixels), **options)
    slide = open_slide(path, mpp=0.5)
    expected = np.moveaxis(pixels, 0, 2) if "planar" in kind else pixels
    assert slide.backend == "tiff"
    assert (read_all(slide) == expected).all()
    assert (slide.read_region(100, 33, 200, 240) == expected[33:273, 100:300]).all()


@pytest.mark.parametrize("planar", [True, False])
@pytest.mark.parametrize(
    "codec", [{}, {"compression": "lzw"}, {"compression": "jpeg", "compressionargs": {"level": 95}}], ids=str
)
def test_ome_tiff_with_a_pyramid_in_subifds(tmp_path, images, planar, codec):
    levels = [images[1](600, 800), images[1](300, 400), images[1](150, 200)]
    if planar:
        levels = [np.ascontiguousarray(np.moveaxis(level, 2, 0)) for level in levels]
    axes = {"axes": "SYX" if planar else "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, "SignificantBits": 8}
    options = {"tile": (256, 256), "photometric": "rgb", "planarconfig": "separate" if planar else "contig", **codec}
    path = tmp_path / "x.ome.tif"
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as file:
        file.write(levels[0], subifds=2, metadata=axes, **options)
        for level in levels[1:]:
            file.write(level, subfiletype=1, **options)
    slide = open_slide(path)
    assert (slide.backend, slide.vendor, slide.mpp, slide.mpp_source) == ("tiff", "ome", (0.25, 0.25), "ome")
    assert [about.downsample for about in slide.levels] == [1, 2, 4]
    for number in range(3):
        expected = tifffile.imread(path, level=number)
        assert (read_all(slide, number) == (np.moveaxis(expected, 0, 2) if planar else expected)).all()


def test_ome_tiff_whose_pixels_lie_elsewhere_is_refused(tmp_path, images):
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", images[0](64, 64), photometric="rgb", ome=True)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        text, uuid = file.ome_metadata, "urn:uuid:00000000-0000-0000-0000-00000000000b"
    elsewhere = f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="b.ome.tif">{uuid}</UUID></TiffData>'
    text = text.replace('<TiffData IFD="0" PlaneCount="1"/>', elsewhere)
    tifffile.imwrite(tmp_path / "c.ome.tif", images[0](64, 64), photometric="rgb", description=text, metadata=None)
    other = re.sub('UUID="[^"]*"', f'UUID="{uuid}"', text, count=1)
    tifffile.imwrite(tmp_path / "b.ome.tif", images[0](64, 64), photometric="rgb", description=other, metadata=None)
    with pytest.raises(SlideError, match="other files"):
        open_slide(tmp_path / "c.ome.tif")


def test_entities_in_a_description_are_refused(tmp_path, images):
    text = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><OME xmlns="x">&a;</OME>'
    tifffile.imwrite(tmp_path / "x.tif", images[0](64, 64), photometric="rgb", description=text, metadata=None)
    with pytest.raises(SlideError, match="XML entities"):
        open_slide(tmp_path / "x.tif", backend="tiff")


PROFILE = b"an ICC profile" * 20


@pytest.mark.parametrize("kind", ["plain", "aperio", "ome", "qptiff"])
def test_icc_profile(tmp_path, images, kind):
    path, tag = tmp_path / "x.tif", {"extratags": [(34675, 7, len(PROFILE), PROFILE, True)]}
    options = {"photometric": "rgb", "tile": (64, 64), **tag}
    if kind == "aperio":
        options |= {"description": APERIO.format(w=128, h=128), "metadata": None}
    elif kind == "qptiff":
        options |= {"description": qpi_description("FullResolution"), "software": "PerkinElmer-QPI", "metadata": None}
    tifffile.imwrite(path, images[0](128, 128), ome=kind == "ome", **options)
    assert open_slide(path, mpp=0.5)._backend.metadata.icc_profile == PROFILE


@pytest.mark.parametrize(
    ("pixels", "photometric", "text"),
    [
        (np.zeros((64, 64), np.uint8), "minisblack", "8-bit integer image with axes YX"),
        (np.zeros((64, 64), np.uint8), "palette", "8-bit integer image with axes YX"),
        (np.zeros((64, 64, 3), np.uint16), "rgb", "16-bit integer pixels"),
        (np.zeros((3, 64, 64), np.uint8), "minisblack", "axes [QI]YX"),
    ],
)
def test_what_is_not_colour_is_refused(tmp_path, pixels, photometric, text):
    colours = {"colormap": np.zeros((3, 256), np.uint16)} if photometric == "palette" else {}
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric=photometric, tile=(64, 64), metadata=None, **colours)
    with pytest.raises(SlideError, match=text):
        open_slide(tmp_path / "x.tif")


ABSURD = {
    "no tile width": ({"TileWidth": 0}, "damaged"),
    "huge tiles": ({"TileWidth": 1 << 20, "TileLength": 1 << 20}, "damaged"),
    "no pixels": ({"ImageWidth": 0}, "damaged"),
    "too wide": ({"ImageWidth": 1 << 30}, "damaged"),
    "more tiles than listed": ({"ImageWidth": 100_000, "ImageLength": 100_000}, "lists 16 of"),
    "samples": ({"SamplesPerPixel": 200}, "damaged|not one RGB plane"),
    "wrong type": ({"ImageWidth": -1}, "damaged"),
}


@pytest.mark.parametrize("name", ABSURD)
@pytest.mark.parametrize("aperio", [True, False])
def test_absurd_numbers_are_refused_in_one_sentence(make_slide, images, name, aperio):
    values, text = ABSURD[name]
    path = make_slide(images[0](1000, 1000), aperio=aperio)
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages[0].tags
        places = {name: (tags[name].offset, value) for name, value in values.items()}
    with path.open("r+b") as file:
        for offset, value in places.values():
            # -1: a type that a size never has
            file.seek(offset + (2 if value < 0 else 8))
            file.write((2).to_bytes(2, "little") if value < 0 else value.to_bytes(4, "little"))
            if value >= 0:
                file.seek(offset + 2)
                file.write((4).to_bytes(2, "little"))
    with pytest.raises(SlideError, match=text) as caught:
        open_slide(path, backend="tiff")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("length", [1, 3, 150])
def test_directories_in_a_circle_are_refused(tmp_path, length, big):
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path, bigtiff=big) as file:
        for _ in range(length):
            file.write(np.zeros((16, 16, 3), np.uint8), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0], file.pages[length - 1]
        link = last.offset + file.tiff.tagnosize + len(last.tags) * file.tiff.tagsize
        start, size = first.offset, file.tiff.offsetsize
    with path.open("r+b") as file:
        file.seek(link)
        file.write(start.to_bytes(size, "little"))
    began = time.thread_time()
    with pytest.raises(SlideError, match="lead in a circle"):
        open_slide(path)
    assert time.thread_time() - began < 5


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "zlib"])
def test_tile_of_another_size_is_background(make_slide, images, compression):
    path = make_slide(images[1](512, 512), compression=compression)
    expected = read_all(open_slide(path))
    small = make_slide(images[1](64, 64), name="small.tif", compression=compression, tile=(64, 64))
    with tifffile.TiffFile(small) as file:
        piece = small.read_bytes()[file.pages[0].dataoffsets[0] :][: file.pages[0].databytecounts[0]]
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        offset, tag = page.dataoffsets[1], page.tags["TileByteCounts"]
        place = tag.valueoffset + 1 * (2 if tag.dtype == 3 else 4)
        width = 2 if tag.dtype == 3 else 4
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(piece)
        file.seek(place)
        file.write(len(piece).to_bytes(width, "little"))
    slide = open_slide(path)
    expected[:256, 256:] = 255
    assert (read_all(slide) == expected).all()
    assert len(slide.notices) == 1
    assert "x 256, y 0" in slide.notices[0]


def test_tile_that_claims_gigapixels_takes_no_memory(tmp_path, images):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, images[1](256, 256), tile=(256, 256), photometric="rgb", compression="jpeg2000")
    content = path.read_bytes()
    start = content.index(b"\xff\x4f\xff\x51")
    path.write_bytes(content[: start + 8] + (60000).to_bytes(4, "big") * 2 + content[start + 16 :])
    slide = open_slide(path, mpp=0.5)
    assert (read_all(slide) == 255).all()
    assert "claims 60000 x 60000 pixels" in slide.notices[0]


def test_count_of_gigabytes_is_a_damaged_tile(make_slide, images):
    path = make_slide(images[0](512, 512))
    with tifffile.TiffFile(path) as file:
        plane = make_plane(file.pages[0])
    plane.counts[0] = 1 << 31
    with pytest.raises(TileError, match="claims 2147483648 bytes"):
        plane.read_tile(None, 0, 0)


def test_bytes_that_can_not_be_read_are_a_damaged_tile(make_slide, images):
    class Disk:
        def read(self, *_):
            raise OSError(5, "Input/output error")

    with tifffile.TiffFile(make_slide(images[0](512, 512))) as file:
        plane = make_plane(file.pages[0])
    with pytest.raises(TileError, match="Input/output error"):
        plane.read_tile(Disk(), 0, 0)


def test_qptiff_described_in_utf_16(tmp_path, images):
    about = qpi_description("FullResolution", Objective="20x").encode("utf-16")
    options = {"photometric": "rgb", "tile": (64, 64), "metadata": None, "software": "PerkinElmer-QPI"}
    path = tmp_path / "x.qptiff"
    tifffile.imwrite(path, images[0](128, 128), extratags=[(270, 1, len(about), about, True)], **options)
    slide = open_slide(path, mpp=0.5)
    assert (slide.vendor, slide.objective_power) == ("akoya", 20)
