"""What the slide panel says of a slide: rows of text, which can be shown or copied."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_wsimil.slides import Slide

    Row = tuple[str, ...]

UM_PER_PIXEL_AT_1X = 10.0
"""The field's convention: 0.5 µm per pixel is "20x"."""

FORMATS = {"generic-tiff": "TIFF", "ome": "OME-TIFF", "ome-zarr": "OME-Zarr", "dicom": "DICOM"}
READERS = {"tiff": "TIFF tiles", "openslide": "OpenSlide", "dicom": "DICOM", "ome-zarr": "OME-Zarr", "czi": "CZI"}
SOURCES = {
    "vendor": "stated by the scanner",
    "ome": "from the OME metadata",
    "dicom": "from the DICOM metadata",
    "tiff": "from the TIFF resolution",
    "user": "typed in",
}

_MAY_NAME_PATIENT = re.compile(
    r"patient|accession|specimen|bar ?code|label|birth|person|medical|\bcase\b|study ?id|block ?id|container ?identifier"
    r"|description|comment|header|title|\bnotes?\b|reference|file ?name|slide ?(name|id)|image ?id",
    re.IGNORECASE,
)


def may_name_patient(key: str) -> bool:
    """Whether the value of a property may tell who the patient is, as far as its name says.

    Free text (descriptions, comments, headers) counts too: scanners put the operator's entries there.
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key)
    return _MAY_NAME_PATIENT.search(re.sub(r"[\W_]+", " ", words)) is not None


def number(value: float) -> str:
    """Two digits, or whole numbers where there are more: 0.25, 1.9, 40, 123."""
    return f"{value:.2g}" if value < 10 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def magnification_text(screen_pixel: float, known: bool) -> str:
    """How far the view is magnified, for example "5.2x · 1.9 µm/px".

    Parameters
    ----------
    screen_pixel
        µm per pixel of the screen, or level-0 pixels per pixel of the screen for a slide without mpp.
    known
        Whether it is in µm.
    """
    if known:
        return f"{number(UM_PER_PIXEL_AT_1X / screen_pixel)}x · {number(screen_pixel)} µm/px"
    return f"{number(100 / screen_pixel)} % of full resolution"


def file_size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def size_text(count: int) -> str:
    """Bytes as a person reads them: "1.9 MB"."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{number(size)} {unit}"


def fact_rows(slide: Slide) -> list[tuple[str, str]]:
    """What a reader wants to know first, each with its label."""
    power = slide.objective_power
    rows = [("Name", slide.path.name), ("Size", f"{slide.width:,} x {slide.height:,} px")]
    if slide.mpp is None:
        rows.append(("Pixel size", "not known"))
    else:
        across, down = (length * mpp / 1000 for length, mpp in zip((slide.width, slide.height), slide.mpp, strict=True))
        rows.append(("", f"{number(across)} x {number(down)} mm"))
        rows.append(("Pixel size", _pixel_size(slide.mpp)))
        rows.append((" ", SOURCES.get(slide.mpp_source or "", "")))
    rows.append(("Objective", "not stated" if power is None else f"{power:g}x"))
    rows.append(("Format", FORMATS.get(slide.vendor, slide.vendor.capitalize())))
    rows.append(("Read with", READERS.get(slide.backend, slide.backend)))
    rows.append(("Fingerprint", slide.fingerprint))
    return rows


def _pixel_size(mpp: tuple[float, float]) -> str:
    equal = abs(mpp[0] - mpp[1]) < 1e-3 * mpp[0]
    return f"{mpp[0]:.4g} µm" if equal else f"{mpp[0]:.4g} x {mpp[1]:.4g} µm"


LEVEL_COLUMNS = ("Level", "Size in px", "Factor", "µm/px")
"""The factor is the downsample: level-0 pixels per pixel of the level."""


def level_rows(slide: Slide) -> list[Row]:
    """The stored levels, one row each, as `LEVEL_COLUMNS` heads them."""
    return [
        (
            str(level.index),
            f"{level.width} x {level.height}",
            f"{level.downsample:.4g}",
            "–" if slide.mpp is None else f"{slide.mpp[0] * level.downsample:.4g}",
        )
        for level in slide.levels
    ]


def as_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows as lines with tabs between the cells, which spreadsheets take as a table."""
    return "\n".join("\t".join(" ".join(cell.split()) for cell in row) for row in rows)
