"""Stored features, found by what a prediction says of itself: neither the slide nor the encoder need be there."""

from __future__ import annotations

import re
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np

from napari_wsimil.bags.store.cache import mark_used
from napari_wsimil.bags.store.layout import BROKEN, FLOAT
from napari_wsimil.bags.store.raw_file import RawFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_DIGEST = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class FoundFeatures:
    """The features of a slide that are known.

    Attributes
    ----------
    xy
        (N, 2) int64 top-left corners in level-0 pixels.
    size_level0
        Side of a patch in level-0 pixels.
    features
        (N, D) float32, all finite.
    """

    xy: NDArray[np.int64]
    size_level0: float
    features: NDArray[np.float32]


def find_features(folder: Path, fingerprint: str, encoder_digest: str, spec_digest: str) -> FoundFeatures | None:
    """Read what a store knows of a slide, by one encoder and one kind of patch; None where it knows nothing.

    A file that is not whole, as a zooming model leaves it, gives the patches that it has.

    Parameters
    ----------
    folder
        Of the store.
    fingerprint, encoder_digest, spec_digest
        Of the slide, the encoder and the `PatchSpec`.
    """
    wanted = {"slide_fingerprint": fingerprint, "encoder_digest": encoder_digest, "patchspec_digest": spec_digest}
    if not all(_DIGEST.fullmatch(value) for value in wanted.values()):
        return None
    for path in _candidates(folder, fingerprint, encoder_digest, spec_digest):
        with suppress(*BROKEN), closing(RawFile(path)) as raw:
            found = _read(raw, wanted)
            if found is not None:
                mark_used(path)
                return found
    return None


def _candidates(folder: Path, fingerprint: str, encoder_digest: str, spec_digest: str) -> Iterator[Path]:
    place = f"*_overlap-{spec_digest[:8]}/features_*-{encoder_digest[:8]}/*-{fingerprint[-12:]}.h5"
    for pattern in (place, f"{place}.part"):
        yield from sorted(folder.glob(pattern))


def _read(raw: RawFile, wanted: dict[str, str]) -> FoundFeatures | None:
    with h5py.File(raw.file, "r") as file:
        table, coords, done = file["features"], file["coords"], file.get("done")
        if any(coords.attrs.get(name) != value for name, value in wanted.items()) or len(table) != len(coords):
            return None
        # a file that was cut short would give zeros
        start = table.id.get_offset()
        if start is None or table.ndim != 2 or table.dtype != FLOAT or start + 4 * table.size > len(raw):
            return None
        features: NDArray[np.float32] = table[:]
        known = np.isfinite(features.sum(axis=1))
        if done is not None:
            known &= done[:] == 1
        if not known.any():
            return None
        xy, size = coords[:].astype(np.int64), float(coords.attrs["patch_size_level0"])
        return FoundFeatures(xy, size, features) if known.all() else FoundFeatures(xy[known], size, features[known])
