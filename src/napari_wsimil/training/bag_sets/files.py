"""Bags from feature files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_wsimil.bags import FeatureBag
from napari_wsimil.bags.feature_files import FeatureFile, inspect_features, read_features, read_places
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.bag_sets.base import NamedBags
from napari_wsimil.training.bag_sets.grids import grids_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.training.data.manifest import Case

ASSUMED_MPP = 0.5
"""Of files that do not say: 20x, at which most features are made."""


class FileBags(NamedBags):
    """Bags read from feature files when asked for: ours, TRIDENT's or CLAM's `.h5`, or `.pt`.

    All files are looked at once, here, so that what does not fit is said before any training; features are read by `bag`.

    Parameters
    ----------
    cases
        Their `path` is a feature file; their `files` several of one slide, one for each magnification.
    targets
        Number of the class for each.
    mpp
        µm per pixel of files that do not say; where None they are taken to be at 0.5, and `notices` says so.

    Attributes
    ----------
    mpps
        Magnifications in µm per pixel, coarse to fine.
    width
        Numbers for each patch.
    counts
        (n,) patches of each slide at the finest magnification.
    encoder
        Name of the encoder that made the features, "" where the files do not say.
    has_places
        Whether the places of all patches are known.
    notices
        Sentences that the user should see.

    Raises
    ------
    TrainingError
        A file is missing, damaged or empty; files differ in width, encoder or magnifications.
    """

    def __init__(self, cases: Sequence[Case], targets: Sequence[int], *, mpp: float | None = None) -> None:
        super().__init__([case.name for case in cases], targets)
        self.notices: tuple[str, ...] = ()
        silent = []
        self._files: list[dict[float, FeatureFile]] = []
        for case in cases:
            found = [inspect_features(path) for path in case.files or (case.path,)]
            silent += [file for file in found if file.mpp is None]
            self._files.append(_by_mpp(case.name, found, mpp or ASSUMED_MPP))
        if silent and mpp is None:
            self.notices = (_silence(silent),)
        every = [file for files in self._files for file in files.values()]
        self.width = _same_width(every)
        self.encoder = _same_encoder(every)
        self.mpps = self._same_mpps()
        self.counts = np.array([files[self.mpps[-1]].count for files in self._files], dtype=np.int64)
        self.has_places = all(file.has_places for file in every)

    def bag(self, row: int) -> FeatureBag:
        """Read the bag of a slide; raises TrainingError where its numbers are not finite or its file broke meanwhile."""
        files = self._files[row]
        features = {mpp: read_features(file.path) for mpp, file in files.items()}
        if not self.has_places:
            return FeatureBag(features)
        return with_places(features, {mpp: file.path for mpp, file in files.items()})

    def _same_mpps(self) -> tuple[float, ...]:
        wanted = tuple(sorted(self._files[0], reverse=True))
        for name, files in zip(self.names, self._files, strict=True):
            have = tuple(sorted(files, reverse=True))
            if have != wanted:
                raise TrainingError(
                    f"{name} has features at {_list(have)} µm per pixel, but {self.names[0]} at {_list(wanted)}; extract all "
                    "slides at the same magnifications."
                )
        return wanted


def with_places(features: dict[float, torch.Tensor], paths: dict[float, Path]) -> FeatureBag:
    """Put the places that the files know to their features, both row by row over the slide."""
    places = {mpp: found for mpp, path in paths.items() if (found := read_places(path)) is not None}
    grids = {}
    for mpp, (grid, order) in grids_of(places).items():
        grids[mpp] = grid
        if not np.array_equal(order, np.arange(len(order))):
            features[mpp] = features[mpp][torch.from_numpy(order)]
    return FeatureBag(features, grids)


def _by_mpp(name: str, files: Sequence[FeatureFile], otherwise: float) -> dict[float, FeatureFile]:
    found: dict[float, FeatureFile] = {}
    for file in files:
        mpp = round(otherwise if file.mpp is None else file.mpp, 6)
        if mpp in found:
            raise TrainingError(
                f"{name} has two files with features at {mpp:g} µm per pixel, {found[mpp].path} and {file.path}; give the "
                "folder of one encoder and one way of cutting patches."
            )
        found[mpp] = file
    return found


def _same_width(files: Sequence[FeatureFile]) -> int:
    usual = Counter(file.width for file in files).most_common(1)[0][0]
    for file in files:
        if file.width != usual:
            raise TrainingError(
                f"{file.path} has {file.width} features for each patch, but other slides have {usual}; extract all slides with "
                "the same encoder."
            )
    return usual


def _same_encoder(files: Sequence[FeatureFile]) -> str:
    named = [file for file in files if file.encoder]
    for file in named:
        first = named[0]
        digests = {file.encoder_digest, first.encoder_digest} - {""}
        if file.encoder != first.encoder or len(digests) > 1:
            raise TrainingError(
                f"{file.path} was made by encoder {file.encoder} {file.encoder_digest}".rstrip()
                + f", but {first.path} by {first.encoder} {first.encoder_digest}".rstrip()
                + "; extract all slides with the same encoder."
            )
    return named[0].encoder if named else ""


def _silence(files: Sequence[FeatureFile]) -> str:
    rest = f" and {len(files) - 1} more do" if len(files) > 1 else " does"
    return (
        f"{files[0].path.name}{rest} not say at which magnification the patches were cut; they are taken to be at "
        f"{ASSUMED_MPP:g} µm per pixel (give mpp where that is wrong)."
    )


def _list(mpps: Sequence[float]) -> str:
    return ", ".join(f"{mpp:g}" for mpp in mpps)
