"""Annotation files, whatever program wrote them."""

from __future__ import annotations

import gzip
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.annotations.asap import read_asap
from napari_wsimil.annotations.geojson import read_geojson
from napari_wsimil.errors import AnnotationError

if TYPE_CHECKING:
    from napari_wsimil.annotations.regions import Annotations

OWN_SUFFIX = ".annotations.geojson"
"""What a file of regions beside its slide is called: QuPath opens it, and the export of a prediction has another name."""

LARGEST = 128 << 20
"""Bytes of text, unpacked: some four million points. Read as JSON they take ten times that."""

_START = 64 << 10
"""Bytes that tell what a file is."""


def read_annotations(path: str | Path, *, origin: tuple[float, float] = (0.0, 0.0)) -> Annotations:
    """Read the regions drawn on a slide: QuPath's GeoJSON or ASAP's XML, gzipped or not; told apart by content.

    Parameters
    ----------
    origin
        (x, y) level-0 pixels of the corner of the scanned area (`openslide.bounds-x` and `-y`), from which QuPath counts; a
        file of ours says it itself. ASAP counts from the corner of the canvas.

    Raises
    ------
    AnnotationError
        The file is missing, too large, or can't be read; one sentence says why.
    """
    path = Path(path).expanduser()
    text = _read(path)
    start = text.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"<":
        return read_asap(text, path)
    if start in (b"{", b"["):
        annotations, told = read_geojson(text, path)
        return annotations.shifted(*(told or origin))
    raise AnnotationError(f"{path} holds no annotations; give GeoJSON from QuPath or XML from ASAP.")


def _read(path: Path) -> bytes:
    """The text, unpacked; never more of it in memory than allowed."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if packed else nullcontext(file) as source:
                text = source.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise AnnotationError(f"The annotation {path} can't be read ({why}); check its path.") from error
    if len(text) > LARGEST:
        raise AnnotationError(
            f"{path} has more than {LARGEST >> 20} MB of text; export annotations only, without cells and tiles."
        )
    return bytes(text)


def looks_like_annotations(path: Path) -> bool:
    """Whether a file may hold regions of QuPath or ASAP, by what it starts with; reads a few kilobytes."""
    try:
        with path.open("rb") as file:
            start = file.read(_START)
        if start.startswith(b"\x1f\x8b"):
            start = zlib.decompressobj(wbits=31).decompress(start, _START)
    except (OSError, zlib.error):
        return False
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return (start.startswith((b"{", b"[")) and b'"Feature' in start) or (
        start.startswith(b"<") and b"<ASAP_Annotations" in start
    )
