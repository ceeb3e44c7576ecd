"""How far what a model zooms into drifts from epoch to epoch; no window needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.widgets.training.live.lines import Line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchSet


def kept(before: PatchSet, now: PatchSet) -> NDArray[np.bool_]:
    """(n,) which of the patches of `now` were there before."""
    seen = set(map(tuple, before.xy.tolist()))
    return np.array([corner in seen for corner in map(tuple, now.xy.tolist())], bool)


@dataclass
class Drift:
    """The regions that are zoomed into, as far as one has watched.

    Attributes
    ----------
    epochs, shares
        Of each look after the first: the epoch from 1, and the share of regions that were there at the look before.
    since
        The epoch of the look before the last, from 1.
    new
        mpp -> (n,) which of the regions of the last look were not there before; all of the first are old.
    """

    epochs: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    since: int = 0
    new: dict[float, NDArray[np.bool_]] = field(default_factory=dict)
    _before: dict[float, PatchSet] = field(default_factory=dict)
    _epoch: int = 0

    def look(self, epoch: int, zoom: Mapping[float, PatchSet]) -> None:
        """See what is zoomed into in an epoch, from 1; an epoch that comes again replaces what came after it."""
        while self.epochs and self.epochs[-1] >= epoch:
            self.epochs.pop()
            self.shares.pop()
        there = {mpp: kept(self._before.get(mpp, now), now) for mpp, now in zoom.items()}
        if self._before and there:
            self.epochs.append(epoch)
            self.shares.append(float(np.concatenate(list(there.values())).mean()))
        self.since, self._epoch = self._epoch, epoch
        self.new = {mpp: ~old for mpp, old in there.items()}
        self._before = dict(zoom)

    def lines(self) -> list[Line]:
        """The shares as a curve; none before the second look."""
        return [Line("zoomed regions kept", tuple(self.epochs), tuple(self.shares), 2)] if self.shares else []

    @property
    def text(self) -> str:
        """The last look in a sentence; empty before the second."""
        if not self.shares:
            return ""
        return f"{100 * self.shares[-1]:.0f} % of the zoomed regions are those of epoch {self.since}"
