"""Zeiss CZI through ZEISS's own pylibCZIrw (`pip install 'napari-wsimil[czi]'`)."""

from __future__ import annotations

import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import Backend, Metadata, TileError, UnsupportedError, make_levels, said
from napari_wsimil.slides.backends.byte_reader import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

_MAGIC = b"ZISRAWFILE"
_SEGMENT = struct.Struct("<16sqqiiq")
_TILE = 512
_WHITE = (1.0, 1.0, 1.0)
_MAX_SIDE = 1 << 24


def is_czi(path: Path) -> bool:
    """Whether a file starts like a CZI."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def is_brightfield(path: Path) -> bool:
    """Whether a CZI holds 8-bit RGB; also where its reader is not installed, so that opening it says what to install."""
    try:
        CziBackend(path).close()
    except UnsupportedError:
        return True
    except SlideError:
        return False
    return True


class CziBackend(Backend):
    """A brightfield CZI: all its scenes on one canvas, white between them.

    A level is a layer of the file's own pyramid, read at exactly its zoom (1, 1/2, 1/4 ... or 1, 1/3, 1/9 ...), so that libCZI
    copies pixels and makes none. libCZI may be called from many threads at once.
    """

    name = "czi"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._closed = False
        self._stack = ExitStack()
        self._file = self._open()
        try:
            self._check_kind()
            self._corner, self._zooms, self.levels = self._find_levels()
            self.metadata = self._metadata()
        except SlideError:
            self._stack.close()
            raise
        except Exception as error:
            self._stack.close()
            raise SlideError(f"{path.name} is a damaged CZI ({said(error, path)}); copy it again.") from error

    def _open(self) -> Any:
        if not is_czi(self.path):
            raise UnsupportedError(f"{self.path.name} is no CZI.")
        try:
            from pylibCZIrw import czi
        except ImportError as error:
            raise UnsupportedError(
                f"{self.path.name} is a Zeiss CZI; install its reader with pip install 'napari-wsimil[czi]'."
            ) from error
        _check_segments(self.path)
        try:
            return self._stack.enter_context(czi.open_czi(str(self.path)))
        except Exception as error:
            raise SlideError(f"{self.path.name} is a damaged CZI ({said(error, self.path)}); copy it again.") from error

    def _check_kind(self) -> None:
        kinds = self._file.pixel_types
        if set(kinds.values()) != {"Bgr24"}:
            held = ", ".join(sorted(set(kinds.values()))) or "no"
            raise SlideError(
                f"{self.path.name} is a CZI with {held} pixels in {len(kinds)} channels; only brightfield slides (8-bit RGB) "
                "can be opened."
            )

    def _find_levels(self) -> tuple[tuple[int, int], list[float], tuple[Any, ...]]:
        box = self._file.total_bounding_rectangle_no_pyramid
        if not (0 < box.w < _MAX_SIDE and 0 < box.h < _MAX_SIDE):
            raise SlideError(f"{self.path.name} says that it is {box.w} x {box.h} pixels, which is no slide; copy it again.")
        zooms = sorted({1.0, *self._stored_zooms()}, reverse=True)
        # libCZI cuts fractions of pixels off
        sizes = [(int(box.w * zoom), int(box.h * zoom)) for zoom in zooms]
        kept = [(zoom, size) for zoom, size in zip(zooms, sizes, strict=True) if min(size) > 0]
        levels = make_levels([size for _, size in kept], [(_TILE, _TILE)] * len(kept))
        return (box.x, box.y), [zoom for zoom, _ in kept], levels

    def _stored_zooms(self) -> set[float]:
        """1 / 2, 1 / 4 ... of the pyramid, from the directory of the file."""
        zooms: set[float] = set()

        def note(_: int, about: Any) -> bool:
            shown, stored = about.logicalRect, about.physicalSize
            if shown.w > stored.w > 0 and shown.h > stored.h > 0:
                # pieces at the edges are rounded to whole pixels
                zooms.add(1 / round(shown.w / stored.w))
            return True

        self._file.enumerate_subblocks(note)
        return zooms

    def _metadata(self) -> Metadata:
        found = Metadata("zeiss", {"czi.scenes": str(len(self._file.scenes_bounding_rectangle_no_pyramid) or 1)})
        about = self._file.metadata.get("ImageDocument", {}).get("Metadata", {})
        steps = _items(about, "Scaling", "Items", "Distance")
        metres = {step.get("@Id"): _number(step.get("Value")) for step in steps}
        x, y = metres.get("X"), metres.get("Y")
        if x and y:
            found.mpp, found.mpp_source = (x * 1e6, y * 1e6), "vendor"
        for objective in _items(about, "Information", "Instrument", "Objectives", "Objective"):
            found.objective_power = _number(objective.get("NominalMagnification"))
        planes = [end - start for axis, (start, end) in self._file.total_bounding_box.items() if axis in "TZ"]
        if any(count > 1 for count in planes):
            found.notices.append(f"{self.path.name} holds several planes in depth or time; only the first is shown.")
        return found

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        about, zoom = self.levels[level], self._zooms[level]
        x, y = column * _TILE, row * _TILE
        width, height = min(_TILE, about.width - x), min(_TILE, about.height - y)
        step = round(1 / zoom)
        roi = (self._corner[0] + x * step, self._corner[1] + y * step, width * step, height * step)
        if self._closed:
            raise SlideError(f"{self.path.name} was closed; open the slide again to read from it.")
        try:
            pixels = self._file.read(roi=roi, plane={"C": 0}, zoom=zoom, pixel_type="Bgr24", background_pixel=_WHITE)
        except Exception as error:
            raise TileError(said(error, self.path)) from error
        rgb: NDArray[np.uint8] = pixels[:height, :width, ::-1]
        if scratch is None:
            return np.ascontiguousarray(rgb)
        part = scratch[: rgb.shape[0], : rgb.shape[1]]
        part[...] = rgb
        return part

    def associated_names(self) -> tuple[str, ...]:
        """See `Backend.associated_names`."""
        return ()

    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """See `Backend.associated_image`."""
        raise KeyError(name)

    def identity(self) -> Iterable[bytes]:
        """See `Backend.identity`."""
        yield file_digest(self.path)

    def close(self) -> None:
        """See `Backend.close`."""
        self._closed = True
        self._stack.close()


def _check_segments(path: Path) -> None:
    """Refuse a file whose pieces claim to be larger than they are: libCZI takes their word and brings the process down.

    A CZI is a chain of segments, each with 16 bytes of name, its allocated and its used size; that of a piece of the image goes
    on with the sizes of its metadata, attachment and pixels.
    """
    size = path.stat().st_size
    start = 0
    with path.open("rb", buffering=0) as file:
        while start + _SEGMENT.size <= size:
            file.seek(start)
            name, allocated, _, metadata, attachment, pixels = _SEGMENT.unpack(file.read(_SEGMENT.size))
            is_piece = name.startswith(b"ZISRAWSUBBLOCK")
            claimed = [metadata, attachment, pixels] if is_piece else [0]
            if min(allocated, *claimed) < 0 or sum(claimed) > allocated or start + 32 + allocated > size:
                raise SlideError(f"{path.name} is a damaged CZI (at byte {start}); copy it again.")
            start += 32 + allocated


def _items(about: Any, *names: str) -> list[dict[str, Any]]:
    """A list inside of nested dictionaries; xmltodict gives a lone element as itself, and None for an empty one."""
    for name in names:
        about = about.get(name) if isinstance(about, dict) else None
    found = about if isinstance(about, list) else [about]
    return [item for item in found if isinstance(item, dict)]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
