"""Problems of labels, names, and what is listed twice; nothing is read for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from napari_wsimil.training.data.drafting.dealing import classes_of
from napari_wsimil.training.data.drafting.problems import Problem, Remedy, count, keys, leave_out, listed, verb
from napari_wsimil.training.data.drafting.rows import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_wsimil.training.data.drafting.draft import Draft
    from napari_wsimil.training.data.drafting.rows import DraftRow

LONGEST_LABEL = 100
"""Letters that a class of a model package can have."""


def problems_of_labels(rows: Sequence[DraftRow]) -> Iterator[Problem]:
    """Look for labels that are missing, alone, or written in two ways."""
    without = [row for row in rows if not row.label]
    classes = classes_of(rows)
    if without and not classes:
        yield Problem("no label", "No slide has a label yet: say which class each of them is.", keys(without))
    elif without:
        sentence = f"{count(len(without))} {verb(len(without), 'has', 'have')} no label: {listed(_names(without))}."
        title = f"Leave out the {count(len(without))} without a label" if len(without) > 1 else ""
        yield Problem("no label", sentence, keys(without), (leave_out(without, title),))
    if len(classes) == 1:
        yield Problem(
            "one class",
            f"All labels are “{classes[0]}”. A model needs slides of at least two classes: add some, or label some otherwise.",
        )
    long = [row for row in rows if len(row.label) > LONGEST_LABEL]
    if long:
        yield Problem("long label", f"A label can have at most {LONGEST_LABEL} letters: {long[0].label[:40]}….", keys(long))
    yield from _spellings(rows)


def problems_of_identity(rows: Sequence[DraftRow], real: Callable[[Path], str | None]) -> Iterator[Problem]:
    """Look for slides and names that are listed twice.

    Parameters
    ----------
    real
        Where a file really is, links followed; None where that is not known yet.
    """
    places: defaultdict[str, list[DraftRow]] = defaultdict(list)
    for row in rows:
        for where in {real(source) or place(source) for source in row.sources}:
            places[where].append(row)
    same = {keys(found): found for found in places.values() if len(found) > 1}
    if same:
        yield _same_slide(list(same.values()))
    names: defaultdict[str, list[DraftRow]] = defaultdict(list)
    twice = {key for found in same.values() for key in keys(found[1:])}
    for row in rows:
        if row.key not in twice:
            names[row.name].append(row)
    called = [found for found in names.values() if len(found) > 1]
    if called:
        yield _same_name(called, {row.name for row in rows})


def _same_slide(groups: list[list[DraftRow]]) -> Problem:
    again = list({row.key: row for group in groups for row in group[1:]}.values())
    differ = [group for group in groups if len({row.label for row in group if row.label}) > 1]
    if len(groups) == 1:
        sentence = f"{groups[0][0].path.name} is in the list {count(len(groups[0]), 'time')}"
    else:
        sentence = f"{count(len(groups))} are in the list more than once: {listed([group[0].path.name for group in groups])}"
    if differ:
        labels = sorted({row.label for row in differ[0] if row.label})
        sentence += f", with different labels ({' and '.join(labels)})"
    everyone = keys(row for group in groups for row in group)
    title = "Leave out the second" if len(again) == 1 else f"Keep only the first of each ({len(again):,} left out)"
    return Problem("same slide", sentence + ".", everyone, (leave_out(again, title),))


def _same_name(groups: list[list[DraftRow]], taken: set[str]) -> Problem:
    names: dict[int, str] = {}
    for group in groups:
        number = 2
        for row in group[1:]:
            while f"{row.name}-{number}" in taken:
                number += 1
            names[row.key] = f"{row.name}-{number}"
            taken = taken | {names[row.key]}
    called = listed([f"“{group[0].name}”" for group in groups])
    sentence = f"Different slides have the same name: {called}."
    title = f"Call the second {next(iter(names.values()))}" if len(names) == 1 else "Number them"

    def number_them(draft: Draft, _: object, names: Mapping[int, str] = names) -> None:
        draft.rename(names)

    return Problem("same name", sentence, keys(row for group in groups for row in group), (Remedy(title, number_them),))


def _spellings(rows: Sequence[DraftRow]) -> Iterator[Problem]:
    """Labels that differ in capitals only are most likely one class."""
    ways: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.label:
            ways[row.label.casefold()][row.label] += 1
    for folded, written in ways.items():
        if len(written) < 2:
            continue
        usual = written.most_common(1)[0][0]
        chosen = keys(row for row in rows if row.label.casefold() == folded)
        yield Problem(
            "two spellings",
            f"{' and '.join(f'“{label}”' for label in written)} count as different classes.",
            chosen,
            (_call_all(chosen, usual),),
            serious=False,
        )


def _call_all(rows: tuple[int, ...], label: str) -> Remedy:
    return Remedy(f"Call all “{label}”", lambda draft, _: draft.set_label(rows, label))


def _names(rows: Sequence[DraftRow]) -> list[str]:
    return [row.name for row in rows]
