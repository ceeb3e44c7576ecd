"""What a draft is at one moment, and the way back to earlier ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_wsimil.training.data.drafting.dealing import Shares, classes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.training.data.drafting.rows import DraftRow

MOST_STEPS = 200
"""How many steps can be undone."""


@dataclass(frozen=True)
class DraftState:
    """All that a step changes.

    Attributes
    ----------
    rows
        In the order that they were added.
    shares
        Of the sides, for dealing.
    dealt
        Whether the sides are dealt out by the program, anew after each change; else they are those of a manifest or a person.
    """

    rows: tuple[DraftRow, ...] = ()
    shares: Shares = field(default_factory=Shares)
    dealt: bool = True


class Steps:
    """A state, and those before it.

    Attributes
    ----------
    on_change
        Called after each step; set it.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], object] = lambda: None
        self._state = DraftState()
        self._undo: list[DraftState] = []
        self._redo: list[DraftState] = []

    @property
    def state(self) -> DraftState:
        """What there is now; another object after each change."""
        return self._state

    @property
    def rows(self) -> list[DraftRow]:
        """All rows, in the order that they were added."""
        return list(self._state.rows)

    @property
    def shares(self) -> Shares:
        """Of the sides, for dealing."""
        return self._state.shares

    @property
    def dealt(self) -> bool:
        """Whether the sides are dealt out by the program, anew after each change."""
        return self._state.dealt

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the slides that take part, in the order of a model's outputs."""
        return classes_of(self._state.rows)

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back."""
        return bool(self._redo)

    def undo(self) -> None:
        """Take the last step back."""
        self._walk(self._undo, self._redo)

    def redo(self) -> None:
        """Take the step again that was taken back."""
        self._walk(self._redo, self._undo)

    def _step(self, state: DraftState) -> None:
        if state == self._state:
            return
        self._undo = [*self._undo[-MOST_STEPS:], self._state]
        self._redo = []
        self._state = state
        self.on_change()

    def _walk(self, back: list[DraftState], forth: list[DraftState]) -> None:
        if back:
            forth.append(self._state)
            self._state = back.pop()
            self.on_change()
