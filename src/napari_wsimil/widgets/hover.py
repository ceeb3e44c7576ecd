"""What the status bar says about what is under the cursor."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.inference.patch_index import PatchIndex
from napari_wsimil.inference.prediction import PatchScores
from napari_wsimil.widgets.overlays.tags import laid_mpp
from napari_wsimil.widgets.place import place_text
from napari_wsimil.widgets.slide_layer import facts
from napari_wsimil.widgets.words import share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.inference import SlidePrediction


class PatchFinder:
    """Finds the patch at a point of the slide and says its scores.

    Parameters
    ----------
    prediction
        The result to read from.
    """

    def __init__(self, prediction: SlidePrediction) -> None:
        self._prediction = prediction
        attention = {mpp: Lookup(prediction.attention[mpp]) for mpp in sorted(prediction.attention)}
        self._attention = attention.values()
        self._instances = [Lookup(prediction.instances[mpp], attention.get(mpp)) for mpp in sorted(prediction.instances)]

    def describe(self, x: float, y: float) -> str:
        """One line about the level-0 pixel (x, y); "" where no patch is.

        For example "Attention 0.0042 (rank 3 of 1,400, percentile 100) · tumour 93.1 %".
        """
        parts = []
        for lookup in self._attention:
            row = lookup.row(x, y)
            if row is not None:
                parts.append(lookup.attention_text(row))
                break
        for lookup in self._instances:
            row = lookup.row(x, y)
            if row is not None:
                parts.append(self._probability(lookup.scores.values[row]))
                break
        return " · ".join(parts)

    def _probability(self, value: Any) -> str:
        name = self._prediction.positive_class
        number = value[self._prediction.classes.index(name)] if np.ndim(value) else value
        return f"{name} {share(float(number))}"


class ProvisionalFinder:
    """Says what is known so far of the patch at a point of a slide that is being predicted.

    Parameters
    ----------
    scores
        Attention of all patches of one magnification, NaN where not known yet.
    before
        The finder of an earlier state, which knows already where the patches are.
    """

    def __init__(self, scores: PatchScores, before: ProvisionalFinder | None = None) -> None:
        self._lookup: Lookup = Lookup(scores, before._lookup if before is not None else None)
        self._known = int(np.isfinite(scores.values).sum())

    def describe(self, x: float, y: float) -> str:
        """One line about the level-0 pixel (x, y); "" where no patch is.

        For example "Attention 0.012 so far (rank 3 of the 320 patches encoded)".
        """
        row = self._lookup.row(x, y)
        if row is None:
            return ""
        value = self._lookup.scores.values[row]
        if not np.isfinite(value):
            return "Not encoded yet"
        return f"Attention {value:.3g} so far (rank {self._lookup.rank(row):,} of the {self._known:,} patches encoded)"


class Lookup:
    """The patches of one grid by position, with the rank of each (1: highest; equal scores have the same).

    Parameters
    ----------
    scores
        One score for each patch, or one for each class, which have no rank.
    before
        Of other scores; where the patches are the same, they are not sorted anew.
    """

    def __init__(self, scores: PatchScores, before: Lookup | None = None) -> None:
        self.scores = scores
        known = before if before is not None and before.has_patches_of(scores) else None
        self.index: PatchIndex = known.index if known is not None else PatchIndex(scores.xy, scores.size_level0)

    @cached_property
    def _ordered(self) -> NDArray[np.float32]:
        values = self.scores.values
        return np.sort(values[~np.isnan(values)])

    def has_patches_of(self, scores: PatchScores) -> bool:
        """Whether these scores are of the same patches."""
        mine = self.scores
        return mine.size_level0 == scores.size_level0 and (mine.xy is scores.xy or np.array_equal(mine.xy, scores.xy))

    def row(self, x: float, y: float) -> int | None:
        """The patch over a level-0 point; where patches overlap, the one whose centre is nearest."""
        return self.index.row(x, y)

    def rank(self, row: int) -> int:
        """One more than there are patches with a higher score."""
        return len(self._ordered) - int(np.searchsorted(self._ordered, self.scores.values[row], side="right")) + 1

    def attention_text(self, row: int) -> str:
        """The score of a patch among the others."""
        rank = f"rank {self.rank(row):,} of {len(self.scores):,}, percentile {self.percentile(row):.0f}"
        return f"Attention {self.scores.values[row]:.3g} ({rank})"

    def percentile(self, row: int) -> float:
        """Share of the patches that score no higher, in per cent."""
        return 100.0 * (len(self.scores) - self.rank(row) + 1) / len(self.scores)


def follow_cursor(viewer: Any) -> None:
    """From now on the viewer's status bar tells what is under the cursor: the scores of the patch, and the place on the slide.

    A second call changes nothing. napari computes the text of the active layer in a thread and then sets `viewer.status`.
    Setting a text from a mouse callback would be overwritten by that; following the event comes last, whichever layer is
    active.
    """
    if any(getattr(callback, "tells_patch", False) for callback in viewer.events.status.callbacks):
        return
    cursor = CursorText(viewer)
    line = ""

    def add_place(event: Any) -> None:
        nonlocal line
        status = event.value
        told = status.get("coordinates", "") if isinstance(status, dict) else status
        # Off the canvas the position is an old one, and the text is napari's own.
        parts = [cursor.text(), place_text(viewer)] if viewer.mouse_over_canvas and told != line else []
        if any(parts):
            line = "    ".join([*filter(None, parts), told])
            viewer.status = {**status, "coordinates": line} if isinstance(status, dict) else line

    add_place.tells_patch = True  # type: ignore[attr-defined]
    viewer.events.status.connect(add_place)


class CursorText:
    """What is known about the patch under a viewer's cursor.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._finder: tuple[Any, PatchFinder | ProvisionalFinder] | None = None

    def text(self) -> str:
        """The line for the cursor's present place; "" where no shown prediction has a patch."""
        source, mpp = self._source()
        if source is None:
            self._finder = None  # it keeps a prediction that may be gone
            return ""
        if self._finder is None or self._finder[0] is not source:
            self._finder = (source, self._found_in(source))
        mx, my = mpp or (1.0, 1.0)
        y, x = self._viewer.cursor.position[-2:]
        # napari's pixel 0 has its centre at 0, its corner at -0.5.
        return self._finder[1].describe(x / mx + 0.5, y / my + 0.5)

    def _found_in(self, source: SlidePrediction | PatchScores) -> PatchFinder | ProvisionalFinder:
        """Attention on its own, without a prediction around it, is a state of a running job."""
        if not isinstance(source, PatchScores):
            return PatchFinder(source)
        before = self._finder[1] if self._finder is not None else None
        return ProvisionalFinder(source, before if isinstance(before, ProvisionalFinder) else None)

    def _source(self) -> tuple[SlidePrediction | PatchScores | None, tuple[float, float] | None]:
        """What the active layer, else the topmost layer that is shown, tells of patches; and the slide's (x, y) pixel size."""
        active = self._viewer.layers.selection.active
        shown = [layer for layer in reversed(self._viewer.layers) if layer.visible]
        for layer in ([active] if active is not None else []) + shown:
            found = facts(layer)
            if "prediction" in found:
                return found["prediction"], laid_mpp(layer)
            if "provisional" in found:
                return found["provisional"], found["slide_mpp"]
        return None, None
