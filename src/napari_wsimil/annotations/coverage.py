"""What regions drawn on a slide say of its patches, by the exact share of each patch that they cover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.annotations.classes import same_name
from napari_wsimil.annotations.shapes import PatchBoxes, covered_shares, merged, no_shapes, without
from napari_wsimil.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import shapely
    from numpy.typing import NDArray

    from napari_wsimil.annotations.regions import Region
    from napari_wsimil.annotations.shapes import Patches, Shapes

IGNORED = "ignore"
EXCLUDED = "exclusion"
"""Names that are no classes: patches there are not judged; a hole in what is drawn around it (ASAP draws holes so)."""

_ROUNDING = 1e-9
"""Shares that differ less are the same."""


def patch_labels(
    regions: Sequence[Region],
    grid: Patches,
    classes: Sequence[str],
    min_share: float = 0.5,
    *,
    rest: str | None = None,
    names: Mapping[str, str] | None = None,
) -> NDArray[np.int64]:
    """(N,) class of each patch, -1 where the regions leave more than one possible; for the rest see `patch_classes`."""
    allowed = patch_classes(regions, grid, classes, min_share, rest=rest, names=names)
    return labels_of(allowed)


def labels_of(allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N,) the only class that (N, C) allows each patch, -1 where there are several."""
    return np.where(allowed.sum(axis=1) == 1, allowed.argmax(axis=1), -1)


def patch_classes(
    regions: Sequence[Region],
    grid: Patches,
    classes: Sequence[str],
    min_share: float = 0.5,
    *,
    rest: str | None = None,
    names: Mapping[str, str] | None = None,
) -> NDArray[np.bool_]:
    """Which classes each patch may be of, after what was drawn.

    A patch is of the class whose regions cover the greatest share of its area, if that is at least `min_share`; regions that
    overlap are counted once. Where as much of it is covered by "!X" or "not X", it is not of class X. What "ignore" or
    "exclusion" covers counts as drawn by nobody, what "!X" covers is cut out of X.

    Parameters
    ----------
    regions
        Of `read_annotations`; names fit classes whatever their case, and "Tumor" is "tumour"; a region whose own name fits
        none is of its nearest parent that does. Regions that fit nothing take no part.
    grid
        Its `xy` and `size_level0` say where patches are. Parts of a patch beyond the slide count as not covered.
    classes
        C names in the order of the model.
    min_share
        0 to 1.
    rest
        The class of patches that no region touches, for slides on which everything else was drawn; "exclusion" does not touch.
    names
        Name in the file -> class, "ignore" or "exclusion", where they differ: {"_2": "exclusion"}.

    Returns
    -------
    (N, C) bool; all True where nothing is known.

    Raises
    ------
    AnnotationError
        `rest`, `names` or `min_share` make no sense.
    """
    meanings = _Meanings(classes, names)
    if not 0 < min_share <= 1:
        raise AnnotationError(f"A share of {min_share:g} of a patch makes no sense; give one above 0 and up to 1.")
    drawn: dict[str, list[shapely.Geometry]] = {}
    for region in regions:
        drawn.setdefault(meanings.of(region), []).append(region.shape)
    shapes = {meaning: merged(found) for meaning, found in drawn.items() if meaning}
    ignored, excluded = (shapes.pop(name, no_shapes()) for name in (IGNORED, EXCLUDED))
    cut = np.concatenate([ignored, excluded])
    patches = PatchBoxes(grid, np.concatenate([ignored, *shapes.values()]))
    allowed = _judged({name: without(shape, cut) for name, shape in shapes.items()}, patches, classes, min_share)
    if rest is not None:
        touched = np.zeros(len(grid), bool)
        for shape in (ignored, *shapes.values()):
            touched |= covered_shares(without(shape, excluded), patches) > _ROUNDING
        allowed[~touched] = np.arange(len(classes)) == meanings.column(rest)
    return allowed


def unmatched(regions: Sequence[Region], classes: Sequence[str], names: Mapping[str, str] | None = None) -> dict[str, int]:
    """Names of regions that fit nothing -> how many there are."""
    meant = meanings_of(regions, classes, names)
    found = [region.name for region, meaning in zip(regions, meant, strict=True) if not meaning]
    return {name: found.count(name) for name in sorted(set(found))}


def meanings_of(regions: Sequence[Region], classes: Sequence[str], names: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What each region says: a class, "!" and a class, "ignore", "exclusion", or "" where its name fits nothing."""
    meanings = _Meanings(classes, names)
    return tuple(map(meanings.of, regions))


def _judged(shapes: Mapping[str, Shapes], patches: PatchBoxes, classes: Sequence[str], min_share: float) -> NDArray[np.bool_]:
    """(N, C) for shapes by class, or by "!" and class."""
    denied = [shapes.get(f"!{name}", no_shapes()) for name in classes]
    given = [without(shapes.get(name, no_shapes()), no) for name, no in zip(classes, denied, strict=True)]
    shares, against = (np.stack([covered_shares(shape, patches) for shape in side], axis=1) for side in (given, denied))
    best = shares.max(axis=1, keepdims=True)
    allowed = (shares >= best - _ROUNDING) | (best < min_share - _ROUNDING)
    allowed &= against < min_share - _ROUNDING
    # told that it is none of the classes, which no model of these classes can learn
    allowed[~allowed.any(axis=1)] = True
    return allowed


class _Meanings:
    """What the name of a region says: a class, "!" and a class, "ignore", "exclusion", or nothing ("")."""

    def __init__(self, classes: Sequence[str], names: Mapping[str, str] | None) -> None:
        self.classes = list(classes)
        self._known = {same_name(name): name for name in (IGNORED, EXCLUDED, *classes)}
        self._names: dict[str, str] = {}
        for name, meant in (names or {}).items():
            if same_name(meant) not in self._known:
                listed = ", ".join([*self.classes, IGNORED, EXCLUDED])
                raise AnnotationError(f"{name!r} can't stand for {meant!r}, which is none of {listed}.")
            self._names[same_name(name)] = self._known[same_name(meant)]

    def of(self, region: Region) -> str:
        """The nearest of a region's names that means something."""
        return next(filter(None, map(self._one, (region.name, *region.parents))), "")

    def column(self, name: str) -> int:
        """The number of a class."""
        meant = self._one(name)
        if meant not in self.classes:
            raise AnnotationError(f"The class of the rest, {name!r}, is none of {', '.join(self.classes)}.")
        return self.classes.index(meant)

    def _one(self, name: str) -> str:
        plain = same_name(name)
        found = self._names.get(plain) or self._known.get(plain)
        if found:
            return found
        denied = plain[1:] if plain.startswith("!") else plain.removeprefix("not ") if plain.startswith("not ") else ""
        meant = self._names.get(same_name(denied)) or self._known.get(same_name(denied))
        return f"!{meant}" if denied and meant in self.classes else ""
