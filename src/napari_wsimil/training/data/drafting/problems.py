"""What a training would refuse, found before it begins: each in a sentence, with ways on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_wsimil.training.data.drafting.draft import Draft
    from napari_wsimil.training.data.drafting.rows import DraftRow


@dataclass(frozen=True)
class Remedy:
    """One way on.

    Attributes
    ----------
    title
        What its button says.
    apply
        Called with the draft and the answer, "" where nothing is asked; one step that can be undone.
    asks
        What must be asked before: nothing, a folder, or a number of µm per pixel.
    work
        What takes long, done with the answer in any thread before: what it returns is the answer for `apply`, what is wrong
        with the answer it raises as a `WsimilError`.
    """

    title: str
    apply: Callable[[Draft, Any], object]
    asks: Literal["", "folder", "mpp"] = ""
    work: Callable[[str], Any] | None = None


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be.

    Attributes
    ----------
    kind
        One word or two by which tests and programs know it.
    sentence
        For people.
    rows
        Keys of the rows that it is about.
    remedies
        Ways on, the most likely first.
    serious
        Whether a training would refuse it; else it is worth knowing only.
    """

    kind: str
    sentence: str
    rows: tuple[int, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    serious: bool = True


def keys(rows: Iterable[DraftRow]) -> tuple[int, ...]:
    """Keys of some rows."""
    return tuple(row.key for row in rows)


def count(number: int, what: str = "slide") -> str:
    """A number of things in words: "1 slide", "3 slides"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def verb(number: int, one: str, many: str) -> str:
    """The form of a verb that goes with a number."""
    return one if number == 1 else many


def listed(names: Sequence[str], most: int = 3) -> str:
    """Some names, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def leave_out(rows: Sequence[DraftRow], title: str = "") -> Remedy:
    """Go on without some rows."""
    chosen = keys(rows)
    usual = f"Leave out the {count(len(rows))}" if len(rows) > 1 else f"Leave out {rows[0].name}"
    return Remedy(title or usual, lambda draft, _: draft.use(chosen, used=False))


def deal_again() -> Remedy:
    """Let the program deal all slides out."""
    return Remedy("Deal again", lambda draft, _: draft.deal())
