"""Which DICOM files make up one slide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from napari_wsimil.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WSI_STORAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""DICOM's VL Whole Slide Microscopy Image Storage."""

_SERIES_WITHIN = 1 << 16
"""The series is named before so many bytes: what stands in front of it says who and when, not what is in the image."""
_LAST_TAG = 0x00480105
"""The optical paths: all that is wanted stands before their end, and what follows can be long (one item per tile)."""


class Series(NamedTuple):
    """The files of one slide.

    Parameters
    ----------
    files
        Those that hold an image of the slide: levels, label, overview, thumbnail.
    headers
        pydicom data sets of the same files, without pixels.
    unreadable
        DICOM files whose header is damaged: they may belong to the slide.
    """

    files: list[Path]
    headers: list[Any]
    unreadable: list[Path]


def is_dicom(path: Path) -> bool:
    """Whether a file has the DICOM preamble, or a folder a file that has."""
    if path.is_dir():
        return any(_has_preamble(file) for file in path.iterdir() if file.is_file())
    return _has_preamble(path)


def _has_preamble(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.is_file() and _has_preamble(path))


def find_series(path: Path) -> Series:
    """The slide that a folder holds or a file belongs to.

    Raises
    ------
    SlideError
        The file or folder holds no whole-slide image, or the folder holds several.
    """
    try:
        return _of_folder(path) if path.is_dir() else _of_file(path)
    except (SlideError, OSError):
        raise
    except Exception as error:
        # damaged values are found when they are asked for
        raise SlideError(f"{path.name} is a DICOM slide whose header is damaged; copy it again.") from error


def _of_file(path: Path) -> Series:
    if not _has_preamble(path):
        raise SlideError(f"{path.name} is no DICOM file.")
    header = _read_header(path)
    if header is None:
        raise SlideError(f"{path.name} is a DICOM file whose header is damaged; copy it again.")
    if header.get("SOPClassUID") != WSI_STORAGE:
        from pydicom.uid import UID

        uid = UID(str(header.get("SOPClassUID")))
        kind = "something else" if uid.name == uid else uid.name
        raise SlideError(f"{path.name} is a DICOM file, but no whole-slide image: it holds {kind}.")
    series = _series(header)
    beside = (file for file in dicom_files(path.parent) if file == path or _names(file, series))
    return _group(beside).get(series) or Series([path], [header], [])


def _names(file: Path, uid: str) -> bool:
    """Whether the head of a file has this series in it: a folder may hold thousands of files of others."""
    with file.open("rb") as stream:
        return uid.encode() in stream.read(_SERIES_WITHIN)


def _of_folder(folder: Path) -> Series:
    groups = _group(dicom_files(folder))
    slides = [series for series in groups.values() if any("VOLUME" in _image_type(header) for header in series.headers)]
    if len(slides) > 1:
        raise SlideError(f"{folder.name} holds {len(slides)} DICOM slides (series); open one file of the slide you want.")
    if not slides:
        raise SlideError(f"{folder.name} holds DICOM files, but no whole-slide image among them.")
    return slides[0]


def _group(files: Iterable[Path]) -> dict[str, Series]:
    """Files of whole-slide images by the series they belong to."""
    groups: dict[str, Series] = {}
    unreadable: list[Path] = []
    for file in files:
        header = _read_header(file)
        if header is None:
            unreadable.append(file)
        elif header.get("SOPClassUID") == WSI_STORAGE:
            series = groups.setdefault(_series(header), Series([], [], unreadable))
            series.files.append(file)
            series.headers.append(header)
    return groups


def _series(header: Any) -> str:
    return str(header.get("SeriesInstanceUID", ""))


def _image_type(header: Any) -> list[str]:
    found = header.get("ImageType") or []
    return [found] if isinstance(found, str) else list(found)


def is_resampled(header: Any) -> bool:
    """Whether an image was made from a finer one."""
    return "RESAMPLED" in _image_type(header)


def _read_header(file: Path) -> Any | None:
    """The data set of a file up to its optical paths; None where it is damaged."""
    from pydicom.filereader import read_partial

    try:
        with file.open("rb") as stream:
            header = read_partial(stream, stop_when=lambda tag, *_: tag > _LAST_TAG)
            # values are parsed when they are asked for
            told = [header.get(name) for name in ("SOPClassUID", "SeriesInstanceUID", "ImageType")]
    except Exception:  # noqa: BLE001 - pydicom raises many kinds on a damaged file
        return None
    return header if told[0] else None
