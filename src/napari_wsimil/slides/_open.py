"""Which backend opens a file or folder: decided by what it holds, never by its suffix."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import UnsupportedError
from napari_wsimil.slides.backends.czi import CziBackend, is_czi
from napari_wsimil.slides.backends.dicom import DicomBackend
from napari_wsimil.slides.backends.dicom_series import is_dicom
from napari_wsimil.slides.backends.ngff import is_ome_zarr, zarr_root
from napari_wsimil.slides.backends.ome_zarr import OmeZarrBackend
from napari_wsimil.slides.backends.openslide import OpenSlideBackend, is_openslide, mirax_file
from napari_wsimil.slides.backends.tiff import TiffBackend, is_tiff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_wsimil.slides.backends.base import Backend

_log = logging.getLogger(__name__)
_MAX_SIDE = 1 << 22
"""Pixels; a metre at 0.25 µm per pixel."""


class Format(NamedTuple):
    """A backend, and how the files it is best at are told from others.

    Parameters
    ----------
    accepts
        Whether a file or folder holds this format; reads a few bytes.
    open
        Opens it; raises `UnsupportedError` for what OpenSlide may still read, `SlideError` for what nobody can.
    """

    accepts: Callable[[Path], bool]
    open: Callable[[Path], Backend]


FORMATS: dict[str, Format] = {
    "ome-zarr": Format(is_ome_zarr, OmeZarrBackend),
    "dicom": Format(is_dicom, DicomBackend),
    "czi": Format(is_czi, CziBackend),
    "tiff": Format(lambda path: path.is_file() and is_tiff(path), TiffBackend),
    "openslide": Format(lambda path: path.is_file(), OpenSlideBackend),
}
"""Backends by name; the first that accepts a path opens it. OpenSlide knows many formats and comes last."""


class Recipe(NamedTuple):
    """How a slide was opened, so that it can be opened again elsewhere."""

    path: str
    mpp: float | tuple[float, float] | None
    backend: str | None


def open_backend(path: Path, backend: str | None = None) -> tuple[Backend, list[str]]:
    """Open a file or folder with the backend asked for, or with the one that its content calls for.

    Returns
    -------
    The backend, whose `path` is the whole slide where a part of it was given, and sentences that the user must see.

    Raises
    ------
    SlideError
        No backend opens it; one sentence says why.
    """
    if backend is not None and backend not in FORMATS:
        raise SlideError(f"There is no backend {backend!r} for slides; choose one of {', '.join(FORMATS)}.")
    try:
        _check_exists(path)
        path = whole_slide(path)
        opened, notices = _by_content(path) if backend is None else (FORMATS[backend].open(path), [])
    except PermissionError as error:
        raise SlideError(f"{path.name} can't be read: you have no permission to; ask its owner.") from error
    except OSError as error:
        raise SlideError(f"{path.name} can't be read ({error.strerror or error}).") from error
    width, height = opened.levels[0].width, opened.levels[0].height
    if max(width, height) > _MAX_SIDE:
        opened.close()
        raise SlideError(f"{path.name} says that it is {width} x {height} pixels, which is no slide; copy it again.")
    return opened, [*notices, *opened.metadata.notices]


def whole_slide(path: Path) -> Path:
    """What is meant by a part of a slide: the root of an OME-Zarr for its metadata file, the .mrxs for its folder."""
    return zarr_root(path) or mirax_file(path) or path


def slide_kind(path: Path) -> str | None:
    """Name of the backend that would open a file or folder, by its first bytes; None for what is no slide or can't be read."""
    try:
        name = next((name for name, known in FORMATS.items() if known.accepts(path)), None)
        return None if name == "openslide" and not is_openslide(path) else name
    except OSError:
        return None


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise SlideError(f"{path} does not exist; check the name and the folder.")
    if not (path.is_file() or path.is_dir()):
        # reading a pipe would wait for whoever writes to it, and a device may have no end
        raise SlideError(f"{path.name} is no file but a pipe or a device; save what comes from it to a file and open that.")
    if path.is_file() and not path.stat().st_size:
        raise SlideError(f"{path.name} is empty (0 bytes); copy it again.")


def _by_content(path: Path) -> tuple[Backend, list[str]]:
    name = next((name for name, known in FORMATS.items() if known.accepts(path)), None)
    if name is None:
        raise SlideError(
            f"{path.name} is a folder without DICOM files and no OME-Zarr; open a slide file, the folder of one DICOM series, "
            "or an OME-Zarr image."
        )
    try:
        return FORMATS[name].open(path), []
    except UnsupportedError as refusal:
        if name == "openslide":
            raise SlideError(
                f"{path.name} is no slide: it is neither TIFF, DICOM, OME-Zarr nor CZI, nor anything else that OpenSlide "
                "reads, whatever its name."
            ) from refusal
        return _through_openslide(path, name, refusal)


def _through_openslide(path: Path, name: str, refusal: UnsupportedError) -> tuple[Backend, list[str]]:
    """Open what another backend refused, and say why where the user could not expect it."""
    try:
        backend = OpenSlideBackend(path)
    except UnsupportedError:
        raise SlideError(str(refusal)) from refusal
    _log.info("%s is read through OpenSlide, not by the %s backend: %s", path.name, name, refusal)
    notice = f"{path.name} was opened through OpenSlide, which is slower, because the faster reader refused it: {refusal}"
    return backend, [] if refusal.expected else [notice]
