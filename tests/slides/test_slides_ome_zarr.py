from __future__ import annotations

import json
import shutil
import threading
import zipfile
from itertools import permutations

import numpy as np
import pytest
import zarr

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import open_slide
from napari_wsimil.slides.backends import ngff


def write(folder, *levels, axes="yxc", zarr_format=3, chunk=256, unit="micrometer", mpp=0.25, omero=None, **options):
    """An OME-Zarr of levels (rows, columns, channels), finest first, stored with these axes."""
    version = "0.5" if zarr_format == 3 else "0.4"
    group = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
    datasets = []
    for number, level in enumerate(levels):
        pixels = level.transpose(["yxc".index(axis) for axis in axes if axis in "yxc"])
        pixels = pixels.reshape([1 if axis in "tz" else size for axis, size in zip(axes, spread(pixels, axes), strict=True)])
        chunks = [chunk if axis in "yx" else 1 if len(axes) > 3 else pixels.shape[k] for k, axis in enumerate(axes)]
        group.create_array(str(number), data=pixels, chunks=chunks, **options)
        steps = [mpp * levels[0].shape[1] / level.shape[1] if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": steps}]})
    kinds = {"t": "time", "c": "channel"}
    about = [
        {"name": axis, "type": kinds.get(axis, "space")} | ({"unit": unit} if axis in "yxz" and unit else {}) for axis in axes
    ]
    tell(
        folder,
        {"multiscales": [{"axes": about, "datasets": datasets, "version": version}], **({"omero": omero} if omero else {})},
    )
    return folder


def spread(pixels, axes):
    sizes = iter(pixels.shape)
    return [1 if axis in "tz" else next(sizes) for axis in axes]


def tell(folder, attributes):
    """Write the attributes of a group, in the words of its zarr format."""
    group = zarr.open_group(folder, mode="a")
    group.attrs.put({"ome": {"version": "0.5", **attributes}} if group.metadata.zarr_format == 3 else attributes)


def retell(folder, change):
    """Change the attributes of a group by a function of their dictionary."""
    group = zarr.open_group(folder, mode="a")
    attributes = dict(group.attrs)
    change(attributes.get("ome", attributes))
    group.attrs.put(attributes)


@pytest.fixture
def pixels(images):
    return images[0](700, 900)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("axes", ["yxc", "cyx", "tczyx", "zyxc", "czyx", "xyc"])
def test_pixels_whatever_the_axes(tmp_path, pixels, zarr_format, axes):
    coarse = np.ascontiguousarray(pixels[::4, ::4])
    slide = open_slide(write(tmp_path / "a.zarr", pixels, coarse, axes=axes, zarr_format=zarr_format))
    assert (slide.backend, slide.vendor, slide.notices) == ("ome-zarr", "ome-zarr", ())
    assert [(level.width, level.height, level.downsample) for level in slide.levels] == [(900, 700, 1), (225, 175, 4)]
    assert (slide.mpp, slide.mpp_source) == (pytest.approx((0.25, 0.25)), "ome")
    assert (slide.read_region(0, 0, 900, 700) == pixels).all()
    assert (slide.read_region(100, 200, 300, 256) == pixels[200:456, 100:400]).all()
    assert (slide.read_region(0, 0, 225, 175, level=1) == coarse).all()
    assert (slide.read_region(880, 690, 50, 50)[10:, 20:] == 255).all()


def test_chunks_are_read_together_up_to_about_512_pixels(tmp_path, pixels):
    sizes = {
        chunk: open_slide(write(tmp_path / f"{chunk}.zarr", pixels, chunk=chunk)).levels[0].tile_size
        for chunk in (64, 200, 600)
    }
    assert sizes == {64: (512, 512), 200: (600, 600), 600: (600, 600)}


@pytest.mark.parametrize("compressors", [None, "blosc", "gzip", "zstd"])
def test_shards_and_codecs(tmp_path, pixels, compressors):
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    codec = {"blosc": BloscCodec(), "gzip": GzipCodec(), "zstd": ZstdCodec()}.get(compressors)
    folder = write(tmp_path / "a.zarr", pixels, chunk=128, shards=(512, 512, 3), compressors=codec)
    slide = open_slide(folder)
    assert slide.levels[0].tile_size == (512, 512)
    assert (slide.read_region(0, 0, 900, 700) == pixels).all()


def test_zarr_2_with_nested_and_flat_chunk_names(tmp_path, pixels):
    for separator in ("/", "."):
        keys = {"name": "v2", "separator": separator}
        folder = write(tmp_path / f"{ord(separator)}.zarr", pixels, zarr_format=2, chunk_key_encoding=keys)
        assert (open_slide(folder).read_region(0, 0, 900, 700) == pixels).all()


@pytest.mark.parametrize("top", ["", "a.ome.zarr/"])
def test_zip_file(tmp_path, pixels, top):
    folder = write(tmp_path / "a.zarr", pixels)
    path = tmp_path / "slide.ozx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, top + file.relative_to(folder).as_posix())
    slide = open_slide(path)
    assert (slide.backend, slide.name) == ("ome-zarr", "slide")
    assert (slide.read_region(0, 0, 900, 700) == pixels).all()
    assert slide.fingerprint == open_slide(folder).fingerprint


def test_alpha_is_laid_over_white(tmp_path, pixels):
    alpha = np.full((700, 900, 1), 255, np.uint8)
    alpha[:100] = 0
    alpha[100:200] = 51
    slide = open_slide(write(tmp_path / "a.zarr", np.concatenate([pixels, alpha], axis=2), axes="cyx"))
    shown = slide.read_region(0, 0, 900, 700)
    assert (shown[:100] == 255).all()
    assert (shown[200:] == pixels[200:]).all()
    assert np.abs(shown[100:200] - (pixels[100:200] * 0.2 + 204)).max() <= 1


@pytest.mark.parametrize(
    ("unit", "step", "mpp"),
    [("micrometer", 0.5, 0.5), ("nanometer", 250, 0.25), ("millimeter", 0.001, 1), ("", 0.25, None), ("pixel", 1, None)],
)
def test_units(tmp_path, pixels, unit, step, mpp):
    slide = open_slide(write(tmp_path / "a.zarr", pixels, unit=unit, mpp=step))
    assert slide.mpp == (None if mpp is None else pytest.approx((mpp, mpp)))
    assert bool(slide.notices) == (mpp is None)


def test_scale_of_all_levels_counts_too(tmp_path, pixels):
    folder = write(tmp_path / "a.zarr", pixels, mpp=1)

    def scale(attributes):
        attributes["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [0.5, 0.25, 1]}]

    retell(folder, scale)
    assert open_slide(folder).mpp == pytest.approx((0.25, 0.5))


def test_a_chunk_that_was_not_written_holds_the_fill_value(tmp_path, pixels):
    for fill in (0, 200):
        folder = write(tmp_path / f"{fill}.zarr", pixels, chunk=512, fill_value=fill)
        (folder / "0" / "c" / "0" / "0" / "0").unlink()
        slide = open_slide(folder)
        assert (slide.read_region(0, 0, 512, 512) == fill).all()
        assert (slide.read_region(512, 0, 388, 512) == pixels[:512, 512:]).all()
        assert slide.notices == ()


def test_a_damaged_chunk_is_background_and_said_once(tmp_path, pixels):
    folder = write(tmp_path / "a.zarr", pixels, chunk=512)
    chunk = folder / "0" / "c" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:1000])
    slide = open_slide(folder)
    for _ in range(2):
        assert (slide.read_region(0, 0, 512, 512) == 255).all()
    assert (slide.read_region(512, 512, 388, 188) == pixels[512:, 512:]).all()
    assert len(slide.notices) == 1
    assert "damaged tile at x 0, y 0 (level 0" in slide.notices[0]


