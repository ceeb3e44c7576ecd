"""Slides whose stored tiles are not where they belong: Philips, Leica, Ventana and Trestle, against OpenSlide."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import openslide
import pytest
import vendor_files as make

from napari_wsimil.slides import open_slide
from napari_wsimil.slides._cache import SHARED
from napari_wsimil.slides.backends.tiff import TiffBackend


def on_white(region):
    """RGB of OpenSlide's RGBA, whose pixels are either there or not."""
    pixels = np.asarray(region)
    return np.where(pixels[..., 3:] == 0, np.uint8(255), pixels[..., :3])


def from_tiles(backend, index):
    """A whole level, tile by tile."""
    level = backend.levels[index]
    (width, height), (columns, rows) = level.tile_size, level.tiles
    canvas = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for row in range(rows):
        for column in range(columns):
            tile = backend.read_tile(index, column, row)
            if tile is not None:
                place = canvas[row * height :, column * width :]
                place[: tile.shape[0], : tile.shape[1]] = tile
    return canvas[: level.height, : level.width]


def whole(reference, level):
    return on_white(reference.read_region((0, 0), level, reference.level_dimensions[level]))


def assert_like_openslide(path, vendor):
    """The same slide as OpenSlide's: vendor, levels, mpp, power, properties, all pixels, associated images."""
    backend = TiffBackend(path)
    with openslide.OpenSlide(path) as reference:
        given, metadata = reference.properties, backend.metadata
        assert given["openslide.vendor"] == metadata.vendor == vendor
        assert [(level.width, level.height) for level in backend.levels] == list(reference.level_dimensions)
        assert metadata.mpp == pytest.approx([float(given[f"openslide.mpp-{axis}"]) for axis in "xy"])
        assert metadata.mpp_source == "vendor"
        power = given.get("openslide.objective-power")
        assert metadata.objective_power == (None if power is None else float(power))
        theirs = {key: value for key, value in given.items() if key.startswith((f"{vendor}.", "openslide.bounds"))}
        assert {key: metadata.properties.get(key) for key in theirs} == theirs
        for level in range(reference.level_count):
            assert np.array_equal(from_tiles(backend, level), whole(reference, level)), level
        assert set(backend.associated_names()) == set(reference.associated_images)
        for name in backend.associated_names():
            assert np.array_equal(backend.associated_image(name), on_white(reference.associated_images[name])), name
    backend.close()


def two_regions(path, images, **options):
    noise, _ = images
    regions = [(noise(300, 400), (20_000, 30_000)), (noise(260, 200, 1), (250_300, 101_000))]
    return make.write_leica(path, regions, **options)


AREAS = [
    {"first": (0, 0), "count": (3, 2), "place": (40, 600), "overlap": (16, 8)},
    {"first": (4, 3), "count": (2, 3), "place": (480, 0), "overlap": (16, 8)},
    {"first": (0, 4), "count": (1, 1), "place": (0, 0), "overlap": (0, 0), "scanned": 0},
]


class TestPhilips:
    def test_padded_and_sparse(self, tmp_path, images):
        noise, _ = images
        path = make.write_philips(
            tmp_path / "a.tiff",
            noise(640, 896),
            holes=[(1, 1), (2, 0)],
            macro=noise(40, 60, 2),
            label=make.jpeg(noise(32, 48, 3)),
        )
        assert_like_openslide(path, "philips")
        backend = TiffBackend(path)
        # 896 x 640 px are 7 x 5 tiles; level 2 has 224 x 160 px and is stored as 256 x 256
        assert [(level.width, level.height) for level in backend.levels] == [(896, 640), (448, 320), (224, 160)]
        assert backend.read_tile(0, 1, 1) is None
        assert backend.metadata.objective_power == 40
        assert set(backend.associated_names()) == {"macro", "label"}

    @pytest.mark.parametrize("colour", ["rgb", "ycbcr"])
    def test_jpeg(self, tmp_path, images, colour):
        _, smooth = images
        path = make.write_philips(tmp_path / "a.tiff", smooth(512, 640), compression="jpeg", photometric=colour)
        assert_like_openslide(path, "philips")

    def test_wrong_depths(self, tmp_path, images):
        """DP v1.1 writes ImageDepth and TileDepth of 0."""
        noise, _ = images
        image = noise(512, 640)
        backend = TiffBackend(make.write_philips(tmp_path / "a.tiff", image, deep=True))
        assert np.array_equal(from_tiles(backend, 0), image)
        assert np.array_equal(from_tiles(backend, 2), make.halved(image, 2))

    def test_last_rows_not_listed(self, tmp_path, images):
        noise, _ = images
        image = noise(512, 256)
        path = make.write_philips(tmp_path / "a.tiff", image, levels=1)
        # both lists of the eight tiles are said to have six
        make.patch_tag(path, 324, 6, count=True)
        make.patch_tag(path, 325, 6, count=True)
        backend = TiffBackend(path)
        expected = image.copy()
        expected[384:] = 255
        assert np.array_equal(from_tiles(backend, 0), expected)


