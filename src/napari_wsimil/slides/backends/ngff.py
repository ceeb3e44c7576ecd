"""What an OME-Zarr says of itself (OME-NGFF 0.4 in zarr 2, 0.5 in zarr 3): which arrays are a slide, and how large a pixel is.

Only JSON is read here, and checked before zarr sees any of it: names must stay inside the folder, and codecs that could run
code (pickle) are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import said
from napari_wsimil.slides.backends.zarr_files import METADATA_NAMES, ZarrFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UM_PER_UNIT = {
    **dict.fromkeys(("micrometer", "micrometre", "micron", "um", "µm", "μm"), 1.0),
    "nanometer": 1e-3,
    "nm": 1e-3,
    "angstrom": 1e-4,
    "millimeter": 1e3,
    "mm": 1e3,
    "centimeter": 1e4,
    "cm": 1e4,
    "meter": 1e6,
    "m": 1e6,
    "inch": 25400.0,
}
_CODECS = frozenset(
    {"bytes", "transpose", "sharding_indexed", "crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3"}
    | {"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta"}
)
"""Codecs that only compress and check. Others may run code (pickle) or ask for a plugin."""
_RGB = ["FF0000", "00FF00", "0000FF"]
_AXES_WITHOUT_NAMES = ("t", "c", "z", "y", "x")
"""What OME-NGFF 0.1 and 0.2 mean, which name no axes."""
_MAX_SIDE = 1 << 31


@dataclass(frozen=True)
class NgffImage:
    """One RGB image with its levels.

    Parameters
    ----------
    group
        Where it lies below the root; "" for the root.
    axes
        Names of the axes, such as ("t", "c", "z", "y", "x").
    arrays
        Paths of the levels below the root, finest first.
    shape
        Of the finest level.
    zarr_format
        2 or 3.
    mpp
        (x, y) µm per pixel; None where no unit of length is stated.
    missing
        Levels that are named but not there.
    codecs
        Names of what the finest level is compressed with.
    """

    group: str
    axes: tuple[str, ...]
    arrays: tuple[str, ...]
    shape: tuple[int, ...]
    zarr_format: Literal[2, 3]
    mpp: tuple[float, float] | None
    missing: int
    codecs: tuple[str, ...]

    @property
    def area(self) -> int:
        """Pixels of the finest level."""
        return self.shape[self.axes.index("y")] * self.shape[self.axes.index("x")]

    @property
    def planes(self) -> int:
        """Planes in z and t, of which one is shown."""
        return math.prod(size for axis, size in zip(self.axes, self.shape, strict=True) if axis not in "cyx")


class _NoSlideError(Exception):
    """An image that is no slide, and why."""


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder or zip file is a Zarr."""
    return ZarrFiles.recognises(path)


def zarr_root(path: Path) -> Path | None:
    """The OME-Zarr that a metadata file inside it belongs to; None for any other path."""
    if path.name not in METADATA_NAMES or not path.is_file():
        return None
    folder = path.parent
    # a level lies in the folder of its image
    while not _is_image(folder) and ZarrFiles.recognises(folder.parent):
        folder = folder.parent
    return folder


def _is_image(folder: Path) -> bool:
    with ZarrFiles(folder) as files:
        return "multiscales" in read_attributes(files, "")[0]


def has_rgb_image(path: Path) -> bool:
    """Whether a folder or zip holds an OME-Zarr with an RGB image; reads a few small files and no pixels."""
    if not is_ome_zarr(path):
        return False
    try:
        with ZarrFiles(path) as files:
            return bool(find_images(files))
    except (SlideError, OSError):
        return False


def find_images(files: ZarrFiles) -> list[NgffImage]:
    """The RGB images of an OME-Zarr, largest first.

    Raises
    ------
    SlideError
        There is none; says what there is instead.
    """
    attributes, zarr_format = read_attributes(files, "")
    name = files.path.name
    _refuse_others(name, attributes)
    images, reasons = [], []
    try:
        for group, multiscale, about in _multiscales(files, attributes, zarr_format):
            try:
                images.append(_read_image(files, group, multiscale, about, zarr_format))
            except _NoSlideError as reason:
                reasons.append(str(reason))
    except SlideError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise SlideError(
            f"{name} is an OME-Zarr with damaged metadata ({said(error, files.path)}); export it again."
        ) from error
    if not images:
        what = reasons[0] if reasons else "has no OME-NGFF image"
        raise SlideError(f"{name} is a Zarr that {what}; only brightfield slides (8-bit RGB OME-Zarr) can be opened.")
    return sorted(images, key=lambda image: -image.area)


def _refuse_others(name: str, attributes: dict[str, Any]) -> None:
    if "plate" in attributes:
        raise SlideError(f"{name} is an OME-Zarr plate of many wells; open one image of it (such as {name}/A/1/0).")
    if "well" in attributes:
        raise SlideError(f"{name} is a well of an OME-Zarr plate; open one image of it (such as {name}/0).")
    if "image-label" in attributes or ("labels" in attributes and "multiscales" not in attributes):
        raise SlideError(f"{name} holds labels of an OME-Zarr, no pixels of a slide; open the folder of the image itself.")


def read_attributes(files: ZarrFiles, group: str) -> tuple[dict[str, Any], Literal[2, 3]]:
    """What OME-NGFF says of a group, and the zarr format."""
    node = files.json(f"{group}/zarr.json")
    if node is not None:
        attributes = node.get("attributes") or {}
        found = attributes.get("ome", attributes) if isinstance(attributes, dict) else None
        if not isinstance(found, dict):
            raise SlideError(
                f"{files.path.name} is a Zarr with damaged metadata (its attributes are no object); export it again."
            )
        return dict(found), 3
    return dict(files.json(f"{group}/.zattrs") or {}), 2


