"""Heatmaps as OME-TIFF: the numbers themselves, one image for each magnification, placed on the slide in µm.

A pixel is a step of the grid of patches, as large as PhysicalSizeX and PhysicalSizeY say. The image begins, with the top-left
corner of its first pixel, at PositionX and PositionY, measured from the top-left corner of the slide.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_wsimil.errors import ExportError
from napari_wsimil.inference.heatmap import Heatmap, heatmap

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import PatchScores, SlidePrediction


def write_ome_tiff(prediction: SlidePrediction, path: Path) -> None:
    """Write float32 images (channels, rows, columns), NaN where no patch was; the finest magnification comes first.

    Channels are the attention, the attention of each class, and the probability of each class, as far as the model gives them.

    Raises
    ------
    ExportError
        The prediction has no scores of patches.
    """
    mpps = sorted({*prediction.attention, *prediction.class_attention, *prediction.instances})
    if not mpps:
        raise ExportError("The prediction has no scores of patches, so that there is no heatmap to write.")
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for mpp in mpps:
            channels = _channels(prediction, mpp)
            values, origin, step = _aligned([heatmap(scores) for scores in channels.values()])
            tiff.write(
                values,
                photometric="minisblack",
                compression="zlib",
                predictor=True,
                metadata=_metadata(prediction, mpp, list(channels), origin, step),
            )


def _channels(prediction: SlidePrediction, mpp: float) -> dict[str, PatchScores]:
    """Name -> (N,) scores at a magnification."""
    found: dict[str, PatchScores] = {}
    if mpp in prediction.attention:
        found["Attention"] = prediction.attention[mpp]
    for what, tables in (("attention", prediction.class_attention), ("probability", prediction.instances)):
        table = tables.get(mpp)
        if table is not None and table.values.ndim == 2:
            found |= {f"{name} {what}": table.column(index) for index, name in enumerate(prediction.classes)}
        elif table is not None:
            found[f"{prediction.positive_class} {what}"] = table
    return found


def _aligned(maps: list[Heatmap]) -> tuple[NDArray[np.float32], tuple[float, float], float]:
    """Maps of one step on one raster (n, rows, columns), which covers them all, with its origin (x, y) and step."""
    step = maps[0].step
    corners = np.array([np.rint(np.divide(one.origin, step)) for one in maps], np.int64)  # (n, 2) x, y in steps
    ends = corners + np.array([one.values.shape[::-1] for one in maps])
    low, high = corners.min(axis=0), ends.max(axis=0)
    values = np.full((len(maps), *(high - low)[::-1]), np.nan, np.float32)
    for plane, one, (x, y) in zip(values, maps, corners - low, strict=True):
        rows, columns = one.values.shape
        plane[y : y + rows, x : x + columns] = one.values
    return values, (float(low[0] * step), float(low[1] * step)), step


def _metadata(
    prediction: SlidePrediction, mpp: float, names: list[str], origin: tuple[float, float], step: float
) -> dict[str, Any]:
    about = prediction.provenance
    slide, model = about.get("slide", {}), about.get("model", {})
    known = slide.get("mpp")
    (mx, my), unit = (known, "µm") if known else ((1.0, 1.0), "pixel")
    told = {
        "slide": slide.get("name"),
        "slide fingerprint": slide.get("fingerprint"),
        "model": model.get("id"),
        "model digest": model.get("digest"),
        "probabilities": dict(prediction.probabilities),
        "origin in level-0 pixels": list(origin),
        "step in level-0 pixels": step,
        "patches at µm per pixel": mpp,
        "position": "of the top-left corner of the first pixel, from the top-left corner of the slide",
    }
    return {
        "axes": "CYX",
        "Name": f"Heatmap at {mpp:g} µm per pixel",
        "Description": json.dumps(told, ensure_ascii=False),
        "Channel": {"Name": names},
        "PhysicalSizeX": step * mx,
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": step * my,
        "PhysicalSizeYUnit": unit,
        "Plane": {
            "PositionX": [origin[0] * mx] * len(names),
            "PositionXUnit": [unit] * len(names),
            "PositionY": [origin[1] * my] * len(names),
            "PositionYUnit": [unit] * len(names),
        },
    }
