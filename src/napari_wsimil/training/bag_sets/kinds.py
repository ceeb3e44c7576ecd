"""What a manifest names: slides, feature files or folders of patch images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.feature_folders import FEATURE_SUFFIXES, IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.training.data.manifest import Case

Kind = Literal["features", "images", "slides"]
_WORDS: dict[Kind, str] = {"features": "a feature file", "images": "a folder of patch images", "slides": "a slide"}


def kind_of_cases(cases: Sequence[Case]) -> Kind:
    """Return what the cases are, which must be the same for all.

    Raises
    ------
    TrainingError
        There is none, or they are of different kinds.
    """
    if not cases:
        raise TrainingError("There is no slide to learn from; check the manifest and its splits.")
    first = _kind(cases[0].path)
    for case in cases:
        kind = _kind(case.path)
        if kind != first:
            raise TrainingError(
                f"{case.path} is {_WORDS[kind]}, but {cases[0].path} is {_WORDS[first]}; list only one kind in a manifest."
            )
    return first


def _kind(path: Path) -> Kind:
    if path.suffix.lower() in FEATURE_SUFFIXES:
        return "features"
    return "images" if path.is_dir() and _holds_images(path) else "slides"


def _holds_images(folder: Path) -> bool:
    """Whether a folder is one of patches: slides that are folders (DICOM, OME-Zarr) hold no such files."""
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*"))
