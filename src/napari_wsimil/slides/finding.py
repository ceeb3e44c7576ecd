"""Slides in folders, told from other files by what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.errors import SlideError
from napari_wsimil.slides._open import slide_kind, whole_slide

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLIDE_ONLY = frozenset({".svs", ".ndpi", ".scn", ".mrxs", ".bif", ".czi", ".vms", ".vmu", ".svslide", ".qptiff"})
"""Suffixes that nothing but slides has: such a file counts even where its content says nothing, so that it is reported."""


def slides_in(folder: Path) -> Iterator[Path]:
    """Slides in and below a folder in the order of their names; what is hidden is left out.

    A folder that is a DICOM series or an OME-Zarr is one slide.

    Raises
    ------
    SlideError
        A folder can't be read.
    """
    yield from _search(folder, set())


def _search(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """`seen` are the folders searched already, which a link may lead to again."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    kind, whole = slide_kind(folder), whole_slide(folder)
    if kind == "ome-zarr" or whole != folder:
        yield whole
        return
    if kind == "dicom":
        yield folder
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise SlideError(f"{folder} can't be searched for slides ({error.strerror}).") from error
    for entry in entries:
        if entry.is_dir():
            yield from _search(entry, seen)
        elif entry.is_file() and (entry.suffix.lower() in SLIDE_ONLY or slide_kind(entry) not in (None, "dicom")):
            yield entry
