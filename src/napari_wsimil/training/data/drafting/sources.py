"""Slides, feature files and folders of patch images in a folder, with labels where its folders are called so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from PIL import Image

from napari_wsimil.annotations.files import OWN_SUFFIX
from napari_wsimil.errors import TrainingError
from napari_wsimil.slides.finding import SLIDE_ONLY, slides_in
from napari_wsimil.training.data.drafting.rows import DraftRow, renamed
from napari_wsimil.training.data.feature_folders import IMAGE_SUFFIXES, FeatureFolders, plain_name
from napari_wsimil.training.data.manifest import SPLIT_OF

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LabelsFrom: TypeAlias = Literal["auto", "folders", "none"]

ANNOTATIONS = frozenset({".geojson", ".json", ".xml", ".gz"})
PATCH_SIDE = 2048
"""Pixels: a TIFF that is smaller, and has no pyramid, is an image of a patch."""

PREDICTION = ".prediction.h5"
_STRUCTURE = ("features_", "features", "h5_files", "pt_files", "slides", "wsi", "wsis", "images", "patches", "data")
"""What folders inside are called for order's sake: no class is meant."""


@dataclass(frozen=True)
class Found:
    """Rows of a folder, and sentences on what was found besides."""

    rows: list[DraftRow]
    notices: tuple[str, ...] = ()


def rows_in_folder(folder: str | Path, *, labels: LabelsFrom = "auto") -> Found:
    """List a folder and all below it: slides; where there are none feature files, else folders of patch images.

    Parameters
    ----------
    labels
        See `Draft.add_folder`.

    Raises
    ------
    WsimilError
        The folder can't be read, or holds none of them.
    """
    top = Path(folder).expanduser().absolute()
    if not top.is_dir():
        raise TrainingError(f"There is no folder {top}; choose the one that holds the slides.")
    rows = _slides(top) or _features(top) or _image_folders(top)
    if not rows:
        raise TrainingError(
            f"There are no slides, feature files (.h5, .pt) or folders of patch images in {top}; choose the folder that holds "
            "them."
        )
    said, notices = _from_folders(top, rows, labels)
    return Found(renamed(said, set()), notices)


def rows_of_slides(paths: Iterable[str | Path], *, label: str = "") -> list[DraftRow]:
    """Slides by their paths, with the regions that were saved beside them."""
    given = (Path(path).expanduser().absolute() for path in paths)
    return renamed([DraftRow(plain_name(path.name), path, label, annotation=drawn_beside(path)) for path in given], set())


def drawn_beside(slide: Path) -> Path | None:
    """The file of regions that the window saved beside a slide, or None."""
    beside = slide.with_name(slide.stem + OWN_SUFFIX)
    return beside if beside.is_file() else None


def image_folder_side(folder: Path) -> tuple[int, int] | None:
    """(height, width) of the first image in a folder of patch images or in the folders inside; None: it holds none."""
    first = next((path for path in sorted(folder.rglob("*")) if _is_image(path)), None)
    if first is None:
        return None
    with Image.open(first) as image:
        return image.height, image.width


def find_moved(rows: Sequence[DraftRow], folder: str | Path) -> dict[int, tuple[Path, ...]]:
    """Look below a folder for files that rows name and that are elsewhere now, by their names: key -> files.

    A row whose name is that of feature files gets those, one for each magnification.

    Raises
    ------
    TrainingError
        None of them is there.
    """
    top = Path(folder).expanduser().absolute()
    by_file: dict[str, Path] = {}
    by_name: dict[str, Path] = {}
    for path in sorted(top.rglob("*")):
        if not path.name.startswith("."):
            by_file.setdefault(path.name, path)
            if path.is_dir() or path.suffix.lower() in SLIDE_ONLY | IMAGE_SUFFIXES:
                by_name.setdefault(plain_name(path.name).casefold(), path)
    features = _feature_files(top)
    moved: dict[int, tuple[Path, ...]] = {}
    for row in rows:
        at = [by_file[path.name] for path in row.sources if path.name in by_file]
        name = plain_name(str(row.path))
        also = by_name.get(name.casefold())
        found = tuple(at) if len(at) == len(row.sources) else features.get(name, () if also is None else (also,))
        if found:
            moved[row.key] = found
    if not moved:
        names = ", ".join(row.path.name for row in rows[:3])
        raise TrainingError(f"{top} holds none of them ({names}{' …' * (len(rows) > 3)}); choose the folder that does.")
    return moved


