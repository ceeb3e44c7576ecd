"""Which slides are meant: slide files, folders to search, lists and manifests."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.errors import SlideError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LISTS = frozenset({".txt"})
MANIFESTS = frozenset({".csv", ".tsv"})
_UNFIT_FOR_NAMES = re.compile(r'[\x00-\x1f\\/:*?"<>|]+')


@dataclass(frozen=True)
class CohortSlide:
    """One slide of a cohort.

    Attributes
    ----------
    name
        Unique in the cohort, whatever the case of its letters; its files are called so.
    path
        Slide file or folder, absolute.
    mpp
        µm per pixel of level 0 where the manifest tells them, or None.
    label, patient
        What the manifest tells of it, or None.
    """

    name: str
    path: Path
    mpp: float | None = None
    label: str | None = None
    patient: str | None = None


def find_slides(
    given: str | Path | Sequence[str | Path | CohortSlide], *, watch: Callable[[int], object] | None = None
) -> tuple[CohortSlide, ...]:
    """Find the slides that are meant, each once, with unique names.

    Parameters
    ----------
    given
        Slides, folders (searched with all that is below; a folder that is a DICOM series or an OME-Zarr is one slide), lists
        (.txt, a path in each line, relative to the list; what follows a # at the start of a line is left out) and manifests
        (.csv, .tsv); also what an earlier call found.
    watch
        Called with how many are found, after each; what it raises ends the search.

    Raises
    ------
    SlideError
        A folder or list can't be read, or there is no slide in it.
    TrainingError
        A manifest has a fault; the sentence tells the line.
    """
    sources = [given] if isinstance(given, str | Path) else list(given)
    found: dict[Path, CohortSlide] = {}
    for source in sources:
        meant = [source] if isinstance(source, CohortSlide) else _meant_by(Path(source).expanduser().absolute())
        for slide in meant:
            found.setdefault(slide.path, slide)
            if watch is not None:
                watch(len(found))
    return named_slides(list(found.values()), {})


def _meant_by(path: Path) -> Iterator[CohortSlide]:
    if path.suffix.lower() in MANIFESTS:
        yield from _of_manifest(path)
    elif path.suffix.lower() in LISTS and path.is_file():
        yield from _of_list(path)
    elif path.is_dir():
        yield from _of_folder(path)
    else:
        yield CohortSlide(_own_name(path), path)


def _of_manifest(path: Path) -> Iterator[CohortSlide]:
    from napari_wsimil.training.data.manifest import read_manifest

    for case in read_manifest(path, labelled=False).cases:
        patient = None if case.patient == case.name else case.patient
        yield CohortSlide(case.name, Path(os.path.normpath(case.path.absolute())), case.mpp, case.label, patient)


def _of_list(path: Path) -> Iterator[CohortSlide]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SlideError(
            f"{path} can't be read as a list of slides ({error}); write one path in each line, in UTF-8."
        ) from error
    wanted = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not wanted:
        raise SlideError(f"{path} names no slides; write one path in each line.")
    for line in wanted:
        slide = Path(os.path.normpath(path.parent / Path(line).expanduser()))
        yield CohortSlide(_own_name(slide), slide)


def _of_folder(folder: Path) -> Iterator[CohortSlide]:
    from napari_wsimil.slides.finding import slides_in

    empty = True
    for path in slides_in(folder):
        empty = False
        yield CohortSlide(_own_name(path), path)
    if empty:
        raise SlideError(f"There is no slide in {folder}, nor in its folders; give the folder that holds them.")


def _own_name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def named_slides(slides: Sequence[CohortSlide], known: Mapping[Path, str]) -> tuple[CohortSlide, ...]:
    """Number slides of the same name; those that are `known` keep their name."""
    taken = {name.casefold() for name in known.values()}
    named = []
    for slide in slides:
        name = known.get(slide.path) or _free(_UNFIT_FOR_NAMES.sub("_", printable(slide.name)).strip(". ") or "slide", taken)
        taken.add(name.casefold())
        named.append(replace(slide, name=name))
    return tuple(named)


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name.casefold() in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name