def _multiscales(
    files: ZarrFiles, root: dict[str, Any], zarr_format: Literal[2, 3]
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Images as (group, multiscale, attributes of the group): of the root, or of the series that bioformats2raw wrote."""
    if "multiscales" in root:
        yield from (("", multiscale, root) for multiscale in root["multiscales"])
        return
    series = read_attributes(files, "OME")[0].get("series")
    for group in map(str, series if isinstance(series, list) else range(64)):
        _check_inside(files, group)
        about, found = read_attributes(files, group)
        if found == zarr_format and "image-label" not in about:
            yield from ((group, multiscale, about) for multiscale in about.get("multiscales", ()))
        elif not about and not isinstance(series, list):
            return


def _read_image(files: ZarrFiles, group: str, multiscale: Any, about: dict[str, Any], zarr_format: Literal[2, 3]) -> NgffImage:
    axes, units = _axes(multiscale)
    found: list[tuple[tuple[int, ...], tuple[str, ...], str, Any]] = []
    missing = 0
    for dataset in multiscale["datasets"]:
        path = f"{group}/{dataset['path']}".strip("/")
        _check_inside(files, path)
        array = _read_array(files, path, zarr_format)
        if array is None:
            missing += 1
            continue
        if len(array[0]) != len(axes):
            raise _NoSlideError(f"has {len(array[0])} dimensions where its axes are {''.join(axes)}")
        found.append((*array, path, dataset))
    if not found:
        raise _NoSlideError("names levels that are not there")
    found.sort(key=lambda level: -level[0][axes.index("x")])
    shape, codecs, _, finest = found[0]
    _check_colours(shape[axes.index("c")], about)
    mpp = _pixel_size(axes, units, finest, multiscale)
    return NgffImage(group, axes, tuple(level[2] for level in found), shape, zarr_format, mpp, missing, codecs)


def _axes(multiscale: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units of the axes."""
    given = multiscale.get("axes") or [{"name": name} for name in _AXES_WITHOUT_NAMES]
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in given]
    axes = tuple(str(axis["name"]).lower() for axis in named)
    if len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes):
        raise _NoSlideError(f"has the axes {', '.join(axes)}")
    if "c" not in axes:
        raise _NoSlideError("has one channel, not red, green and blue")
    return axes, tuple(str(axis.get("unit", "")).lower() for axis in named)


def _check_inside(files: ZarrFiles, path: str) -> None:
    if path.startswith("/") or "\\" in path or ":" in path or {".", ".."} & set(path.split("/")):
        raise SlideError(f"{files.path.name} is an OME-Zarr that names data outside of itself ({path!r}), which is not opened.")


def _read_array(files: ZarrFiles, path: str, zarr_format: Literal[2, 3]) -> tuple[tuple[int, ...], tuple[str, ...]] | None:
    """Shape and codecs of an array of bytes that can be read; None where there is none."""
    about = files.json(f"{path}/zarr.json" if zarr_format == 3 else f"{path}/.zarray")
    if about is None:
        return None
    kind = str(about["data_type"] if zarr_format == 3 else about["dtype"])
    if kind not in {"uint8", "|u1", "u1"}:
        raise _NoSlideError(f"holds pixels of type {kind.lstrip('<>|')}")
    codecs = about["codecs"] if zarr_format == 3 else [about.get("compressor"), *(about.get("filters") or [])]
    names = tuple(_codec_names(codecs))
    for codec in names:
        if codec.removeprefix("numcodecs.") not in _CODECS and not codec.startswith("imagecodecs_"):
            raise _NoSlideError(f"is compressed with {codec}, which can't be read here")
    shape = tuple(int(size) for size in about["shape"])
    if not all(0 < size < _MAX_SIDE for size in shape):
        raise _NoSlideError(f"says that it has the shape {shape}")
    return shape, names


def _codec_names(codecs: list[Any]) -> Iterator[str]:
    """Names of all codecs, those inside of shards included."""
    for codec in codecs:
        if codec is None:
            continue
        yield str(codec if isinstance(codec, str) else codec.get("name", codec.get("id")))
        inner = {} if isinstance(codec, str) else codec.get("configuration") or {}
        yield from _codec_names([*inner.get("codecs", ()), *inner.get("index_codecs", ())])


def _check_colours(channels: int, about: dict[str, Any]) -> None:
    if channels not in (3, 4):
        raise _NoSlideError(f"has {channels} channels, not red, green and blue")
    told = [str(channel.get("color", "")).upper() for channel in (about.get("omero") or {}).get("channels", ())]
    # a writer that knows no colours gives all channels the same
    if channels == 3 and len(set(told)) > 1 and told != _RGB:
        raise _NoSlideError(f"shows its channels in the colours {', '.join(told)}, as fluorescence does")


def _pixel_size(axes: tuple[str, ...], units: tuple[str, ...], dataset: Any, multiscale: Any) -> tuple[float, float] | None:
    """(x, y) µm per pixel; None without a unit of length: a scale alone may count anything."""
    steps = [1.0] * len(axes)
    for source in (dataset, multiscale):
        for transform in source.get("coordinateTransformations") or ():
            if transform.get("type") == "scale" and len(transform.get("scale", ())) == len(axes):
                steps = [step * float(factor) for step, factor in zip(steps, transform["scale"], strict=True)]
    x, y = (steps[index] * _UM_PER_UNIT.get(units[index], math.nan) for index in (axes.index("x"), axes.index("y")))
    return (x, y) if x > 0 and y > 0 and math.isfinite(x * y) else None
