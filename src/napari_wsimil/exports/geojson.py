"""QuPath GeoJSON: the most attended patches as annotations, the attended part of the heatmap as tiles.

QuPath's rules, which its own readers enforce: `objectType` stands inside `properties`; a classification that is an object has a
colour; measurements are numbers by name, and numbers that JSON lacks are the strings "NaN", "Infinity" and "-Infinity"; an id
that is not a UUID is ignored; rings are closed; and the origin is the corner of the *scanned area*, not of the canvas.
"""

from __future__ import annotations

import json
import math
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np

from napari_wsimil.exports.colours import class_colour
from napari_wsimil.exports.patch_table import patch_tables, shortest, top_patches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.exports.patch_table import PatchTable
    from napari_wsimil.inference.prediction import SlidePrediction

# Any fixed UUID will do: with it the same patch of the same result has the same id in every export, and QuPath can replace it.
_NAMESPACE = UUID("6d0a3b55-7f0e-5d0f-9d3c-2b1f4c7e9a10")

Feature = dict[str, Any]


def geojson_text(prediction: SlidePrediction, threshold: float | None, top: int) -> str:
    """The feature collection: `top` annotations, then tiles for the patches above `threshold`.

    The annotations are those that come first in the window, see `top_patches`.

    Parameters
    ----------
    prediction
        What to write.
    threshold
        Lowest attention percentile of a tile, 0 to 1; None: more than an even share of the attention.
    top
        Number of annotations.
    """
    tables = patch_tables(prediction)
    features: list[Feature] = []
    best = top_patches(prediction, tables, top)
    if best is not None:
        features += _features(prediction, *best, "annotation")
    for table in tables:
        rows = table.above(threshold)
        features += _features(prediction, table, rows, [f"Patch {row}" for row in rows.tolist()], "tile")
    about = {"probabilities": dict(prediction.probabilities), "provenance": _to_share(prediction.provenance)}
    collection = {"type": "FeatureCollection", "features": features, "wsimil": _strict(about)}
    return json.dumps(collection, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _to_share(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance with the slide's file name for its path: the file leaves the house, and folders say where and whose it is."""
    slide = dict(provenance.get("slide", {}))
    if slide.get("path"):
        slide["path"] = PurePath(slide["path"]).name
    return {**provenance, "slide": slide}


def _features(
    prediction: SlidePrediction, table: PatchTable, rows: NDArray[np.intp], names: Sequence[str], kind: str
) -> Iterable[Feature]:
    """The patches in `rows` as QuPath objects of one `kind`."""
    slide, model = prediction.provenance.get("slide", {}), prediction.provenance.get("model", {})
    source = f"{slide.get('fingerprint')}|{model.get('digest')}|{kind}|{table.mpp}"
    rings = _rings(table, rows, slide.get("origin") or (0, 0))
    classifications = _classifications(prediction, table, rows)
    measurements = _measurements(prediction, table, rows)
    for index, (name, (x, y)) in enumerate(zip(names, table.xy[rows].tolist(), strict=True)):
        properties: Feature = {"objectType": kind, "measurements": measurements[index], "name": name}
        if kind == "annotation":
            properties |= {"isLocked": True, "metadata": {"model": str(model.get("id", ""))}}
        if classifications[index]:
            properties["classification"] = classifications[index]
        yield {
            "type": "Feature",
            "id": str(uuid5(_NAMESPACE, f"{source}|{x}|{y}")),
            "geometry": {"type": "Polygon", "coordinates": [rings[index]]},
            "properties": properties,
        }


def _rings(table: PatchTable, rows: NDArray[np.intp], origin: tuple[float, float]) -> list[list[list[float]]]:
    """Closed squares (n, 5, 2) in the pixels that QuPath counts, which start at the scanned area."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * table.size
    start = table.xy[rows].astype(np.float64) - np.asarray(origin, np.float64)
    rings: list[list[list[float]]] = np.round(start[:, None, :] + corners, 2).tolist()
    return rings


def _classifications(prediction: SlidePrediction, table: PatchTable, rows: NDArray[np.intp]) -> list[Feature | None]:
    """The most probable class of each patch with its colour; None where the model does not classify patches."""
    kinds: list[Feature] = [
        {"name": name, "color": list(class_colour(name, index))} for index, name in enumerate(prediction.classes)
    ]
    chosen = table.probabilities[rows]
    known = np.isfinite(chosen).all(axis=1)
    best = np.where(known, np.argmax(np.nan_to_num(chosen), axis=1), -1) if chosen.shape[1] else np.full(len(rows), -1)
    return [kinds[index] if index >= 0 else None for index in best.tolist()]


def _measurements(prediction: SlidePrediction, table: PatchTable, rows: NDArray[np.intp]) -> list[dict[str, float | str]]:
    """Name -> number for each patch: attention, its percentile, mpp, and the probability of each class."""
    columns: dict[str, NDArray[np.float32]] = {"attention": table.attention, "attention percentile": table.percentile}
    if np.isfinite(table.probabilities).any():
        columns |= {f"prob: {name}": table.probabilities[:, index] for index, name in enumerate(prediction.classes)}
    numbers = [[_number(float(text)) for text in shortest(values[rows])] for values in columns.values()]
    return [dict(zip(columns, row, strict=True), mpp=table.mpp) for row in zip(*numbers, strict=True)]


def _number(value: float) -> float | str:
    """A number, or the string by which QuPath knows one that JSON lacks."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _strict(value: Any) -> Any:
    """A JSON-able value with its non-finite numbers as strings."""
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return _number(value) if isinstance(value, float) else value
