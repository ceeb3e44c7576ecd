"""Corrections from what a person writes down: a table, or slides, annotations and labels in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from napari_wsimil.annotations.inside import SUFFIXES
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.corrections.correction import Correction
from napari_wsimil.training.data.feature_folders import plain_name
from napari_wsimil.training.data.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Value = TypeVar("Value")


def read_corrections(manifest: Path) -> tuple[Correction, ...]:
    """Read corrections from a table with the columns slide and annotation, label or both; patient and mpp may be there.

    Raises
    ------
    TrainingError
        The table can't be used; one sentence says why.
    """
    return tuple(
        Correction(case.path, case.annotation, case.label, None if case.patient == case.name else case.patient, case.mpp)
        for case in read_manifest(manifest, labelled=False).cases
    )


def paired_corrections(
    slides: Sequence[Path], annotations: Sequence[Path] = (), labels: Sequence[str] = (), mpp: float | None = None
) -> tuple[Correction, ...]:
    """Corrections of some slides.

    Parameters
    ----------
    annotations
        One file for each slide, in the same order; or one folder, in which each slide's file is named like it. None: no marks.
    labels
        One for each slide, or one for all; none: they are not known.
    mpp
        µm per pixel of level 0 of all of them, where they do not say or are wrong.

    Raises
    ------
    TrainingError
        There are more or fewer annotations or labels than slides, or the folder has no file for a slide.
    """
    if len(annotations) == 1 and annotations[0].is_dir():
        drawn: Sequence[Path | None] = [_in_folder(annotations[0], slide) for slide in slides]
    else:
        drawn = _each(annotations, len(slides), "annotations")
    named = _each(list(labels) * (len(slides) if len(labels) == 1 else 1), len(slides), "labels")
    return tuple(Correction(*row, mpp=mpp) for row in zip(slides, drawn, named, strict=True))


def _each(given: Sequence[Value], count: int, what: str) -> Sequence[Value | None]:
    if not given:
        return [None] * count
    if len(given) != count:
        raise TrainingError(
            f"{len(given)} {what} can't belong to {count} slide{'s' * (count != 1)}; give one for each in the same order, or "
            "write a table with one line for each slide."
        )
    return list(given)


def _in_folder(folder: Path, slide: Path) -> Path:
    names = dict.fromkeys(f"{stem}{suffix}" for stem in (slide.name, plain_name(slide.name)) for suffix in SUFFIXES)
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise TrainingError(
            f"The folder {folder} holds no annotations for {slide.name}; {plain_name(slide.name)}.geojson was looked for."
        )
    return found
