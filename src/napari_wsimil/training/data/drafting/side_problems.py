"""Problems of the sides: who is on two of them, and what is missing on one."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from napari_wsimil.training.data.drafting.dealing import classes_of
from napari_wsimil.training.data.drafting.problems import Problem, Remedy, count, deal_again, keys, listed, verb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_wsimil.training.data.drafting.dealing import Shares
    from napari_wsimil.training.data.drafting.rows import DraftRow

SHOWN = 3
"""Patients that get a problem of their own each; more are told of together."""


def problem_of_dealing(sentence: str, shares: Shares) -> Problem:
    """Slides can't be dealt out as asked."""
    ways = []
    if shares.test:
        ways.append(Remedy("Do without test slides", lambda draft, _: draft.deal(test=0.0)))
    return Problem("too few", sentence, (), tuple(ways))


def problems_of_sides(rows: Sequence[DraftRow]) -> Iterator[Problem]:
    """Look through sides that were chosen by a person or a manifest."""
    yield from _patients(rows)
    if any(row.fold is not None for row in rows):
        yield from _folds(rows)
    else:
        yield from _without(rows)
        yield from _missing(rows)


def _patients(rows: Sequence[DraftRow]) -> Iterator[Problem]:
    by_patient: defaultdict[str, list[DraftRow]] = defaultdict(list)
    for row in rows:
        by_patient[row.who].append(row)
    torn = {who: found for who, found in by_patient.items() if len({row.part for row in found}) > 1}
    if len(torn) > SHOWN:
        sentence = f"{len(torn):,} patients have slides on more than one side: {listed(list(torn))}."
        everyone = keys(row for found in torn.values() for row in found)
        yield Problem("patient torn", sentence, everyone, (_gather(torn), deal_again()))
        return
    for who, found in torn.items():
        parts = sorted({row.part or "no side" for row in found})
        sentence = f"Patient {who} has slides in {' and '.join(parts)}; what is tested must not be learned from."
        first = _gather({who: found})
        yield Problem("patient torn", sentence, keys(found), (first, deal_again()))


def _gather(torn: dict[str, list[DraftRow]]) -> Remedy:
    """Put all slides of each patient to where most of them are; to what is learned from where that is even."""
    cells: dict[int, dict[str, object]] = {}
    homes = []
    for found in torn.values():
        counts = Counter((row.part, row.split, row.fold) for row in found if row.part)
        home = max(counts, key=lambda side: (counts[side], side[0] == "train"))
        homes.append(home[0])
        cells |= {row.key: {"split": home[1], "fold": home[2]} for row in found}
    title = f"Put {next(iter(torn))} into {homes[0]}" if len(torn) == 1 else "Put each where most of its slides are"
    return Remedy(title, lambda draft, _: draft.edit(cells))


def _folds(rows: Sequence[DraftRow]) -> Iterator[Problem]:
    without = [row for row in rows if row.fold is None]
    folds = {row.fold for row in rows} - {None}
    if without:
        sentence = f"{count(len(without))} {verb(len(without), 'is', 'are')} in no fold, but others are."
        yield Problem("no side", sentence, keys(without), (deal_again(),))
    if len(folds) < 2:
        yield Problem("no side", "There is only one fold; a cross-validation needs at least two.", (), (deal_again(),))


def _without(rows: Sequence[DraftRow]) -> Iterator[Problem]:
    without = [row for row in rows if not row.split]
    if not without:
        return
    chosen = keys(without)
    sentence = f"{count(len(without))} {verb(len(without), 'is', 'are')} on no side yet."
    into = Remedy(f"Put {verb(len(without), 'it', 'them')} into train", lambda draft, _: draft.set_split(chosen, "train"))
    yield Problem("no side", sentence, chosen, (into, deal_again()))


def _missing(rows: Sequence[DraftRow]) -> Iterator[Problem]:
    by_side = {side: {row.label for row in rows if row.split == side} for side in ("train", "validation", "test")}
    classes = classes_of(rows)
    lost = [label for label in classes if label not in by_side["train"]]
    if lost:
        yield Problem("no training", f"No slide of {_quoted(lost)} is in train, so it can't be learned.", (), (deal_again(),))
    if not by_side["validation"]:
        yield Problem("no validation", "No slide is in validation, by which the best epoch is chosen.", (), (deal_again(),))
    elif lost := [label for label in classes if label not in by_side["validation"]]:
        told = f"No slide of {_quoted(lost)} is in validation: how well it is told can't be seen during the training."
        yield Problem("class not validated", told, (), (deal_again(),), serious=False)


def _quoted(labels: Sequence[str]) -> str:
    return listed([f"“{label}”" for label in labels])
