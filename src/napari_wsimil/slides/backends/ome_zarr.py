"""OME-Zarr images (OME-NGFF 0.1 to 0.5) in a folder or a zip file, read by zarr.

A chunk that was not written holds the fill value of its array, as the format says: black in most files. Levels lie corner on
corner; the half pixels of their translations are left out, as other readers of slides do.
"""

from __future__ import annotations

import math
import zipfile
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import LARGEST_PIECE, Backend, Metadata, TileError, make_levels, said
from napari_wsimil.slides.backends.ngff import find_images
from napari_wsimil.slides.backends.tiff.metadata import read_number
from napari_wsimil.slides.backends.tiff.planes import over_white
from napari_wsimil.slides.backends.zarr_files import ZarrFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.ngff import NgffImage

_TILE = 512
"""Chunks are read together up to about so many pixels a side: each call of zarr has a price of its own."""
_KINDS = {"label": "label", "macro": "macro", "overview": "macro", "thumbnail": "thumbnail"}
"""Associated images by a word in the name that the OME-XML gives them."""


class OmeZarrBackend(Backend):
    """The largest RGB image of an OME-Zarr."""

    name = "ome-zarr"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._closed = False
        if not ZarrFiles.recognises(path):
            raise SlideError(f"{path.name} is no OME-Zarr; open the folder that holds its zarr.json or .zattrs.")
        with ZarrFiles(path) as files:
            images = find_images(files)
            self._image, self._prefix = images[0], files.prefix
            text = files.read("OME/METADATA.ome.xml")
        about = _parse_xml(text)
        self._associated = dict(_associated(images[1:], about))
        self._in_zip = path.is_file()
        self._store = self._open_store()
        try:
            self._arrays = [self._open_array(name) for name in self._image.arrays]
        except BaseException:
            self._store.close()
            raise
        y, x = self._image.axes.index("y"), self._image.axes.index("x")
        self.levels = make_levels(
            [(array.shape[x], array.shape[y]) for array in self._arrays],
            [(_side(array.chunks[x], array.shape[x]), _side(array.chunks[y], array.shape[y])) for array in self._arrays],
        )
        self.metadata = self._metadata(about)

    def _open_store(self) -> Any:
        from zarr.storage import LocalStore, ZipStore

        from napari_wsimil.slides.backends.zarr_store import CheckedStore

        if not self._in_zip:
            return CheckedStore(LocalStore(self.path, read_only=True))
        try:
            return CheckedStore(ZipStore(self.path, mode="r"))
        except zipfile.BadZipFile as error:
            raise SlideError(
                f"{self.path.name} is a zip file that can't be read ({said(error, self.path)}); copy it again."
            ) from error

    def _open_array(self, name: str) -> Any:
        import zarr

        if any(codec.startswith("imagecodecs_") for codec in self._image.codecs):
            from imagecodecs.numcodecs import register_codecs

            register_codecs(verbose=False)
        try:
            array = zarr.open_array(store=self._store, path=self._prefix + name, mode="r", zarr_format=self._image.zarr_format)
        except Exception as error:
            raise SlideError(
                f"{self.path.name} is an OME-Zarr whose level {name} can't be read ({said(error, self.path)})."
            ) from error
        if math.prod(array.chunks) > 3 * LARGEST_PIECE:
            raise SlideError(
                f"{self.path.name} is compressed in chunks of {' x '.join(map(str, array.chunks))} values, too large to decode "
                "one; save it in chunks of about 512 x 512 pixels."
            )
        self._store.watch(array)
        return array

    def _metadata(self, about: ET.Element | None) -> Metadata:
        image, name = self._image, self.path.name
        properties = {"ome.axes": "".join(image.axes), "zarr.format": str(image.zarr_format)}
        metadata = Metadata("ome-zarr", properties, image.mpp, "ome" if image.mpp else None)
        metadata.objective_power = _power(about)
        if image.missing:
            metadata.notices.append(f"{name} lacks {image.missing} of its levels; copy it again to see it at full resolution.")
        if image.planes > 1:
            metadata.notices.append(f"{name} holds {image.planes} planes in depth or time; only the first is shown.")
        return metadata

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        width, height = self.levels[level].tile_size
        pixels = self._read(self._image, self._arrays[level], (column * width, row * height, width, height))
        if scratch is None:
            return np.ascontiguousarray(pixels)
        part = scratch[: pixels.shape[0], : pixels.shape[1]]
        part[...] = pixels
        return part

    def _read(self, image: NgffImage, array: Any, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        """Pixels of a box (x, y, width, height), cut at the edge of the image."""
        x, y, width, height = box
        part = {"x": slice(x, x + width), "y": slice(y, y + height), "c": slice(None)}
        try:
            pixels = np.asarray(array[tuple(part.get(axis, 0) for axis in image.axes)])
            if not self._is_there(array):
                # zarr takes all that is not there for chunks that were not written
                raise FileNotFoundError("it was removed")
        except Exception as error:
            # zarr and its codecs raise many kinds
            if self._closed:
                raise SlideError(f"{self.path.name} was closed; open the slide again to read from it.") from error
            raise TileError(said(error, self.path)) from error
        left = [axis for axis in image.axes if axis in part]
        return over_white(pixels.transpose([left.index(axis) for axis in "yxc"]), associated=False)

    def _is_there(self, array: Any) -> bool:
        """Whether an array was not removed, or the folder with it."""
        if self._in_zip:
            return True
        name = "zarr.json" if self._image.zarr_format == 3 else ".zarray"
        return (self.path / array.path / name).is_file()

    def associated_names(self) -> tuple[str, ...]:
        """See `Backend.associated_names`."""
        return tuple(self._associated)

    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """See `Backend.associated_image`."""
        image = self._associated[name]
        if image.area > LARGEST_PIECE:
            raise ValueError(f"{image.area} pixels")
        side = max(image.shape)
        try:
            return np.ascontiguousarray(self._read(image, self._open_array(image.arrays[0]), (0, 0, side, side)))
        except TileError as error:
            raise ValueError(str(error)) from error

    def identity(self) -> Iterable[bytes]:
        """See `Backend.identity`."""
        yield repr((self._image.axes, self._image.mpp)).encode()
        for level in (self.levels[0], self.levels[-1]):
            columns, rows = level.tiles
            try:
                tile = self.read_tile(level.index, columns // 2, rows // 2)
            except TileError:
                continue
            yield b"" if tile is None else tile.tobytes()

    def close(self) -> None:
        """See `Backend.close`."""
        self._closed = True
        self._store.close()


def _side(chunk: int, size: int) -> int:
    """A multiple of a chunk's side of about 512 px, or all of a smaller image."""
    return int(min(chunk * max(1, round(_TILE / chunk)), size))


def _parse_xml(text: bytes | None) -> ET.Element | None:
    """The root of an OME-XML; None where it is no XML. Entities are refused: a few can expand to gigabytes."""
    if text is None or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return None
    try:
        return ET.fromstring(text)  # noqa: S314 - no entities, see above
    except ET.ParseError:
        return None


def _power(about: ET.Element | None) -> float | None:
    """Nominal magnification of the first objective that an OME-XML knows."""
    objective = None if about is None else about.find(".//{*}Objective")
    return None if objective is None else read_number(objective.get("NominalMagnification"))


def _associated(images: list[NgffImage], about: ET.Element | None) -> Iterator[tuple[str, NgffImage]]:
    """Label, macro and thumbnail among the smaller images, by what the OME-XML calls the series of that number."""
    names = [] if about is None else [image.get("Name", "").lower() for image in about.findall("{*}Image")]
    for image in images:
        if image.group.isdigit() and int(image.group) < len(names):
            kind = next((kind for word, kind in _KINDS.items() if word in names[int(image.group)]), None)
            if kind is not None:
                yield kind, image
