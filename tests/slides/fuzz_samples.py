"""Intact slides of every format that can be had, small, for `fuzzing` to damage."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import ndpi_writer
import numpy as np
import tifffile
import vendor_files
import zarr
from PIL import ImageCms

APERIO = "Aperio Image Library v11.2.1 \n{w}x{h} [0,100 {w}x{h}] (128x128) JPEG/RGB Q=30|AppMag = 40|MPP = 0.25"
QPI = '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription>{}</PerkinElmer-QPI-ImageDescription>'
REAL = {
    "real_svs": "cmu1_small_region.svs",
    "real_svs_jp2": "tcga_cr_7395.svs",
    "real_jpeg_tiff": "cmu1_jpeg_wrong_mpp.tiff",
    "real_webp_tiff": "cmu1_webp.tiff",
    "real_boxes": "boxes.tiff",
    "real_ome_jp2": "ome/bfconvert_JPEG-2000.ome.tiff",
    "real_ome_lzw": "ome/bfconvert_LZW.ome.tiff",
    "real_ome_zlib": "ome/bfconvert_zlib.ome.tiff",
    "real_ome_jpeg": "ome/bfconvert_JPEG.ome.tiff",
    "real_dicom": "dicom_cmu",
}


@dataclass
class Sample:
    """A slide: a file, or a folder of which one file at a time is damaged. `backend`: forced, or None."""

    name: str
    path: Path
    backend: str | None = None

    @property
    def files(self):
        """Names of the files to damage, below `path`; "" for the file itself."""
        if self.path.is_file():
            return [""]
        return sorted(str(file.relative_to(self.path)) for file in self.path.rglob("*") if file.is_file())


def make_samples(folder, data):
    """All samples by name; those of real slides only where `data`, the folder of real data, has them."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = {name: Sample(name, make(folder)) for name, make in GENERATED.items()}
    for name, place in REAL.items():
        if (data / "slides" / place).exists():
            samples[name] = Sample(name, data / "slides" / place)
    samples["svs_openslide"] = Sample("svs_openslide", samples["svs"].path, "openslide")
    samples["ndpi_openslide"] = Sample("ndpi_openslide", samples["ndpi"].path, "openslide")
    with suppress(ImportError):
        samples["czi"] = Sample("czi", _czi(folder))
    return samples