def _slides(top: Path) -> list[DraftRow]:
    found = [path for path in slides_in(top) if not _is_patch(path)]
    return [DraftRow(path.name if path.is_dir() else path.stem, path, annotation=drawn_beside(path)) for path in found]


def _features(top: Path) -> list[DraftRow]:
    rows = []
    for name, files in sorted(_feature_files(top).items()):
        # files of one name in folders of two classes are of two slides
        by_class: dict[str, list[Path]] = {}
        for file in files:
            by_class.setdefault(_class_folder(_between(top, file)), []).append(file)
        rows += [DraftRow(name, own[0], files=tuple(own) if len(own) > 1 else ()) for own in by_class.values()]
    return rows


def _feature_files(top: Path) -> dict[str, tuple[Path, ...]]:
    try:
        found = FeatureFolders([top]).all()
    except TrainingError:
        return {}
    return {name: files for name, files in found.items() if not files[0].name.endswith(PREDICTION)}


def _image_folders(top: Path) -> list[DraftRow]:
    """Folders that hold images themselves."""
    images = (path for path in sorted(top.rglob("*"), key=lambda path: (path.parent, path.name)) if _is_image(path))
    folders = [folder for folder, _ in groupby(images, key=lambda path: path.parent)]
    return [DraftRow(folder.name, folder) for folder in folders]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _is_patch(path: Path) -> bool:
    """Whether a TIFF is an image of a patch: small, and without a pyramid."""
    if path.suffix.lower() not in (".tif", ".tiff") or path.is_dir():
        return False
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path) as tiff:
            page = tiff.pages.first
            small = max(page.imagelength, page.imagewidth) < PATCH_SIDE
            return small and not page.is_tiled and len(tiff.series[0].levels) == 1
    except (TiffFileError, OSError, IndexError):
        return False


def _from_folders(top: Path, rows: list[DraftRow], labels: LabelsFrom) -> tuple[list[DraftRow], tuple[str, ...]]:
    """Take labels, and splits, from the names of the folders between the top and each source."""
    between = [_between(top, row.path) for row in rows]
    sides = [next((SPLIT_OF[name.lower()] for name in names if name.lower() in SPLIT_OF), "") for names in between]
    named = [_class_folder(names) for names in between]
    if labels == "none":
        return rows, ()
    count = Counter(named)
    if labels == "auto" and (count[""] or not 2 <= len(count) <= max(2, len(rows) // 3)):
        return rows, ()
    if labels == "folders" and count[""]:
        raise TrainingError(f"{rows[named.index('')].path} lies in no folder that could be its label; put it into one.")
    told = ", ".join(f"{name} {number:,}" for name, number in sorted(count.items()))
    said = [
        replace(row, label=name, split=side if all(sides) else "") for row, name, side in zip(rows, named, sides, strict=True)
    ]
    return said, (f"Labels are the names of the folders: {told}.",)


def _between(top: Path, source: Path) -> tuple[str, ...]:
    return source.relative_to(top).parts[:-1] if source.is_relative_to(top) else ()


def _class_folder(names: Sequence[str]) -> str:
    """The first folder that may be called by a class, or ""."""
    return next((name for name in names if _may_be_class(name)), "")


def _may_be_class(name: str) -> bool:
    plain = name.lower()
    structure = plain in _STRUCTURE or plain.startswith("features_") or "px_" in plain
    return plain not in SPLIT_OF and not structure
