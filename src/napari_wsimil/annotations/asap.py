"""ASAP's XML: polygons, rectangles and splines in groups, level-0 pixels of the whole canvas, rings not closed."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from napari_wsimil.annotations.regions import Annotations, Collected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from xml.etree.ElementTree import Element

AREAS = ("Polygon", "Spline", "Rectangle")
NONE = "None"
"""What ASAP calls the group of what is in none."""


def read_asap(text: bytes, path: Path) -> Annotations:
    """Regions of a file; a spline is taken for the polygon of its points.

    Raises
    ------
    AnnotationError
        It is no XML of ASAP, or a polygon is broken.
    """
    found = Collected(path)
    root, groups, shapes = "", {}, []
    try:
        for event, element in iterparse(BytesIO(text), events=("start", "end"), forbid_dtd=True):
            root = root or element.tag
            if event == "start":
                continue
            if element.tag == "Group":
                groups[element.get("Name", "")] = element.get("PartOfGroup", NONE)
            elif element.tag == "Annotation":
                shapes.append((element.get("Type", ""), element.get("PartOfGroup", NONE), _points(element)))
                element.clear()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise found.fault("is no XML that can be read") from error
    if root != "ASAP_Annotations":
        raise found.fault("is no annotation of ASAP")
    for kind, group, points in shapes:
        if kind in AREAS:
            name, *parents = _line(group, groups) or [""]
            found.add(name, [[points]], tuple(parents))
        else:
            found.skip("without an area")
    return found.done()


def _points(annotation: Element) -> list[tuple[str | None, str | None]]:
    """(x, y) of the outline in the order in which it was drawn, still text."""
    listed = annotation.findall("Coordinates/Coordinate")
    listed.sort(key=lambda point: float(point.get("Order", "0")))
    return [(point.get("X"), point.get("Y")) for point in listed]


def _line(group: str, groups: Mapping[str, str]) -> list[str]:
    """A group and those that it is part of, the nearest first; a circle of groups ends where it closes."""
    line: list[str] = []
    while group not in (NONE, "", *line):
        line.append(group)
        group = groups.get(group, NONE)
    return line
