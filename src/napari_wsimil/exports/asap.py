"""ASAP's XML: the most attended patches and those above a threshold as rectangles, in groups by predicted class.

ASAP knows no numbers of an object, so that they stand in its name. It counts level-0 pixels from the corner of the whole
canvas, does not close rings, and drops a file whose annotations name a group that is not declared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from napari_wsimil.exports.colours import TOP_COLOUR, class_colour, hex_colour
from napari_wsimil.exports.patch_table import PatchTable, patch_tables, shortest, top_patches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_wsimil.inference.prediction import SlidePrediction

TOP_GROUP = "Top regions"
UNCLASSED = "Attended"
"""The group of patches that the model gives no class."""


def asap_text(prediction: SlidePrediction, threshold: float | None, top: int) -> str:
    """The document; for the parameters see `geojson.geojson_text`.

    Groups are called "Predicted tumour", not "tumour", so that nobody takes what a model said for what a person drew.
    """
    colours = {TOP_GROUP: TOP_COLOUR, UNCLASSED: "#e55c30"} | {
        _group(name): hex_colour(class_colour(name, index)) for index, name in enumerate(prediction.classes)
    }
    root = Element("ASAP_Annotations")
    annotations = SubElement(root, "Annotations")
    used: dict[str, None] = {}
    tables = patch_tables(prediction)
    best = top_patches(prediction, tables, top)
    if best is not None:
        _add(annotations, prediction, *best, [TOP_GROUP] * len(best[1]))
        used[TOP_GROUP] = None
    for table in tables:
        rows = table.above(threshold)
        groups = _groups(prediction, table, rows)
        _add(annotations, prediction, table, rows, [f"Patch {row}" for row in rows.tolist()], groups)
        used |= dict.fromkeys(groups)
    for annotation in annotations:
        annotation.set("Color", colours[annotation.get("PartOfGroup", UNCLASSED)])
    declared = SubElement(root, "AnnotationGroups")
    for name in used:
        group = SubElement(declared, "Group", Name=name, PartOfGroup="None", Color=colours[name])
        SubElement(group, "Attributes")
    indent(root, "\t")
    return '<?xml version="1.0"?>\n' + tostring(root, encoding="unicode") + "\n"


def _group(class_name: str) -> str:
    return f"Predicted {_printable(class_name)}"


def _printable(text: str) -> str:
    """The text without what no XML may hold."""
    return "".join(letter for letter in text if letter.isprintable())


def _groups(prediction: SlidePrediction, table: PatchTable, rows: NDArray[np.intp]) -> list[str]:
    """The group of the most probable class of each patch."""
    chosen = table.probabilities[rows]
    if not chosen.shape[1]:
        return [UNCLASSED] * len(rows)
    best = np.where(np.isfinite(chosen).all(axis=1), np.argmax(np.nan_to_num(chosen), axis=1), -1)
    names = [_group(name) for name in prediction.classes]
    return [names[index] if index >= 0 else UNCLASSED for index in best.tolist()]


def _add(
    parent: Element,
    prediction: SlidePrediction,
    table: PatchTable,
    rows: NDArray[np.intp],
    names: Sequence[str],
    groups: Sequence[str],
) -> None:
    """One rectangle for each row, with its scores in its name."""
    scores = _scores(prediction, table, rows)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * table.size
    shapes = np.round(table.xy[rows].astype(np.float64)[:, None, :] + corners, 2).tolist()
    for name, told, shape, group in zip(names, scores, shapes, groups, strict=True):
        annotation = SubElement(parent, "Annotation", Name=f"{name} ({told})", Type="Rectangle", PartOfGroup=group)
        points = SubElement(annotation, "Coordinates")
        for order, (x, y) in enumerate(shape):
            SubElement(points, "Coordinate", Order=str(order), X=f"{x:.10g}", Y=f"{y:.10g}")


def _scores(prediction: SlidePrediction, table: PatchTable, rows: NDArray[np.intp]) -> list[str]:
    """For example "attention 0.0123, percentile 0.98, prob tumour 0.93, mpp 0.5" for each row."""
    columns = {"attention": table.attention, "percentile": table.percentile}
    columns |= {f"prob {_printable(name)}": table.probabilities[:, index] for index, name in enumerate(prediction.classes)}
    told = {name: shortest(values[rows]) for name, values in columns.items() if np.isfinite(values).any()}
    return [
        ", ".join([*(f"{name} {texts[at]}" for name, texts in told.items()), f"mpp {table.mpp:g}"]) for at in range(len(rows))
    ]
