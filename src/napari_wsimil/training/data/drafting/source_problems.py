"""Problems of the files themselves, as far as they were looked at."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_wsimil.training.data.drafting.problems import Problem, Remedy, count, keys, leave_out, listed, verb
from napari_wsimil.training.data.drafting.sources import find_moved

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    from napari_wsimil.training.data.drafting.looks import Look, Looks
    from napari_wsimil.training.data.drafting.rows import DraftRow

    Seen = list[tuple[DraftRow, list[Look]]]

WORDS = {"slides": "slide", "features": "feature file", "images": "folder of patch images"}
MANY = {"slides": "slides", "features": "feature files", "images": "folders of patch images"}
CELL = 32
"""Pixels that the side of patch images must be a multiple of."""


def problems_of_sources(rows: Sequence[DraftRow], looks: Looks) -> Iterator[Problem]:
    """Look through what is known of the files of some rows."""
    seen: Seen = []
    for row in rows:
        found = [look for path in row.sources if (look := looks.known(path)) is not None]
        if len(found) == len(row.sources):
            seen.append((row, found))
    yield from _gone([row for row, found in seen if any(look.kind == "gone" for look in found)])
    yield from _damaged([(row, found) for row, found in seen if any(look.kind == "damaged" for look in found)])
    yield from _annotations(rows, looks)
    good = [(row, found) for row, found in seen if found[0].kind in WORDS and {look.kind for look in found} <= set(WORDS)]
    kinds: defaultdict[str, Seen] = defaultdict(list)
    for row, found in good:
        kinds[found[0].kind].append((row, found))
    if len(kinds) > 1:
        yield _mixed({kind: [row for row, _ in members] for kind, members in kinds.items()})
        return
    yield from _features(kinds["features"])
    yield from _images(kinds["images"])
    yield from _unmeasured([row for row, (look, *_) in kinds["slides"] if look.mpp is None and row.mpp is None])


def _gone(rows: list[DraftRow]) -> Iterator[Problem]:
    if not rows:
        return
    places = listed([str(row.path) for row in rows], 1)
    sentence = f"{count(len(rows))} {verb(len(rows), 'is', 'are')} not where the list says: {places}."
    find = Remedy("Find…", lambda draft, moved: draft.relocate(moved), asks="folder", work=partial(find_moved, rows))
    yield Problem("gone", sentence, keys(rows), (find, leave_out(rows), _look_again()))


def _damaged(seen: Seen) -> Iterator[Problem]:
    if not seen:
        return
    rows = [row for row, _ in seen]
    first = next(look.told for look in seen[0][1] if look.kind == "damaged")
    sentence = f"{first}." if len(seen) == 1 else f"{len(seen):,} files can't be used; the first: {first}."
    yield Problem("damaged", sentence, keys(rows), (leave_out(rows), _look_again()))


def _look_again() -> Remedy:
    return Remedy("Look again", lambda draft, _: draft.look_again())


def _annotations(rows: Sequence[DraftRow], looks: Looks) -> Iterator[Problem]:
    lost = [row for row in rows if row.annotation and (look := looks.known(row.annotation)) and look.kind == "gone"]
    if lost:
        chosen = keys(lost)
        sentence = f"The regions drawn on {count(len(lost))} are not there: {listed([str(row.annotation) for row in lost], 1)}."
        without = Remedy("Go on without them", lambda draft, _: draft.set_annotation(chosen, None))
        yield Problem("annotation gone", sentence, chosen, (without, _look_again()))


def _mixed(kinds: dict[str, list[DraftRow]]) -> Problem:
    parts = [count(len(rows), WORDS[kind]) if len(rows) == 1 else f"{len(rows):,} {MANY[kind]}" for kind, rows in kinds.items()]
    few = sorted(kinds, key=lambda kind: len(kinds[kind]))
    ways = [leave_out(kinds[kind], f"Leave out the {MANY[kind] if len(kinds[kind]) > 1 else WORDS[kind]}") for kind in few]
    sentence = f"The list mixes {' with '.join(parts)}; a model learns from one kind."
    return Problem("mixed kinds", sentence, keys(row for rows in list(kinds.values())[1:] for row in rows), tuple(ways))


def _features(seen: Seen) -> Iterator[Problem]:
    double = [(row, found) for row, found in seen if len({look.mpp for look in found}) < len(found)]
    if double:
        yield _double([row for row, _ in double])
        seen = [(row, found) for row, found in seen if (row, found) not in double]
    yield from _odd(seen, lambda found: tuple(sorted({look.width for look in found})), "widths", "has", _numbers)
    named = [(row, found) for row, found in seen if all(look.encoder for look in found)]
    yield from _odd(named, lambda found: tuple(sorted({look.encoder for look in found})), "encoders", "is", _makers)
    yield from _odd(seen, lambda found: tuple(sorted(look.mpp or 0.0 for look in found)), "magnifications", "is", _mpps)


def _double(rows: list[DraftRow]) -> Problem:
    """Several files of one slide at one magnification are of several encoders, or of several ways to cut patches."""
    folders = list(dict.fromkeys(path.parent.name for row in rows for path in row.files))
    by_name = len(folders) > 1
    places = folders if by_name else list(dict.fromkeys(str(path.parent) for row in rows for path in row.files))
    ways = []
    for wanted in places[:3]:
        kept = {
            row.key: [path for path in row.files if (path.parent.name if by_name else str(path.parent)) == wanted]
            for row in rows
        }
        ways.append(_only(wanted, {at: files for at, files in kept.items() if files}))
    sentence = (
        f"{count(len(rows))} {verb(len(rows), 'has', 'have')} several feature files at one magnification, in "
        f"{listed(places)}: choose one encoder and one way of cutting patches."
    )
    return Problem("same magnification", sentence, keys(rows), tuple(ways))


def _only(folder: str, files: dict[int, list[Path]]) -> Remedy:
    return Remedy(f"Only {folder}", lambda draft, _: draft.relocate(files))


def _images(seen: Seen) -> Iterator[Problem]:
    yield from _odd(seen, lambda found: found[0].side, "sizes", "has", _pixels)
    sides = {found[0].side for _, found in seen}
    if len(sides) == 1:
        height, width = sides.pop()
        if height != width:
            yield Problem("not square", f"The patches are of {width} x {height} px; cut them to squares.")
        elif height % CELL:
            told = f"The patches are of {height} px: an encoder can learn along only where that is a multiple of {CELL} px."
            yield Problem("odd side", told, serious=False)


def _odd(
    seen: Seen, value: Callable[[list[Look]], Hashable], kind: str, has: str, words: Callable[[Any], str]
) -> Iterator[Problem]:
    """Tell of those that differ from most: "x has ..., the others ...", or "x is ..."."""
    groups: defaultdict[Hashable, list[DraftRow]] = defaultdict(list)
    for row, found in seen:
        groups[value(found)].append(row)
    if len(groups) < 2:
        return
    usual = max(groups, key=lambda one: len(groups[one]))
    other = next(one for one in groups if one != usual)
    odd = [row for one, rows in groups.items() if one != usual for row in rows]
    which = odd[0].name if len(odd) == 1 else f"{len(odd):,} of them"
    said = verb(len(odd), has, {"has": "have", "is": "are"}[has])
    sentence = f"{which} {said} {words(other)}, the others {words(usual)}: one model can't learn from both."
    yield Problem(kind, sentence, keys(odd), (leave_out(odd),))


def _unmeasured(rows: list[DraftRow]) -> Iterator[Problem]:
    if not rows:
        return
    chosen = keys(rows)
    names = listed([row.name for row in rows])
    sentence = f"{names} {verb(len(rows), 'does', 'do')} not say how many micrometres a pixel measures."
    say = Remedy("Say it…", lambda draft, mpp: draft.set_mpp(chosen, float(mpp)), asks="mpp")
    yield Problem("no pixel size", sentence, chosen, (say, leave_out(rows)))


def _numbers(widths: Sequence[int]) -> str:
    return f"{' and '.join(f'{width:,}' for width in widths)} features for each patch"


def _makers(encoders: Sequence[str]) -> str:
    # without the digest, which says nothing to people
    return f"made by {' and '.join(name.split(' ')[0] for name in encoders)}"


def _mpps(mpps: Sequence[float]) -> str:
    told = ", ".join(f"{mpp:g}" for mpp in mpps if mpp)
    return f"at {told} µm per pixel" if told else "at an unknown magnification"


def _pixels(side: tuple[int, int]) -> str:
    return f"patches of {side[1]} x {side[0]} px"
