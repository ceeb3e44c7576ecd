"""Which backend opens a file: decided by what the file holds, never by its suffix."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import UnsupportedError
from napari_wsimil.slides.backends.dicom import is_dicom, open_dicom
from napari_wsimil.slides.backends.openslide import OpenSlideBackend
from napari_wsimil.slides.backends.tiff import TiffBackend, is_tiff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_wsimil.slides.backends.base import Backend

BACKENDS: dict[str, Callable[[Path], Backend]] = {"tiff": TiffBackend, "openslide": OpenSlideBackend, "dicom": open_dicom}


class Recipe(NamedTuple):
    """How a slide was opened, so that it can be opened again elsewhere."""

    path: str
    mpp: float | tuple[float, float] | None
    backend: str | None


def open_backend(path: Path, backend: str | None = None) -> tuple[Backend, list[str]]:
    """Open a file with the backend asked for, or with the one that its content calls for.

    Returns
    -------
    The backend, and sentences that the user must see.

    Raises
    ------
    SlideError
        No backend opens it; one sentence says why.
    """
    if backend is not None and backend not in BACKENDS:
        raise SlideError(f"There is no backend {backend!r} for slides; choose one of {', '.join(BACKENDS)}.")
    try:
        _check_exists(path)
        if backend is not None:
            return BACKENDS[backend](path), []
        return _by_content(path)
    except PermissionError as error:
        raise SlideError(f"{path.name} can't be read: you have no permission to; ask its owner.") from error
    except OSError as error:
        raise SlideError(f"{path.name} can't be read ({error.strerror or error}).") from error


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise SlideError(f"{path} does not exist; check the name and the folder.")
    if path.is_file() and not path.stat().st_size:
        raise SlideError(f"{path.name} is empty (0 bytes); copy it again.")


def _by_content(path: Path) -> tuple[Backend, list[str]]:
    if path.is_dir() or is_dicom(path):
        return open_dicom(path), []
    if is_tiff(path):
        return _tiff_else_openslide(path)
    try:
        return OpenSlideBackend(path), []
    except UnsupportedError as error:
        raise SlideError(
            f"{path.name} is no slide: it is neither TIFF nor DICOM nor anything else that OpenSlide reads, whatever its name."
        ) from error


def _tiff_else_openslide(path: Path) -> tuple[Backend, list[str]]:
    try:
        return TiffBackend(path), []
    except UnsupportedError as refusal:
        try:
            backend = OpenSlideBackend(path)
        except UnsupportedError:
            raise SlideError(str(refusal)) from refusal
        notice = f"{path.name} was opened through OpenSlide, which is slower, because the faster reader refused it: {refusal}"
        return backend, [] if refusal.expected else [notice]