class TestLeica:
    def test_regions_on_one_canvas(self, tmp_path, images):
        path = two_regions(tmp_path / "a.scn", images)
        assert_like_openslide(path, "leica")
        backend = TiffBackend(path)
        assert (backend.levels[0].width, backend.levels[0].height) == (800, 600)
        pixels = from_tiles(backend, 0)
        # the first region lies at 20 µm, 30 µm, half a µm to a pixel
        assert np.array_equal(pixels[60:360, 40:168], images[0](300, 400)[:, :128])
        assert (pixels[:60] == 255).all()

    def test_overlapping_regions(self, tmp_path, images):
        noise, _ = images
        regions = [(noise(300, 300), (10_000, 10_000)), (noise(300, 300, 1), (100_000, 60_000))]
        assert_like_openslide(make.write_leica(tmp_path / "a.scn", regions), "leica")

    def test_jpeg(self, tmp_path, images):
        _, smooth = images
        path = make.write_leica(
            tmp_path / "a.scn", [(smooth(300, 400), (20_000, 30_000))], compression="jpeg", photometric="ycbcr"
        )
        assert_like_openslide(path, "leica")

    def test_fluorescence_beside_brightfield_is_left_out(self, tmp_path, images):
        noise, _ = images
        path = make.write_leica(
            tmp_path / "a.scn",
            [(noise(300, 300), (10_000, 10_000)), (noise(300, 300, 1), (220_000, 10_000))],
            lights=["brightfield", "fluorescence"],
        )
        assert_like_openslide(path, "leica")


class TestVentana:
    def test_areas_and_overlaps(self, tmp_path, images):
        noise, _ = images
        path = make.write_ventana(tmp_path / "a.bif", noise(768, 768), AREAS)
        assert_like_openslide(path, "ventana")
        backend = TiffBackend(path)
        pixels, stored = from_tiles(backend, 0), noise(768, 768)
        # the second area's bottom is the slide's; its height is 2 x 120 + 128
        assert backend.levels[0].height == 600 + 248
        assert np.array_equal(pixels[480:600, 480:592], stored[384:504, 512:624])
        # where tiles overlap, the right one and the lower one are on top
        assert np.array_equal(pixels[480:600, 592:608], stored[384:504, 640:656])
        assert np.array_equal(pixels[600:608, 480:592], stored[512:520, 512:624])

    def test_jpeg(self, tmp_path, images):
        _, smooth = images
        path = make.write_ventana(tmp_path / "a.bif", smooth(768, 768), AREAS, compression="jpeg", photometric="ycbcr")
        assert_like_openslide(path, "ventana")

    def test_without_overlap(self, tmp_path, images):
        """Ventana TIFF: levels as in any pyramid."""
        noise, _ = images
        assert_like_openslide(make.write_ventana(tmp_path / "a.tif", noise(500, 700), None), "ventana")

    def test_fractional_steps_are_rounded(self, tmp_path, images):
        """Ours are the pixels that were scanned, at most half a pixel off; OpenSlide interpolates between them."""
        _, smooth = images
        scene = smooth(600, 700)
        left, top = [round(i * 118.4) for i in range(5)], [round(i * 121.7) for i in range(4)]
        stored = np.vstack([np.hstack([scene[y : y + 128, x : x + 128] for x in left]) for y in top])
        area = {"first": (0, 0), "count": (5, 4), "place": (0, 0), "overlap": (9.6, 6.3)}
        path = make.write_ventana(tmp_path / "a.bif", stored, [area])
        backend = TiffBackend(path)
        height, width = top[-1] + 128, left[-1] + 128
        assert np.array_equal(from_tiles(backend, 0)[:height, :width], scene[:height, :width])
        with openslide.OpenSlide(path) as reference:
            assert [(level.width, level.height) for level in backend.levels] == list(reference.level_dimensions)
            for level in range(3):
                # up to their last row and column, which are half transparent
                ours, theirs = (
                    pixels.astype(int)[:-2, :-2] for pixels in (from_tiles(backend, level), whole(reference, level))
                )
                # the scene changes by 2.7 from pixel to pixel
                assert np.abs(ours - theirs).max() <= 5 * 2**level

    def test_joints_to_the_left(self, tmp_path, images):
        """As the DP 200 joins rows that it scanned backwards; OpenSlide refuses those."""
        noise, _ = images
        area = {"first": (0, 0), "count": (3, 2), "place": (0, 0), "overlap": (16, 8)}
        straight = TiffBackend(make.write_ventana(tmp_path / "a.bif", noise(256, 384), [area]))
        xml = make.ventana_xml([area]).replace(make.joint("RIGHT", 6, 5, 16, 0), make.joint("LEFT", 5, 6, 16, 0))
        assert "LEFT" in xml
        mirrored = TiffBackend(make.write_ventana(tmp_path / "b.bif", noise(256, 384), [area], xml=xml))
        assert np.array_equal(from_tiles(mirrored, 0), from_tiles(straight, 0))

    def test_single_column(self, tmp_path, images):
        """No joints in one direction: tiles as wide as they are."""
        noise, _ = images
        area = {"first": (0, 0), "count": (1, 3), "place": (0, 0), "overlap": (0, 8)}
        backend = TiffBackend(make.write_ventana(tmp_path / "a.bif", noise(384, 128), [area], levels=1))
        assert (backend.levels[0].width, backend.levels[0].height) == (128, 3 * 128 - 16)


