"""Training, validation and test: no patient on two sides, classes in about the same shares on each."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.training.data.manifest import Case, Manifest

TRIES = 5
"""How many ways of dealing the patients out are compared: with few patients a single one may be lopsided."""

MOST_PARTS = 20


@dataclass(frozen=True)
class Split:
    """Cases to learn from, to choose the best epoch by, and to test on once; patients of one are in none of the others."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]


def split_cases(manifest: Manifest, *, validation: float = 0.15, test: float = 0.15, seed: int = 0) -> Split:
    """Split the slides once.

    What the manifest's column `split` says holds; validation slides are taken from the training ones where it names none. With
    a column `fold` the lowest fold is the test. Without either, patients are dealt out so that each class has about the same
    share of its slides on each side.

    Parameters
    ----------
    validation, test
        Shares of all slides; 0 for none.

    Raises
    ------
    TrainingError
        A class has slides of too few patients to be on every side, a slide has no split, or nothing is left to train on.
    """
    _check_shares(validation, test)
    if any(case.fold is not None for case in manifest.cases):
        return _test_fold(manifest, min(_folds(manifest)), validation, seed)
    if any(case.split is not None for case in manifest.cases):
        return _as_told(manifest, validation / (1 - test), seed)
    rest, tested = _part(manifest, manifest.cases, test, seed, "test")
    train, validated = _part(manifest, rest, validation / (1 - test), seed, "validation")
    return Split(train, validated, tested)


def k_folds(manifest: Manifest, folds: int = 5, *, validation: float = 0.15, seed: int = 0) -> list[Split]:
    """Split the slides for a cross-validation: each is tested once.

    What the manifest's column `fold` says holds, and `folds` is not used then; without it patients are dealt out by class.

    Parameters
    ----------
    validation
        Share of the slides that are not tested; 0 for none.

    Raises
    ------
    TrainingError
        A class has slides of fewer patients than folds, a slide has no fold, or the manifest has a column `split`.
    """
    _check_shares(validation, 0.0)
    if any(case.fold is not None for case in manifest.cases):
        return [_test_fold(manifest, fold, validation, seed) for fold in _folds(manifest)]
    if any(case.split is not None for case in manifest.cases):
        raise TrainingError(f"{manifest.path} has a column of splits; a cross-validation needs a column 'fold', or neither.")
    if folds < 2:
        raise TrainingError(f"A cross-validation needs at least 2 folds, not {folds}.")
    for label, patients in _patients(manifest.cases).items():
        if len(patients) < folds:
            raise TrainingError(
                f"{manifest.path} has slides of only {len(patients)} patients of class {label!r}, too few for {folds} folds; "
                f"ask for {_fewer(len(patients))} or add slides."
            )
    labels = np.array([manifest.target(case) for case in manifest.cases])
    parts = range(folds)
    dealt = min(
        _tries(manifest, manifest.cases, folds, seed),
        key=lambda dealt: sum(_unevenness(dealt == part, labels, 1 / folds) for part in parts),
    )
    tested = [tuple(case for case, part in zip(manifest.cases, dealt, strict=True) if part == fold) for fold in parts]
    return [_around(manifest, cases, validation, seed) for cases in tested]


def _fewer(patients: int) -> str:
    return f"at most {patients}" if patients > 1 else "one training without folds"


def _check_shares(validation: float, test: float) -> None:
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise TrainingError(
            f"The shares of validation and test must be from 0 to 1 and leave slides to train on, but are {validation:g} and "
            f"{test:g}."
        )


def _folds(manifest: Manifest) -> list[int]:
    without = [case for case in manifest.cases if case.fold is None]
    folds = sorted({case.fold for case in manifest.cases if case.fold is not None})
    if without:
        raise TrainingError(f"{manifest.path}: {without[0].name} has no fold, but other slides have; give it one.")
    if len(folds) < 2:
        raise TrainingError(f"{manifest.path} has only the fold {folds[0]}; a cross-validation needs at least two.")
    return folds


def _test_fold(manifest: Manifest, fold: int, validation: float, seed: int) -> Split:
    return _around(manifest, tuple(case for case in manifest.cases if case.fold == fold), validation, seed)


