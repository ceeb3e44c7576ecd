"""Feature files by the names of slides, in the folders that we, TRIDENT and CLAM write."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from napari_wsimil.bags.store import stored_name
from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

FEATURE_SUFFIXES = (".h5", ".hdf5", ".pt")
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
"""Of the images in a folder of patches."""
SLIDE_SUFFIXES = frozenset(
    [
        ".svs",
        ".ndpi",
        ".tif",
        ".tiff",
        ".scn",
        ".mrxs",
        ".bif",
        ".czi",
        ".dcm",
        ".vms",
        ".vmu",
        ".svslide",
        ".qptiff",
        ".zarr",
        ".isyntax",
        ".jpg",
        ".jpeg",
        ".png",
    ]
)
_NOT_FEATURES = frozenset({"patches", "masks", "stitches"})
_STAMP = re.compile(r"(.+)-[0-9a-f]{12}")
"""A slide's name and the end of its fingerprint, as `FeatureStore` names files."""


def plain_name(text: str) -> str:
    """Name of a slide from its path, of whatever system: without folders and the suffixes of slides and of feature files."""
    name = (PureWindowsPath(text) if "\\" in text else PurePosixPath(text)).name
    suffix = PurePosixPath(name).suffix.lower()
    stem = name[: -len(suffix)] if suffix in SLIDE_SUFFIXES or suffix in FEATURE_SUFFIXES else name
    return stem.removesuffix(".ome") or name


class FeatureFolders:
    """Finds the feature files of slides below some folders: ours, TRIDENT's or CLAM's, or just files of the right name.

    Where a slide has an HDF5 file and a `.pt` file side by side (CLAM's `h5_files` and `pt_files`), the first one is taken: it
    knows where the patches lie.

    Parameters
    ----------
    folders
        Looked through once, here.

    Raises
    ------
    TrainingError
        A folder is missing or holds no feature file.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self.folders = tuple(Path(folder).expanduser() for folder in folders)
        self._files: defaultdict[str, list[Path]] = defaultdict(list)
        for folder in self.folders:
            self._look_through(folder)

    def files(self, *names: str) -> tuple[Path, ...]:
        """Feature files of the slide that has one of these names, one for each magnification.

        Raises
        ------
        TrainingError
            There is none.
        """
        for name in dict.fromkeys([*names, *map(plain_name, names)]):
            for key in (name, stored_name(name)):
                if key in self._files:
                    return tuple(self._files[key])
        where = " and ".join(str(folder) for folder in self.folders)
        raise TrainingError(f"There are no features of {names[0]} in {where}; extract them, or delete the line.")

    def all(self) -> dict[str, tuple[Path, ...]]:
        """Name of each slide -> its feature files."""
        return {name: tuple(files) for name, files in self._files.items()}

    def _look_through(self, folder: Path) -> None:
        if not folder.is_dir():
            raise TrainingError(f"There is no folder of features {folder}; give the folder that holds the .h5 or .pt files.")
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in FEATURE_SUFFIXES and _holds_features(path))
        if not found:
            raise TrainingError(f"{folder} holds no .h5 or .pt files; give the folder of the features.")
        known = {path.with_suffix("") for path in found if path.suffix.lower() != ".pt"}
        for path in found:
            twin = path.parent.with_name("h5_files") / path.stem if path.parent.name == "pt_files" else path.with_suffix("")
            if path.suffix.lower() == ".pt" and twin in known:
                continue
            stamped = _STAMP.fullmatch(path.stem)
            self._files[stamped[1] if stamped else path.stem].append(path)


def _holds_features(path: Path) -> bool:
    """Leave out coordinates alone, features of whole slides, and files that are being written."""
    parents = {path.parent.name, path.parent.parent.name}
    return not (
        path.name.startswith(".")
        or path.stem.endswith("_patches")
        or parents & _NOT_FEATURES
        or path.parent.name.startswith("slide_features")
    )