def picture(height=300, width=360):
    """Smooth colours with some grain on them."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([127 + 90 * np.sin(x / 37 + k) * np.cos(y / 53 - k) for k in range(3)], -1)
    return (waves + np.random.default_rng(0).normal(0, 5, waves.shape)).clip(0, 255).astype(np.uint8)


def _profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _tiff(name, *, levels=2, **options):
    def make(folder):
        pixels = picture()
        options_ = {"tile": (128, 128), "photometric": "rgb", "metadata": None, "resolution": (20000, 20000), **options}
        big, order = options_.pop("bigtiff", False), options_.pop("byteorder", "<")
        path = folder / name
        with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as file:
            for step in range(levels):
                level = np.ascontiguousarray(pixels[:: 2**step, :: 2**step])
                level = np.ascontiguousarray(level.transpose(2, 0, 1)) if options.get("planarconfig") == 2 else level
                file.write(level, resolutionunit="CENTIMETER", subfiletype=int(step > 0), **options_)
        return path

    return make


def _svs(folder):
    pixels, options = picture(), {"photometric": "rgb", "metadata": None}
    path = folder / "x.svs"
    with tifffile.TiffWriter(path) as file:
        text = APERIO.format(w=360, h=300)
        file.write(pixels, tile=(128, 128), compression="jpeg", description=text, iccprofile=_profile(), **options)
        file.write(pixels[::4, ::4], description=text, compression="jpeg", rowsperstrip=16, **options)
        file.write(pixels[::2, ::2], tile=(128, 128), compression="jpeg", description=text, **options)
        label = "Aperio Image Library v11.2.1\nlabel 50x40"
        file.write(pixels[:40, :50], description=label, compression="lzw", subfiletype=1, rowsperstrip=8, **options)
        macro = "Aperio Image Library v11.2.1\nmacro 80x40"
        file.write(pixels[:40, :80], description=macro, compression="jpeg", subfiletype=9, rowsperstrip=16, **options)
    return path


def _svs_jp2(compression):
    def make(folder):
        pixels = np.pad(picture(), ((0, 84), (0, 24), (0, 0)), mode="edge")
        tiles = (
            imagecodecs.jpeg2k_encode(np.ascontiguousarray(pixels[y : y + 128, x : x + 128]), level=30, codecformat="J2K")
            for y in range(0, 384, 128)
            for x in range(0, 384, 128)
        )
        options = {"photometric": "rgb", "description": APERIO.format(w=360, h=300), "metadata": None}
        path = folder / f"x{compression}.svs"
        tifffile.imwrite(path, tiles, shape=(300, 360, 3), dtype=np.uint8, tile=(128, 128), compression=compression, **options)
        return path

    return make


def _ome(folder):
    pixels = picture()
    path = folder / "x.ome.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        options = {"photometric": "rgb", "tile": (128, 128), "compression": "jpeg"}
        about = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25}
        file.write(pixels, subifds=2, metadata=about, **options)
        file.write(pixels[::2, ::2], subfiletype=1, **options)
        file.write(pixels[::4, ::4], subfiletype=1, **options)
    return path


def _ndpi(name, **options):
    def make(folder):
        pixels = picture(296, 512)
        pages = [
            ndpi_writer.level(pixels, **options),
            ndpi_writer.level(np.ascontiguousarray(pixels[::2, ::2]), lens=10.0, **options),
            ndpi_writer.level(np.ascontiguousarray(pixels[:64, :128]), lens=-1.0),
            ndpi_writer.grey_map(np.zeros((20, 30), np.uint8)),
        ]
        return ndpi_writer.write_ndpi(folder / name, pages)

    return make


def _qptiff(folder):
    pixels = picture()
    scan = "<ScanProfile><root><PixelSizeMicrons>0.5</PixelSizeMicrons><Magnification>20</Magnification></root></ScanProfile>"
    pages = [
        (pixels, "FullResolution", scan),
        (pixels[::4, ::4], "Thumbnail", ""),
        (pixels[::2, ::2], "ReducedResolution", ""),
        (pixels[:50, :90], "Overview", ""),
        (pixels[:60, :50], "Label", ""),
    ]
    path = folder / "x.qptiff"
    with tifffile.TiffWriter(path) as file:
        for level, kind, more in pages:
            tile = (128, 128) if kind.endswith("Resolution") else None
            text = QPI.format(f"<ImageType>{kind}</ImageType><Objective>20x</Objective>{more}")
            options = {"photometric": "rgb", "metadata": None, "software": "PerkinElmer-QPI", "compression": "jpeg"}
            file.write(np.ascontiguousarray(level), tile=tile, description=text, **options)
    return path


def _philips(folder):
    pixels = picture()
    macro, label = np.ascontiguousarray(pixels[:60, :80]), vendor_files.jpeg(pixels[:60, :80])
    return vendor_files.write_philips(folder / "philips.tiff", pixels, macro=macro, label=label, holes=[(1, 1)])


def _leica(folder):
    pixels = picture()
    return vendor_files.write_leica(folder / "x.scn", [(pixels, (20_000, 30_000)), (pixels[:128], (210_000, 50_000))])


def _ventana(areas):
    def make(folder):
        return vendor_files.write_ventana(folder / f"{'x' if areas else 'plain'}.bif", picture(256, 384), areas)

    return make


def _trestle(folder):
    pixels = picture()
    return vendor_files.write_trestle(folder / "trestle.tif", [pixels, pixels[::2, ::2]], [(16, 12), (8, 6)])


def _zarr(name, zarr_format, **options):
    def make(folder):
        pixels = picture()
        path = folder / name
        group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
        datasets = []
        for step in (1, 2):
            level = np.ascontiguousarray(pixels[::step, ::step].transpose(2, 0, 1))
            group.create_array(str(step), data=level, chunks=(1, 128, 128), **options)
            scale = [1.0, 0.25 * step, 0.25 * step]
            datasets.append({"path": str(step), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
        axes = [{"name": "c", "type": "channel"}]
        axes += [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
        about = {"multiscales": [{"axes": axes, "datasets": datasets, "version": "0.4"}]}
        group.attrs.put({"ome": {"version": "0.5", **about}} if zarr_format == 3 else about)
        return path

    return make


def _zarr_zip(folder):
    source = _zarr("zipped.zarr", 3)(folder)
    return Path(shutil.make_archive(str(folder / "x.zarr"), "zip", source))


def _czi(folder):
    from pylibCZIrw import czi

    path = folder / "x.czi"
    with czi.create_czi(str(path), exist_ok=True, compression_options="zstd1:ExplicitLevel=1") as file:
        pixels = picture()
        for x in (0, 180):
            file.write(np.ascontiguousarray(pixels[:, x : x + 180, ::-1]), location=(x, 0), plane={"C": 0}, scene=0)
        file.write_metadata(scale_x=0.25e-6, scale_y=0.25e-6)
    return path


_AREAS = [{"first": (0, 0), "count": (3, 2), "place": (0, 0), "overlap": (16, 8)}]
GENERATED = {
    "svs": _svs,
    "svs_33003": _svs_jp2(33003),
    "svs_33005": _svs_jp2(33005),
    "ndpi": _ndpi("x.ndpi", interval=128),
    "ndpi_unrecorded": _ndpi("unrecorded.ndpi", interval=128, record=False),
    "ndpi_one_piece": _ndpi("one.ndpi"),
    "qptiff": _qptiff,
    "ome": _ome,
    "philips": _philips,
    "scn": _leica,
    "bif": _ventana(_AREAS),
    "bif_plain": _ventana(None),
    "trestle": _trestle,
    "tiff_jpeg": _tiff("jpeg.tif", compression="jpeg"),
    "tiff_big_motorola": _tiff("motorola.tif", compression="jpeg", bigtiff=True, byteorder=">"),
    "tiff_jpeg_strips": _tiff("strips.tif", compression="jpeg", tile=None, rowsperstrip=16),
    "tiff_lzw_strips": _tiff("lzw.tif", compression="lzw", predictor=True, tile=None, rowsperstrip=7),
    "tiff_raw_strip": _tiff("raw.tif", tile=None, levels=1),
    "tiff_packbits": _tiff("packbits.tif", compression="packbits"),
    "tiff_zlib": _tiff("zlib.tif", compression="zlib", predictor=True),
    "tiff_zstd": _tiff("zstd.tif", compression="zstd"),
    "tiff_lzma": _tiff("lzma.tif", compression="lzma"),
    "tiff_webp": _tiff("webp.tif", compression="webp"),
    "tiff_jp2": _tiff("jp2.tif", compression="jpeg2000"),
    "tiff_png": _tiff("png.tif", compression="png"),
    "tiff_planar": _tiff("planar.tif", compression="zlib", planarconfig=2),
    "zarr2": _zarr("a.zarr", 2),
    "zarr3": _zarr("b.zarr", 3),
    "zarr3_blosc": _zarr("d.zarr", 3, compressors=[zarr.codecs.BloscCodec(cname="zstd")]),
    "zarr3_shards": _zarr("c.zarr", 3, shards=(1, 256, 256)),
    "zarr_zip": _zarr_zip,
}
"""Name -> function of a folder that writes the slide there."""