class TestTrestle:
    def test_overlaps_by_level(self, tmp_path, images):
        noise, _ = images
        path = make.write_trestle(tmp_path / "a.tif", [noise(500, 640), noise(256, 300, 1)], [(16, 8), (4, 2)])
        (tmp_path / "a.Full").write_bytes(make.jpeg(images[1](50, 70)))
        assert_like_openslide(path, "trestle")
        backend = TiffBackend(path)
        assert (backend.levels[0].width, backend.levels[0].height) == (640 - 4 * 16, 500 - 3 * 8)
        assert backend.associated_names() == ("macro",)

    def test_level_without_overlap(self, tmp_path, images):
        noise, _ = images
        assert_like_openslide(
            make.write_trestle(tmp_path / "a.tif", [noise(512, 640), noise(256, 300, 1)], [(16, 8)]), "trestle"
        )


class TestHoles:
    """Tiles that were not stored are white (OpenSlide reads such a file only from Philips)."""

    def test_leica(self, tmp_path, images):
        noise, _ = images
        image = noise(300, 400)
        path = make.write_leica(tmp_path / "a.scn", [(image, (20_000, 30_000))], holes=[(1, 0)])
        expected = np.full((600, 800, 3), 255, np.uint8)
        expected[60:360, 40:440] = image
        expected[60:188, 168:296] = 255
        assert np.array_equal(from_tiles(TiffBackend(path), 0), expected)

    @pytest.mark.parametrize(("hole", "strip"), [((1, 0), "left"), ((0, 1), "above"), ((1, 1), "corner")])
    def test_tile_below_shows_through(self, tmp_path, images, hole, strip):
        noise, _ = images
        stored = noise(256, 256)
        backend = TiffBackend(make.write_trestle(tmp_path / "a.tif", [stored], [(16, 8)], holes=[hole]))
        expected = np.full((248, 240, 3), 255, np.uint8)
        for column, row in [(0, 0), (1, 0), (0, 1), (1, 1)]:
            if (column, row) != hole:
                tile = stored[row * 128 :, column * 128 :][:128, :128]
                expected[row * 120 :, column * 112 :][:128, :128] = tile
        assert np.array_equal(from_tiles(backend, 0), expected), strip


@pytest.mark.parametrize("vendor", ["philips", "leica", "ventana", "trestle"])
def test_windows_of_a_slide(tmp_path, images, vendor):
    """Through `open_slide`: unaligned windows, on every level, also over the edge."""
    noise, _ = images
    path = tmp_path / "a.tif"
    if vendor == "philips":
        make.write_philips(path, noise(640, 896), holes=[(1, 1)])
    elif vendor == "leica":
        two_regions(path, images)
    elif vendor == "ventana":
        make.write_ventana(path, noise(768, 768), AREAS, levels=2)
    else:
        make.write_trestle(path, [noise(512, 640)], [(16, 8)])
    with openslide.OpenSlide(path) as reference, open_slide(path) as slide:
        assert (slide.vendor, slide.backend, slide.notices) == (vendor, "tiff", ())
        for level in range(len(slide.levels)):
            expected = whole(reference, level)
            height, width = expected.shape[:2]
            assert np.array_equal(slide.dask(level)[:, :].compute(), expected)
            x, y = width - 100, height - 90
            padded = np.pad(expected, ((0, 60), (0, 60), (0, 0)), constant_values=255)
            scale_x, scale_y = slide.width / width, slide.height / height
            window = slide.read_region(x * scale_x, y * scale_y, 150, 140, level=level)
            assert np.array_equal(window, padded[y : y + 140, x : x + 150])


def test_stored_tiles_are_decoded_once_and_dropped(tmp_path, images, monkeypatch):
    noise, _ = images
    backend = TiffBackend(make.write_trestle(tmp_path / "a.tif", [noise(1280, 1280)], [(16, 16)]))
    area = backend._images[0].areas[0]
    decoded = []
    read = type(area.plane).read_tile

    def counting(plane, reader, column, row, scratch=None):
        decoded.append((column, row))
        return read(plane, reader, column, row, scratch)

    monkeypatch.setattr(type(area.plane), "read_tile", counting)
    before = SHARED.info().bytes
    from_tiles(backend, 0)
    assert len(decoded) == len(set(decoded)) == 100
    assert SHARED.info().bytes > before
    backend.close()
    assert SHARED.info().bytes == before


def test_many_threads(tmp_path, images):
    """Tiles of the canvas wait for stored tiles that others decode, and get the same pixels."""
    noise, _ = images
    path = make.write_ventana(tmp_path / "a.bif", noise(768, 768), AREAS)
    with closing(TiffBackend(path)) as one, closing(TiffBackend(path)) as other:
        expected = from_tiles(one, 0)
        with ThreadPoolExecutor(8) as pool:
            for pixels in pool.map(lambda _: from_tiles(other, 0), range(16)):
                assert np.array_equal(pixels, expected)
