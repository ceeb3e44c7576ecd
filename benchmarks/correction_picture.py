"""The picture of docs/results/correction.md: fresh slides, and the attention on them before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import napari_wsimil as ws

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from correction_measure import View
    from matplotlib.axes import Axes

DOWNSAMPLE = 8.0


def draw(before: Sequence[View], after: Sequence[View], path: Path) -> None:
    """A row for each slide: the slide with its tumour outlined, attention before, attention after."""
    figure = Figure((7.5, 2.7 * len(before)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, views in enumerate(zip(before, after, strict=True)):
        axes = [figure.add_subplot(len(before), 3, 3 * row + column + 1) for column in range(3)]
        _slide(axes[0], views[0], f"fresh slide, {views[0].slide.label}")
        for axis, view, when in zip(axes[1:], views, ("before", "after"), strict=True):
            _slide(axis, view, f"attention {when}: {view.wrong_focus:.0%} on ink")
            _attention(axis, view)
    figure.savefig(path, dpi=110, pil_kwargs={"quality": 82})


def _slide(axis: Axes, view: View, title: str) -> None:
    with ws.open_slide(view.slide.path) as slide:
        size = int(slide.width // DOWNSAMPLE), int(slide.height // DOWNSAMPLE)
        axis.imshow(slide.read_downsampled(0, 0, *size, (DOWNSAMPLE, DOWNSAMPLE)))
    for focus in view.slide.foci:
        axis.plot(*(focus / DOWNSAMPLE).T, color="#00c853", linewidth=1.4)
    axis.set(xlim=(0, size[0]), ylim=(size[1], 0))
    axis.set_title(title, fontsize=8)
    axis.axis("off")


def _attention(axis: Axes, view: View) -> None:
    side = view.side / DOWNSAMPLE
    boxes = [Rectangle((x, y), side, side) for x, y in view.xy / DOWNSAMPLE]
    strength = np.sqrt(view.attention / view.attention.max())
    axis.add_collection(PatchCollection(boxes, array=strength, cmap="viridis", alpha=0.75, linewidth=0))
