"""Marks on the open slide: regions of the dock "Annotate", counted, put by a click, and taken back one by one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.annotations.classes import same_name
from napari_wsimil.inference.patch_index import PatchIndex
from napari_wsimil.patches.patch import Patch
from napari_wsimil.widgets.annotate.brush import names_of
from napari_wsimil.widgets.annotate.region_layer import make_layer, recolour, rename, rows_of
from napari_wsimil.widgets.slide_layer import facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.inference import PatchScores, SlidePrediction
    from napari_wsimil.widgets.annotate.board import Board
    from napari_wsimil.widgets.annotate.region_layer import Row
    from napari_wsimil.widgets.training.correct.deeds import Deeds

FEW_PIXELS = 4_000_000
"""A painted mask up to this size is looked through at once (10 ms)."""

NEAR = 0.75
"""Level-0 pixels by which the corners of a box may differ from those of a patch: napari keeps fewer digits."""


class Marks:
    """What is marked on the slide that a board means.

    Parameters
    ----------
    board
        What is drawn.
    deeds
        Gets each mark, to be undone.
    """

    def __init__(self, board: Board, deeds: Deeds) -> None:
        self._board = board
        self._deeds = deeds
        self._seen: dict[str, list[Row]] = {}
        self._index: tuple[Any, PatchIndex] | None = None

    @property
    def are_shown(self) -> bool:
        """Whether there is a layer to mark on, be it empty."""
        return self._board.layer is not None or self._board.brush is not None

    def counts(self) -> dict[str, int]:
        """Name of a class as drawn -> number of regions; what is painted of a class counts as one."""
        board = self._board
        found = {key: count for key, (count, _) in board.counts().items() if key}
        for name in self._painted():
            found[same_name(name)] = found.get(same_name(name), 0) + 1
        known = {same_name(one.name): one.name for one in board.book.classes}
        return {known.get(key, key): count for key, count in found.items()}

    def patch_at(self, prediction: SlidePrediction, x: float, y: float) -> Patch | None:
        """The patch of a prediction's finest magnification over a level-0 point."""
        tables = prediction.instances or prediction.attention
        if not tables:
            return None
        mpp = min(tables)
        row = self._indexed(tables[mpp]).row(x, y)
        if row is None:
            return None
        left, top = tables[mpp].xy[row]
        return Patch(mpp, float(left), float(top), float(tables[mpp].size_level0))

    def toggle(self, patch: Patch, name: str) -> None:
        """Mark a patch as `name`; one that is marked so already loses its mark, another mark becomes this one."""
        layer = self._board.layer
        row = None if layer is None else _row_of(rows_of(layer), patch)
        if layer is None or row is None:
            self._board.add_box(patch.box, name)
        elif same_name(rows_of(layer)[row].name) == same_name(name):
            layer.selected_data = {row}
            layer.remove_selected()
        else:
            rename(layer, {row: name})
            recolour(layer, self._board.book.colour)

    def remember(self) -> None:
        """Take what is drawn now for the beginning: another slide, or regions of a file."""
        slide, layer = self._board.slide, self._board.layer
        if slide is not None:
            self._seen[slide.fingerprint] = [] if layer is None else rows_of(layer)

    def changed(self, event: Any) -> None:
        """Regions were drawn, changed or deleted: it can be undone from now on."""
        slide, layer = self._board.slide, self._board.layer
        if slide is None or layer is None or str(getattr(event, "action", "")).endswith("ing"):
            return
        before, now = self._seen.get(slide.fingerprint, []), rows_of(layer)
        # while a shape is being drawn, others tell of changes, too
        if event.type == "features" and len(before) != len(now):
            return
        if not _same(before, now):
            self._seen[slide.fingerprint] = now
            self._deeds.did("mark", partial(self._restore, before), slide.fingerprint)

    def painted(self, _: Any = None) -> None:
        """A stroke of the brush came to its end: it can be undone."""
        slide, brush = self._board.slide, self._board.brush
        if slide is not None and brush is not None:
            self._deeds.did("stroke", partial(self._unpaint, brush), slide.fingerprint)

    def _unpaint(self, brush: Any) -> None:
        if brush == self._board.brush:
            brush.undo()
            brush.events.paint(value=[])

    def _restore(self, before: list[Row]) -> None:
        """Have these regions on the slide, and no others."""
        board, slide, layer = self._board, self._board.slide, self._board.layer
        if slide is None:
            return
        rows = [] if layer is None else rows_of(layer)
        if layer is not None and len(rows) > len(before) and _same(before, rows[: len(before)]):
            layer.selected_data = set(range(len(before), len(rows)))
            layer.remove_selected()
        else:
            origins = {} if layer is None else dict(facts(layer)["origins"])
            mode = "pan_zoom" if layer is None else str(layer.mode)
            board.put(make_layer(slide, before, origins, board.book.colour, board.line_width()))
            board.start(mode)
        self._seen[slide.fingerprint] = before

    def _painted(self) -> list[str]:
        brush = self._board.brush
        if brush is None:
            return []
        names = names_of(brush)
        if brush.data.size > FEW_PIXELS:
            return list(names.values()) if brush.data.any() else []
        there = np.bincount(np.asarray(brush.data).ravel(), minlength=256)
        return [name for number, name in names.items() if there[number]]

    def _indexed(self, scores: PatchScores) -> PatchIndex:
        if self._index is None or self._index[0] is not scores:
            self._index = scores, PatchIndex(scores.xy, scores.size_level0)
        return self._index[1]


def _row_of(rows: Sequence[Row], patch: Patch) -> int | None:
    """Which region is the box of a patch."""
    corners = np.array([(patch.y, patch.x), (patch.y + patch.size_level0, patch.x + patch.size_level0)]) - 0.5
    for number, row in enumerate(rows):
        points = np.asarray(row.data)[:, -2:]
        if len(points) == 4 and np.abs(np.array([points.min(axis=0), points.max(axis=0)]) - corners).max() < NEAR:
            return number
    return None


def _same(one: Sequence[Row], other: Sequence[Row]) -> bool:
    """Whether regions are the same, of the same classes."""
    return len(one) == len(other) and all(
        a.name == b.name and a.kind == b.kind and (a.data is b.data or np.array_equal(a.data, b.data))
        for a, b in zip(one, other, strict=True)
    )
