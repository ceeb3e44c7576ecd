"""Links between the magnifications of a slide, for whoever has the files only."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from napari_wsimil.bags.store.layout import Link, read_links
from napari_wsimil.bags.store.raw_file import RawFile
from napari_wsimil.errors import SlideError

if TYPE_CHECKING:
    from pathlib import Path


def read_parents(path: Path) -> tuple[Link, ...]:
    """In which coarser patches those of a feature file lie, coarse to fine; empty where the file does not say.

    Raises
    ------
    SlideError
        The file can't be opened.
    """
    try:
        with closing(RawFile(path)) as raw:
            return tuple(sorted(read_links(raw), key=lambda link: -link.mpp))
    except OSError as error:
        raise SlideError(f"{path} can't be opened ({error.strerror}); give a feature file.") from error
