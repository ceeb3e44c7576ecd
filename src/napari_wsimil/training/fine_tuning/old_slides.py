"""Slides that a model knows already: those that are shown again so that it does not forget, and those that judge it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.feature_folders import FEATURE_SUFFIXES, plain_name
from napari_wsimil.training.data.manifest import Manifest, read_manifest
from napari_wsimil.training.runs.run_folder import SETTINGS, STORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.training.data.manifest import Case

_STAMP = re.compile(r"-[0-9a-f]{12}$")
"""The end of a slide's fingerprint, in names of stored features."""


@dataclass(frozen=True)
class OldSlides:
    """Some slides of one manifest, and the folder of their features; `store` is None where that is the fine-tuning's own."""

    manifest: Manifest
    store: Path | None

    @property
    def cases(self) -> tuple[Case, ...]:
        """The slides."""
        return self.manifest.cases


def store_of(manifest: Path) -> Path | None:
    """The folder where the features of a run's slides are kept, by its `manifest.csv`; None where it is not that of a run."""
    named = _of_run(manifest, "store")
    if named is not None:
        return named
    beside = manifest.parent / STORE
    return beside if beside.is_dir() else None


def rehearsed(manifest: Path, classes: Sequence[str], features: Sequence[Path] = ()) -> tuple[list[OldSlides], list[str]]:
    """Slides to rehearse: those of a manifest that are not for validation or test, and what its own run rehearsed.

    Returns
    -------
    The slides, manifest by manifest, and the names of those whose files are gone.

    Raises
    ------
    TrainingError
        A manifest can't be used, or there is no slide in it.
    """
    found: list[OldSlides] = []
    gone: list[str] = []
    seen: set[Path] = set()
    where: Path | None = manifest
    while where is not None and where.resolve() not in seen:
        seen.add(where.resolve())
        kept = _read(where, classes, features, ("train", None), gone)
        if kept.cases:
            found.append(OldSlides(kept, store_of(where)))
        before = _of_run(where, "rehearsal")
        where = before if before is not None and before.is_file() else None
    if not found:
        raise TrainingError(f"{manifest} has no slide to rehearse: all are for validation or test, or gone.")
    return found, gone


def judging(manifest: Path, classes: Sequence[str], features: Sequence[Path] = ()) -> tuple[OldSlides, list[str]]:
    """Slides that judge: those for validation of a manifest, or all where it names no splits."""
    gone: list[str] = []
    kept = _read(manifest, classes, features, ("validation",), gone)
    if not kept.cases and not gone:
        every = _read(manifest, classes, features, ("train", "validation", "test", None), gone)
        kept = every if not any(case.split for case in every.cases) else kept
    labelled = tuple(case for case in kept.cases if case.label is not None)
    return OldSlides(replace(kept, cases=labelled), store_of(manifest)), gone


def without_slides(old: OldSlides, taken: Sequence[Case], *, patients: bool = False) -> tuple[OldSlides, tuple[Case, ...]]:
    """Leave out the slides that are among `taken`, and all of the same patients if told; returns what left, too."""
    keys: set[object] = set().union(*map(_like, taken))
    whose = {case.patient for case in taken} if patients else set()
    out = tuple(case for case in old.cases if _is(case) & keys or case.patient in whose)
    kept = tuple(case for case in old.cases if case not in out)
    return OldSlides(replace(old.manifest, cases=kept), old.store), out


def same_slide(old: Sequence[OldSlides], case: Case) -> Case | None:
    """The old slide that is this one, or None."""
    keys = _like(case)
    return next((one for part in old for one in part.cases if _is(one) & keys), None)


def some_of(old: Sequence[OldSlides], most: int, seed: int) -> list[OldSlides]:
    """At most so many slides, as many of each class as there are; the same for the same seed."""
    every = [(part, case) for part in old for case in part.cases]
    if len(every) <= most:
        return list(old)
    random = np.random.default_rng([seed, len(every)])
    order = [every[row] for row in random.permutation(len(every)).tolist()]
    place: dict[str | None, int] = {}
    rank = []
    for _, case in order:
        place[case.label] = place.get(case.label, 0) + 1
        rank.append(place[case.label])
    chosen = {id(order[row][1]) for row in np.argsort(rank, kind="stable")[:most].tolist()}
    kept = [replace(part.manifest, cases=tuple(case for case in part.cases if id(case) in chosen)) for part in old]
    return [OldSlides(one, part.store) for one, part in zip(kept, old, strict=True) if one.cases]


def _read(
    path: Path, classes: Sequence[str], features: Sequence[Path], splits: Sequence[str | None], gone: list[str]
) -> Manifest:
    """The slides of some splits that teach something: by their label, or by what was drawn on them."""
    lost: dict[str, str | None] = {}
    found = read_manifest(path, classes=classes, labelled=False, features=features or None, gone=lost)
    gone += [name for name, split in lost.items() if split in splits]
    wanted = (case for case in found.cases if case.split in splits and (case.label or case.annotation))
    return replace(found, cases=tuple(wanted))


def _is(case: Case) -> set[object]:
    """What tells a slide: its files and, for those that know it by its name only, that."""
    return {path.resolve() for path in case.files or (case.path,)} | {(_of_features(case), name) for name in _names(case)}


def _like(case: Case) -> set[object]:
    """What another entry of the same slide is: features are compared by name, slides by their path."""
    kinds = (True, False) if _of_features(case) else (True,)
    paths = {path.resolve() for path in case.files or (case.path,)}
    return paths | {(kind, name) for kind in kinds for name in _names(case)}


def _of_features(case: Case) -> bool:
    return case.path.suffix.lower() in FEATURE_SUFFIXES


def _names(case: Case) -> set[str]:
    own = plain_name(str(case.path))
    return {case.name, own, _STAMP.sub("", own)} if _of_features(case) else {case.name, own}


def _of_run(manifest: Path, name: str) -> Path | None:
    """A path that the settings of the run say, beside whose `manifest.csv` they lie."""
    try:
        found = json.loads((manifest.parent / SETTINGS).read_text(encoding="utf-8"))
        return Path(found[name]) if found.get(name) else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
