"""ASAP's XML of regions: a group for each class, level-0 pixels of the whole canvas, rings not closed.

ASAP knows no holes: a polygon with holes is written as one line that leads into each hole and back. So nothing is lost, also
where another class fills the hole, which a polygon in a group "Exclusion" would cut out too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
import shapely

from napari_wsimil.annotations.asap import NONE
from napari_wsimil.annotations.keyholes import outline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.annotations.classes import Colour
    from napari_wsimil.annotations.regions import Annotations, Region

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML can't hold."""


def asap_text(annotations: Annotations, colours: Mapping[str, Colour]) -> str:
    """All regions, each polygon of them by itself; those without a class in no group."""
    groups = _Groups()
    root = Element("ASAP_Annotations")
    drawn = SubElement(root, "Annotations")
    for region in (*annotations.regions, *annotations.unclassed):
        group = groups.of(region)
        colour = _hex(colours.get(region.name))
        for polygon in shapely.get_parts(region.shape):
            about = {"Name": f"Annotation {len(drawn)}", "Type": "Polygon", "PartOfGroup": group, "Color": colour}
            _add_line(SubElement(drawn, "Annotation", about), polygon)
    listed = SubElement(root, "AnnotationGroups")
    for name, parent in groups.parents.items():
        about = {"Name": name, "PartOfGroup": parent, "Color": _hex(colours.get(name))}
        SubElement(SubElement(listed, "Group", about), "Attributes")
    indent(root, " ")
    return '<?xml version="1.0"?>\n' + tostring(root, encoding="unicode") + "\n"


def _add_line(annotation: Element, polygon: shapely.Polygon) -> None:
    points = SubElement(annotation, "Coordinates")
    for order, (x, y) in enumerate(np.round(outline(polygon), 2).tolist()):
        SubElement(points, "Coordinate", {"Order": str(order), "X": str(x), "Y": str(y)})


class _Groups:
    """The groups, each in one other at most."""

    def __init__(self) -> None:
        self.parents: dict[str, str] = {}

    def of(self, region: Region) -> str:
        """The group of a region; it and those that it is part of are declared, else ASAP drops the whole file."""
        line = [_clean(name) for name in (region.name, *region.parents) if name]
        group = NONE
        for name in reversed(line):
            if self.parents.get(name, group) != group:  # of that name in another group
                name = f"{group}: {name}"
            self.parents.setdefault(name, group)
            group = name
        return group


def _clean(name: str) -> str:
    return _FORBIDDEN.sub("", name)


def _hex(colour: Colour | None) -> str:
    return "#" + bytes(colour or (100, 100, 100)).hex()
