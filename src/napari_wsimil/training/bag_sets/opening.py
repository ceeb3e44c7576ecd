"""The set of bags that suits what a manifest names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.bag_sets.files import FileBags
from napari_wsimil.training.bag_sets.images import IMAGE_SUFFIXES, ImageFolderBags
from napari_wsimil.training.bag_sets.slides import SlideBags
from napari_wsimil.training.data.feature_folders import FEATURE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_wsimil.encoders import Encoder
    from napari_wsimil.inference.progress import Progress
    from napari_wsimil.patches import PatchSpec
    from napari_wsimil.training.data.manifest import Case, Manifest

Kind = Literal["features", "images", "slides"]
_WORDS: dict[Kind, str] = {"features": "a feature file", "images": "a folder of patch images", "slides": "a slide"}


def open_bags(
    manifest: Manifest,
    cases: Sequence[Case] | None = None,
    *,
    mpp: float | None = None,
    encoder: Encoder | None = None,
    specs: Sequence[PatchSpec] = (),
    store: str | Path | None = None,
    device: str = "auto",
    on_progress: Callable[[str, Progress], object] | None = None,
) -> FileBags | ImageFolderBags | SlideBags:
    """Open cases of a manifest as bags: feature files, folders of patch images, or slides.

    Parameters
    ----------
    cases
        All of the manifest where None.
    mpp
        µm per pixel of features and images that do not say.
    encoder, specs, store, device, on_progress
        For slides, see `SlideBags`.

    Raises
    ------
    TrainingError
        The cases are of different kinds, or what slides need is missing, or as the sets of each kind.
    """
    chosen = manifest.cases if cases is None else tuple(cases)
    targets = [manifest.target(case) for case in chosen]
    kind = kind_of_cases(chosen)
    if kind == "features":
        return FileBags(chosen, targets, mpp=mpp)
    if kind == "images":
        return ImageFolderBags(chosen, targets, mpp=mpp or 1.0)
    if encoder is None or not specs or store is None:
        raise TrainingError(
            f"{manifest.path} names slides, not features; extract features first (napari-wsimil extract), or name an encoder "
            "and a folder to store features in."
        )
    return SlideBags(chosen, targets, encoder, specs, store=store, device=device, on_progress=on_progress)


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
