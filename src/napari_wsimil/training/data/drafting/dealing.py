"""Slides dealt out to training, validation and test, and how many of each class and how many patients are where."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.training.data.drafting.rows import SIDES
from napari_wsimil.training.data.manifest import Case, Manifest
from napari_wsimil.training.data.manifest_checks import class_order
from napari_wsimil.training.data.splits import split_cases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.training.data.drafting.rows import DraftRow

NOBODY = Path("The list")
"""Where a manifest is from that is no file: how sentences call it."""


@dataclass(frozen=True)
class Shares:
    """Shares of the slides that are dealt to validation and test, and which of the ways to deal."""

    validation: float = 0.15
    test: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class Count:
    """How many slides, of how many patients."""

    slides: int
    patients: int


@dataclass(frozen=True)
class SplitCount:
    """One side of a split: its name, all that is in it, and by class."""

    name: str
    whole: Count
    classes: Mapping[str, Count] = field(default_factory=dict)


def teaching(rows: Sequence[DraftRow]) -> list[DraftRow]:
    """Rows that take part and have a label."""
    return [row for row in rows if row.used and row.label]


def classes_of(rows: Sequence[DraftRow]) -> tuple[str, ...]:
    """Labels of the rows that take part, in the order of a model's outputs."""
    return tuple(sorted({row.label for row in teaching(rows)}, key=class_order))


def dealt(rows: Sequence[DraftRow], shares: Shares) -> Mapping[int, str]:
    """Deal all slides out that take part and have a label: key -> side. No patient is on two sides.

    Raises
    ------
    TrainingError
        A class has too few patients, or the shares leave nothing to train on.
    """
    return _dealt(tuple((row.key, row.label, row.who) for row in teaching(rows)), classes_of(rows), shares)


@lru_cache(maxsize=8)  # thousands of slides take seconds
def _dealt(slides: tuple[tuple[int, str, str], ...], classes: tuple[str, ...], shares: Shares) -> Mapping[int, str]:
    cases = tuple(Case(str(key), NOBODY, label, patient) for key, label, patient in slides)
    split = split_cases(Manifest(NOBODY, cases, classes), validation=shares.validation, test=shares.test, seed=shares.seed)
    return {int(case.name): side for side in SIDES for case in getattr(split, side)}


def split_table(rows: Sequence[DraftRow]) -> list[SplitCount]:
    """Slides and patients on each side, by class; sides without slides are there too, folds in place of sides where used."""
    sides: defaultdict[str, list[DraftRow]] = defaultdict(list)
    for row in rows:
        if row.used:
            sides[row.part].append(row)
    folds = sorted((name for name in sides if name.startswith("fold ")), key=lambda name: int(name.split()[1]))
    usual = [name for name in SIDES if name in sides or not folds]
    return [_count(name, sides[name]) for name in (*usual, *folds, *([""] if sides[""] else []))]


def _count(name: str, rows: Sequence[DraftRow]) -> SplitCount:
    by_class = {label: _counted([row for row in rows if row.label == label]) for label in {row.label for row in rows}}
    return SplitCount(name, _counted(rows), by_class)


def _counted(rows: Sequence[DraftRow]) -> Count:
    return Count(len(rows), len({row.who for row in rows}))