def _around(manifest: Manifest, tested: tuple[Case, ...], validation: float, seed: int) -> Split:
    """Train and validate on what is not tested."""
    names = {case.name for case in tested}
    rest = tuple(case for case in manifest.cases if case.name not in names)
    train, validated = _part(manifest, rest, validation, seed, "validation")
    _check_train(manifest, train)
    return Split(train, validated, tested)


def _as_told(manifest: Manifest, validation: float, seed: int) -> Split:
    sides: defaultdict[str | None, list[Case]] = defaultdict(list)
    for case in manifest.cases:
        sides[case.split].append(case)
    if sides[None]:
        raise TrainingError(
            f"{manifest.path}: {sides[None][0].name} has no split, but other slides have; write train, validation or test."
        )
    train, validated, tested = (tuple(sides[name]) for name in ("train", "validation", "test"))
    _check_train(manifest, train)
    if not validated:
        train, validated = _part(manifest, train, validation, seed, "validation")
    return Split(train, validated, tested)


def _check_train(manifest: Manifest, train: Sequence[Case]) -> None:
    for label in manifest.classes:
        if not any(case.label == label for case in train):
            raise TrainingError(f"{manifest.path} leaves no slide of class {label!r} to train on; put one into training.")


def _patients(cases: Sequence[Case]) -> dict[str, set[str]]:
    """Label -> patients with slides of it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for case in cases:
        found[case.label or ""].add(case.patient)
    return found


def _part(
    manifest: Manifest, cases: Sequence[Case], share: float, seed: int, what: str
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Take about `share` of the cases away, by patients: (what is left, what was taken)."""
    if share == 0:
        return tuple(cases), ()
    patients = _patients(cases)
    label = min(patients, key=lambda name: len(patients[name]))
    if len(patients[label]) < 2:
        raise TrainingError(
            f"{manifest.path} has slides of too few patients of class {label!r} for {what} beside training; add slides, or set "
            f"the share of {what} to 0."
        )
    taken, parts = _fraction(share, max(map(len, patients.values())))
    turns = ((dealt + turn) % parts < taken for dealt in _tries(manifest, cases, parts, seed) for turn in range(parts))
    labels = np.array([manifest.target(case) for case in cases])
    away = min(turns, key=lambda chosen: _unevenness(chosen, labels, taken / parts))
    sides = [tuple(case for case, gone in zip(cases, away, strict=True) if gone == wanted) for wanted in (False, True)]
    for side in sides:
        missing = patients.keys() - _patients(side).keys()
        if missing:
            raise TrainingError(
                f"{manifest.path} can't be split so that {what} and training both have slides of class {min(missing)!r}; add "
                "slides of other patients, or a column 'split'."
            )
    return sides[0], sides[1]


def _fraction(share: float, most: int) -> tuple[int, int]:
    """The plainest fraction near a share, as (parts taken, parts), in at most `most` parts: 0.15 is 1 of 7, 0.4 is 2 of 5."""
    most = max(2, min(most, MOST_PARTS))
    for parts in range(2, most + 1):
        taken = min(max(1, round(share * parts)), parts - 1)
        if abs(taken / parts - share) <= 0.1 * min(share, 1 - share):
            return taken, parts
    return (1, most) if share < 0.5 else (most - 1, most)


def _tries(manifest: Manifest, cases: Sequence[Case], parts: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """(n,) part of each case, dealt out by patients and classes in several ways."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.array([manifest.target(case) for case in cases])
    patients = np.array([case.patient for case in cases])
    for number in range(TRIES):
        folder = StratifiedGroupKFold(parts, shuffle=True, random_state=seed * TRIES + number)
        dealt = np.zeros(len(cases), np.int64)
        with warnings.catch_warnings():
            # that a class has fewer slides than there are parts: whether that matters is seen from what comes out
            warnings.simplefilter("ignore", UserWarning)
            for part, (_, chosen) in enumerate(folder.split(labels, labels, patients)):
                dealt[chosen] = part
        yield dealt


def _unevenness(taken: NDArray[np.bool_], labels: NDArray[np.int64], share: float) -> float:
    """How far a part is from holding its share of each class; a class that is missing inside or outside weighs most."""
    shares = np.array([taken[labels == label].mean() for label in np.unique(labels)])
    missing = np.sum((shares == 0) | (shares == 1))
    return float(np.square(shares - share).sum() + len(shares) * missing)
