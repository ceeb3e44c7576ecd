"""A draft checked: quickly for what is in it, and slowly for what the disk says and how slides are dealt out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.drafting.dealing import classes_of, dealt, split_table
from napari_wsimil.training.data.drafting.label_problems import problems_of_identity, problems_of_labels
from napari_wsimil.training.data.drafting.looks import files_of
from napari_wsimil.training.data.drafting.problems import Problem, Remedy, keys
from napari_wsimil.training.data.drafting.side_problems import problem_of_dealing, problems_of_sides
from napari_wsimil.training.data.drafting.source_problems import problems_of_sources

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from napari_wsimil.training.data.drafting.dealing import SplitCount
    from napari_wsimil.training.data.drafting.looks import Looks
    from napari_wsimil.training.data.drafting.rows import DraftRow
    from napari_wsimil.training.data.drafting.steps import DraftState


@dataclass(frozen=True)
class Examination:
    """What a check found.

    Attributes
    ----------
    rows
        All rows, on the sides that they were dealt to.
    problems
        The serious ones first.
    sides
        How many slides of which class are where.
    done, total
        How many files were looked at, of how many.
    finished
        Whether all was looked at.
    """

    rows: tuple[DraftRow, ...]
    problems: tuple[Problem, ...]
    sides: tuple[SplitCount, ...]
    done: int = 0
    total: int = 0
    finished: bool = True

    @property
    def ready(self) -> bool:
        """Whether a training would take the list."""
        return self.finished and not any(problem.serious for problem in self.problems)


Steps: TypeAlias = "Generator[Examination, None, Examination]"


def examine(state: DraftState, looks: Looks) -> Examination:
    """Check a draft as it is; takes as long as the disk, and seconds to deal thousands of slides out."""
    steps = examine_steps(state, looks)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Examination = end.value
            return found


def examine_steps(state: DraftState, looks: Looks, every: int = 20) -> Steps:
    """Check a draft, telling what is known so far at once and after every so many files."""
    used = [row for row in state.rows if row.used]
    quick = (*_empty(state.rows, used), *problems_of_labels(used))
    yield _found(state, state.rows, quick, looks, finished=False)
    paths = list(dict.fromkeys(files_of(used)))
    missing = [path for path in paths if looks.known(path) is None]
    for number, path in enumerate(missing):
        if number % every == 0:
            done = len(paths) - len(missing) + number
            yield _found(state, state.rows, quick, looks, done, len(paths), finished=False)
        looks.at(path)
    rows = state.rows
    if state.dealt:
        yield _found(state, rows, quick, looks, len(paths), len(paths), finished=False)
        rows, wrong = _dealt(state)
        quick += wrong
    return _found(state, rows, quick, looks, len(paths), len(paths))


def _found(
    state: DraftState,
    rows: tuple[DraftRow, ...],
    known: Sequence[Problem],
    looks: Looks,
    done: int = 0,
    total: int = 0,
    *,
    finished: bool = True,
) -> Examination:
    used = [row for row in rows if row.used]

    def real(path: Path) -> str | None:
        look = looks.known(path)
        return None if look is None else look.real

    problems = [*known, *problems_of_identity(used, real), *problems_of_sources(used, looks)]
    if not state.dealt:
        problems += problems_of_sides(used)
    ordered = sorted(problems, key=lambda problem: not problem.serious)
    return Examination(rows, tuple(ordered), tuple(split_table(rows)), done, total, finished)


def _empty(rows: Sequence[DraftRow], used: Sequence[DraftRow]) -> tuple[Problem, ...]:
    if used:
        return ()
    if not rows:
        return (Problem("empty", "There are no slides yet; add some."),)
    everyone = keys(rows)
    back = Remedy("Use all", lambda draft, _: draft.use(everyone, used=True))
    return (Problem("empty", "All slides are left out.", everyone, (back,)),)


def _dealt(state: DraftState) -> tuple[tuple[DraftRow, ...], tuple[Problem, ...]]:
    """Deal out what can be dealt: rows on their sides, and what is in the way."""
    sides: dict[int, str] = {}
    wrong: tuple[Problem, ...] = ()
    if len(classes_of(state.rows)) > 1:
        try:
            sides = dict(dealt(state.rows, state.shares))
        except TrainingError as error:
            wrong = (problem_of_dealing(str(error), state.shares),)
    rows = tuple(replace(row, split=sides.get(row.key, ""), fold=None) for row in state.rows)
    return rows, wrong
