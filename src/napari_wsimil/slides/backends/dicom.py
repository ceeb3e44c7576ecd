"""DICOM whole-slide images: the folder of a series or any file of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import (
    DECODE_ERRORS,
    Backend,
    Metadata,
    TileError,
    UnsupportedError,
    make_levels,
)
from napari_wsimil.slides.backends.openslide import OpenSlideBackend

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray


def is_dicom(path: Path) -> bool:
    """Whether a file has the DICOM preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.is_file() and is_dicom(path))


def open_dicom(path: Path) -> Backend:
    """Open through OpenSlide, or else through wsidicom, which reads series that OpenSlide refuses.

    Raises
    ------
    SlideError
        Neither opens it; says so, or that wsidicom is not installed.
    """
    files = dicom_files(path) if path.is_dir() else [path]
    if not files:
        raise SlideError(f"{path.name} is a folder without DICOM files; open a slide file, or the folder of one DICOM series.")
    try:
        return OpenSlideDicom(path, files[0])
    except UnsupportedError:
        return WsiDicomBackend(path)


class OpenSlideDicom(OpenSlideBackend):
    """A DICOM series through OpenSlide, which finds the other files of the series itself."""

    name = "dicom"

    def __init__(self, path: Path, member: Path) -> None:
        super().__init__(member)
        self.path = path


class WsiDicomBackend(Backend):
    """A DICOM series through wsidicom (`pip install 'napari-wsimil[dicom]'`)."""

    name = "dicom"

    def __init__(self, path: Path) -> None:
        try:
            import wsidicom
        except ImportError as error:
            raise SlideError(
                f"{path.name} is a DICOM slide that OpenSlide does not read; install the DICOM reader with "
                "pip install 'napari-wsimil[dicom]'."
            ) from error
        self.path = path
        try:
            self._slide = wsidicom.WsiDicom.open(path if path.is_dir() else _series_of(path))
            found = list(self._slide.levels)
        except Exception as error:
            raise SlideError(f"{path.name} is no DICOM whole-slide image that can be read ({_first_line(error)}).") from error
        self._numbers = [level.level for level in found]
        self.levels = make_levels(
            [(level.size.width, level.size.height) for level in found],
            [(level.tile_size.width, level.tile_size.height) for level in found],
        )
        self.metadata = self._metadata(found[0])

    def _metadata(self, base: Any) -> Metadata:
        uids = base.datasets[0].uids
        self._identity = str(uids.instance)
        properties = {
            "dicom.SOPInstanceUID": str(uids.instance),
            "dicom.SeriesInstanceUID": str(uids.slide.series_instance),
            "dicom.PhotometricInterpretation": str(base.datasets[0].photometric_interpretation),
        }
        return Metadata("dicom", properties, (base.mpp.width, base.mpp.height), "dicom")

    def read_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        """See `Backend.read_tile`."""
        about = self.levels[level]
        x, y = column * about.tile_size[0], row * about.tile_size[1]
        size = min(about.tile_size[0], about.width - x), min(about.tile_size[1], about.height - y)
        try:
            return np.asarray(self._slide.read_region((x, y), self._numbers[level], size).convert("RGB"))
        except DECODE_ERRORS as error:
            raise TileError(_first_line(error)) from error

    def associated_names(self) -> tuple[str, ...]:
        """See `Backend.associated_names`."""
        have = {"label": self._slide.labels, "macro": self._slide.overviews}
        return tuple(name for name, images in have.items() if images)

    def associated_image(self, name: str) -> NDArray[np.uint8]:
        """See `Backend.associated_image`."""
        read = {"label": self._slide.read_label, "macro": self._slide.read_overview}
        return np.asarray(read[name]().convert("RGB"))

    def identity(self) -> Iterable[bytes]:
        """See `Backend.identity`."""
        yield self._identity.encode()

    def close(self) -> None:
        """See `Backend.close`."""
        self._slide.close()


def _series_of(path: Path) -> list[Path]:
    """The files beside `path` that belong to the same series."""
    import pydicom

    def series(file: Path) -> str:
        return str(pydicom.dcmread(file, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True).get("SeriesInstanceUID"))

    wanted = series(path)
    return [file for file in dicom_files(path.parent) if series(file) == wanted]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
