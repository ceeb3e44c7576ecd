"""A picture of test slides: the tissue, where the tumour is, ABMIL's attention and what ZoomMIL looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from mosaic_runs import FINE

import napari_wsimil as ws

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from mosaic_runs import Mosaics
    from numpy.typing import NDArray

    from napari_wsimil.mil import MILModel
    from napari_wsimil.patches import PatchGrid

OVERVIEW_MPP = 32.0


def draw(mosaics: Mosaics, models: Mapping[str, tuple[MILModel, tuple[float, ...]]], path: Path, count: int = 3) -> None:
    """Draw `count` positive test slides, one a row, and write a PNG."""
    from matplotlib.figure import Figure

    rows = [row for row, target in enumerate(mosaics.targets["test"]) if target][:count]
    figure = Figure(figsize=(3 * (2 + len(models)), 3 * len(rows)), dpi=110, layout="constrained")
    axes = np.atleast_2d(figure.subplots(len(rows), 2 + len(models)))
    for place, row in zip(axes, rows, strict=True):
        name = mosaics.names["test"][row]
        with ws.open_slide(mosaics.work / "slides" / f"{name}.tif") as slide:
            size = (int(slide.width / OVERVIEW_MPP), int(slide.height / OVERVIEW_MPP))
            overview = slide.read_region(0, 0, *size, mpp=OVERVIEW_MPP)
            extent = (0, slide.width, slide.height, 0)
        for axis in place:
            axis.imshow(overview, extent=extent)
            axis.set_axis_off()
        place[0].set_title(name, fontsize=9)
        fine = mosaics.bags("test", (FINE,)).bag(row).grid(FINE)
        _squares(place[1], fine, mosaics.truths[name].labels(fine.xy).astype(float), "Greens")
        place[1].set_title("adenocarcinoma", fontsize=9)
        for axis, (key, (model, mpps)) in zip(place[2:], models.items(), strict=True):
            _answer(axis, mosaics, row, key, model, mpps)
    figure.savefig(path)


def _answer(axis: Axes, mosaics: Mosaics, row: int, key: str, model: MILModel, mpps: tuple[float, ...]) -> None:
    bag = mosaics.bags("test", mpps).bag(row)
    with torch.inference_mode():
        output = model(bag)
        chance = float(model.probabilities(output.logits)[1])
    if output.zoom is None:
        grid, attention = bag.grid(FINE), output.attention[FINE].numpy()
        _squares(axis, grid, attention.argsort().argsort() / max(1, len(attention) - 1), "Reds")
    else:
        for mpp, rows in output.rows.items():
            grid = bag.grid(mpp)
            seen = np.zeros(len(grid))
            seen[rows.numpy()] = 1
            _squares(axis, grid, 0.35 * seen, "Blues" if mpp != FINE else "Reds")
    axis.set_title(f"{key.upper() if key == 'abmil' else 'ZoomMIL'}: p = {chance:.2f}", fontsize=9)


def _squares(axis: Axes, grid: PatchGrid, values: NDArray[np.float64], colours: str) -> None:
    """Patches as squares, as opaque as their value."""
    from matplotlib import colormaps
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    shown = np.flatnonzero(values > 0)
    squares = [Rectangle(tuple(grid.xy[row]), grid.size_level0, grid.size_level0) for row in shown]
    shades = colormaps[colours](np.full(len(shown), 0.9))
    shades[:, 3] = 0.85 * np.asarray(values)[shown]
    axis.add_collection(PatchCollection(squares, facecolors=shades, linewidths=0))
