"""What was done on the page, so that it can be undone, the last first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psygnal import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 200
"""How many are remembered."""


@dataclass(frozen=True, eq=False)
class Deed:
    """Something that was done.

    Attributes
    ----------
    words
        What it was, as the button says after "Undo": "mark", "Keep".
    undo
        Makes it undone.
    slide
        Fingerprint of the slide on which it was done, which must be in view to undo it; "" where that does not matter.
    """

    words: str
    undo: Callable[[], object]
    slide: str = ""


class Deeds:
    """All that can be undone.

    Signals
    -------
    changed
        Something was done or undone.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._deeds: list[Deed] = []
        self._undoing = False

    def did(self, words: str, undo: Callable[[], object], slide: str = "") -> None:
        """Remember something, unless it comes of undoing another."""
        if not self._undoing:
            self._deeds = [*self._deeds, Deed(words, undo, slide)][-MOST:]
            self.changed.emit()

    def last(self, slide: str) -> Deed | None:
        """What is undone next while a slide is in view."""
        return next((one for one in reversed(self._deeds) if one.slide in ("", slide)), None)

    def undo(self, slide: str) -> Deed | None:
        """Undo the last; None where there is nothing."""
        deed = self.last(slide)
        if deed is not None:
            self._deeds.remove(deed)
            self._undoing = True
            try:
                deed.undo()
            finally:
                self._undoing = False
                self.changed.emit()
        return deed

    def forget(self, words: str) -> None:
        """Forget all deeds of a name: they can't be undone any more."""
        self._deeds = [one for one in self._deeds if one.words != words]
        self.changed.emit()