def test_several_planes_show_the_first_and_say_so(tmp_path, images):
    stack = np.stack([images[0](300, 400, seed) for seed in range(3)])
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=stack, chunks=(1, 256, 256, 3))
    axes = [{"name": axis} for axis in "zyxc"]
    tell(tmp_path / "a.zarr", {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]})
    slide = open_slide(tmp_path / "a.zarr", mpp=0.25)
    assert (slide.read_region(0, 0, 400, 300) == stack[0]).all()
    assert slide.notices == ("a.zarr holds 3 planes in depth or time; only the first is shown.",)


OME_XML = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Instrument><Objective NominalMagnification="20"/></Instrument>
<Image Name="label image"/><Image Name="slide"/><Image Name="macro image"/></OME>"""


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_series_of_bioformats2raw(tmp_path, images, pixels, zarr_format):
    root = tmp_path / "a.zarr"
    zarr.open_group(root, mode="w", zarr_format=zarr_format)
    tell(root, {"bioformats2raw.layout": 3})
    small, macro = images[0](80, 60), images[0](90, 120)
    for number, levels in enumerate([[small], [pixels, pixels[::2, ::2]], [macro]]):
        write(root / str(number), *levels, axes="tczyx", zarr_format=zarr_format)
    (root / "OME").mkdir()
    (root / "OME" / "METADATA.ome.xml").write_text(OME_XML)
    slide = open_slide(root)
    assert [(level.width, level.height) for level in slide.levels] == [(900, 700), (450, 350)]
    assert (slide.read_region(0, 0, 900, 700) == pixels).all()
    assert slide.objective_power == 20
    # the label may show a name: only who asks for it gets it
    assert set(slide.associated_images) == {"macro"}
    assert (slide.associated_images["macro"] == macro).all()
    assert (slide.associated_images["label"] == small).all()
    # one series alone, and a file of it
    assert open_slide(root / "1").width == 900
    assert open_slide(root / "2").width == 120


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_metadata_file_opens_its_root(tmp_path, pixels, zarr_format):
    root = write(tmp_path / "a.zarr", pixels, zarr_format=zarr_format)
    names = ["zarr.json", "0/zarr.json"] if zarr_format == 3 else [".zattrs", ".zgroup", "0/.zarray"]
    for name in names:
        slide = open_slide(root / name)
        assert (slide.path, slide.width) == (root, 900)


@pytest.mark.parametrize(
    "colours", [*permutations(["FF0000", "00FF00", "0000FF"]), ("FFFFFF",) * 3, ("00ff00", "ff0000", "0000ff")]
)
def test_channels_must_be_red_green_and_blue(tmp_path, pixels, colours):
    folder = write(tmp_path / "a.zarr", pixels, axes="cyx", omero={"channels": [{"color": colour} for colour in colours]})
    if colours in (("FF0000", "00FF00", "0000FF"), ("FFFFFF",) * 3):
        assert open_slide(folder).width == 900
        return
    with pytest.raises(SlideError, match="as fluorescence does"):
        open_slide(folder)


def plain_array(folder, pixels):
    zarr.save_array(folder, pixels)


def wrong_dtype(folder, pixels):
    group = zarr.open_group(folder, mode="w")
    group.create_array("0", data=pixels.astype(np.uint16))
    tell(folder, {"multiscales": [{"axes": [{"name": axis} for axis in "yxc"], "datasets": [{"path": "0"}]}]})


def two_channels(folder, pixels):
    write(folder, pixels[..., :2], axes="cyx")


def plate(folder, _):
    zarr.open_group(folder, mode="w")
    tell(folder, {"plate": {"wells": [{"path": "A/1"}]}})


def well(folder, _):
    zarr.open_group(folder, mode="w")
    tell(folder, {"well": {"images": [{"path": "0"}]}})


def labels(folder, pixels):
    write(folder, pixels)
    retell(folder, lambda attributes: attributes.update({"image-label": {}}))


def outside(folder, pixels):
    write(folder.parent / "other.zarr", pixels)
    write(folder, pixels)
    retell(folder, lambda attributes: attributes["multiscales"][0]["datasets"][0].update(path="../other.zarr/0"))


def remote(folder, pixels):
    write(folder, pixels)
    retell(folder, lambda attributes: attributes["multiscales"][0]["datasets"][0].update(path="s3://bucket/0"))


def no_level(folder, pixels):
    write(folder, pixels)
    shutil.rmtree(folder / "0")


def pickled(folder, pixels):
    write(folder, pixels, zarr_format=2, compressors=None)
    about = json.loads((folder / "0" / ".zarray").read_text())
    (folder / "0" / ".zarray").write_text(json.dumps(about | {"filters": [{"id": "pickle"}]}))


def unknown_codec(folder, pixels):
    write(folder, pixels)
    about = json.loads((folder / "0" / "zarr.json").read_text())
    about["codecs"].append({"name": "vendor.secret", "configuration": {}})
    (folder / "0" / "zarr.json").write_text(json.dumps(about))


def no_json(folder, pixels):
    write(folder, pixels)
    (folder / "zarr.json").write_text("{")


def no_datasets(folder, pixels):
    write(folder, pixels)
    retell(folder, lambda attributes: attributes["multiscales"][0].pop("datasets"))


def huge_chunk(folder, pixels):
    write(folder, pixels)
    about = json.loads((folder / "0" / "zarr.json").read_text())
    about["shape"] = [100_000, 100_000, 3]
    about["chunk_grid"]["configuration"]["chunk_shape"] = [100_000, 100_000, 3]
    (folder / "0" / "zarr.json").write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (plain_array, "is a Zarr that has no OME-NGFF image"),
        (wrong_dtype, "holds pixels of type uint16"),
        (two_channels, "has 2 channels, not red, green and blue"),
        (plate, "is an OME-Zarr plate of many wells; open one image of it"),
        (well, "is a well of an OME-Zarr plate"),
        (labels, "holds labels of an OME-Zarr"),
        (outside, r"names data outside of itself \('../other.zarr/0'\)"),
        (remote, "names data outside of itself"),
        (no_level, "names levels that are not there"),
        (pickled, "is compressed with pickle"),
        (unknown_codec, "is compressed with vendor.secret"),
        (no_json, "zarr.json is no JSON"),
        (no_datasets, "damaged metadata"),
        (huge_chunk, "too large to decode one"),
    ],
)
def test_refused_in_one_sentence(tmp_path, pixels, make, text):
    folder = tmp_path / "a.zarr"
    make(folder, pixels)
    with pytest.raises(SlideError, match=text) as caught:
        open_slide(folder)
    assert str(caught.value).startswith("a.zarr ")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert not ngff.has_rgb_image(folder) or make is huge_chunk


def test_a_missing_coarse_level_is_said(tmp_path, pixels):
    folder = write(tmp_path / "a.zarr", pixels, pixels[::2, ::2])
    shutil.rmtree(folder / "1")
    slide = open_slide(folder)
    assert len(slide.levels) == 1
    assert slide.notices == ("a.zarr lacks 1 of its levels; copy it again to see it at full resolution.",)


def test_fingerprint_is_of_the_pixels(tmp_path, pixels):
    first = write(tmp_path / "a.zarr", pixels)
    other = write(tmp_path / "b.zarr", 255 - pixels)
    copy = shutil.copytree(first, tmp_path / "copy.zarr")
    assert open_slide(first).fingerprint == open_slide(copy).fingerprint != open_slide(other).fingerprint


def test_reads_from_many_threads(tmp_path, pixels):
    slide = open_slide(write(tmp_path / "a.zarr", pixels, chunk=64, axes="cyx"))
    wrong = []

    def read(seed):
        random = np.random.default_rng(seed)
        for _ in range(20):
            x, y = (int(value) for value in random.integers(0, 600, 2))
            if not (slide.read_region(x, y, 100, 100) == pixels[y : y + 100, x : x + 100]).all():
                wrong.append((x, y))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_closed(tmp_path, pixels):
    slide = open_slide(write(tmp_path / "a.zarr", pixels))
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="was closed"):
        slide.read_region(0, 0, 10, 10)


def test_looks_like_a_slide_without_reading_pixels(tmp_path, pixels, monkeypatch):
    folder = write(tmp_path / "a.zarr", pixels)
    monkeypatch.setattr(zarr, "open_array", lambda **_: pytest.fail("opened an array"))
    assert ngff.has_rgb_image(folder)
    assert not ngff.has_rgb_image(tmp_path)
