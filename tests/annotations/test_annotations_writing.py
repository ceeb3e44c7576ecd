"""Regions written as QuPath and ASAP want them, and read back as they were."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_wsimil as ws
from napari_wsimil.annotations import Region
from napari_wsimil.annotations.classes import class_colour, colours_of, offered_classes
from napari_wsimil.annotations.keyholes import outline
from napari_wsimil.annotations.regions import valid_shape
from napari_wsimil.errors import AnnotationError

HOLED = shapely.Polygon(
    [(0, 0), (100, 0), (100, 100), (0, 100)],
    [[(10, 10), (30, 10), (30, 30), (10, 30)], [(60, 60), (90.25, 60), (90, 90)]],
)
TWO = shapely.MultiPolygon([shapely.box(200, 0, 250.5, 50), shapely.box(300, 0, 350, 50.75)])


def drawn(*regions, unclassed=()):
    return ws.Annotations(Path("here"), tuple(regions), {}, tuple(Region("", shape) for shape in unclassed))


def same(one, other):
    """Whether two sets of regions are the same, but for where a ring starts."""
    pairs = list(zip(one, other, strict=True))
    return all(
        a.name == b.name and a.parents == b.parents and a.shape.normalize().equals_exact(b.shape.normalize(), 1e-6)
        for a, b in pairs
    )


@st.composite
def polygons(draw):
    """A polygon on whole pixels with up to six holes, which may touch each other and the outline in points."""
    size = draw(st.integers(8, 40))
    shape = shapely.box(0, 0, size, size)
    for _ in range(draw(st.integers(0, 6))):
        points = draw(st.lists(st.tuples(st.integers(0, size), st.integers(0, size)), min_size=3, max_size=5, unique=True))
        shape = shape.difference(shapely.MultiPoint(points).convex_hull)
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    whole = max(parts, key=lambda part: part.area, default=shapely.box(0, 0, size, size))
    # what was cut has corners between pixels: files hold hundredths
    whole = shapely.set_precision(whole, 0.01)
    return whole if whole.geom_type == "Polygon" and not whole.is_empty else shapely.box(0, 0, size, size)


@settings(max_examples=80, deadline=None)
@given(polygons())
def test_one_line_around_a_polygon_and_its_holes_is_that_polygon(polygon):
    line = outline(polygon)
    assert {tuple(point) for point in line} == {tuple(point) for point in shapely.get_coordinates(polygon)}
    again = valid_shape([shapely.Polygon(line)])
    assert again.symmetric_difference(polygon).area == pytest.approx(0, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(polygons(), st.tuples(st.integers(-500, 500), st.integers(-500, 500)), st.sampled_from([".geojson", ".xml"]))
def test_what_is_written_is_read_back(tmp_path_factory, polygon, origin, suffix):
    path = tmp_path_factory.mktemp("written") / f"a{suffix}"
    regions = drawn(
        Region("Tumour", polygon), Region("Tumour: necrotic", HOLED, ("Tumour",)), unclassed=[shapely.box(0, 0, 9, 9)]
    )
    found = ws.read_annotations(ws.write_annotations(regions, path, origin=origin))
    for one, other in zip(found.regions + found.unclassed, regions.regions + regions.unclassed, strict=True):
        assert (one.name, one.parents) == (other.name, other.parents)
        assert one.shape.symmetric_difference(other.shape).area == pytest.approx(0, abs=1e-5)


def test_geojson_is_what_qupath_reads(tmp_path):
    regions = drawn(Region("Tumour", HOLED), Region("Ignore*", TWO), Region("a: b", shapely.box(0, 0, 9, 9), ("a",)))
    path = ws.write_annotations(regions, tmp_path / "a.geojson", origin=(10, 20), colours={"Ignore*": (1, 2, 3)})
    tumour, ignore, derived = json.loads(path.read_text())["features"]
    assert tumour["properties"] == {"objectType": "annotation", "classification": {"name": "Tumour", "color": [200, 0, 0]}}
    assert tumour["geometry"]["type"] == "Polygon"
    assert len(tumour["geometry"]["coordinates"]) == 3
    rings = [np.array(ring) for ring in tumour["geometry"]["coordinates"]]
    assert all((ring[0] == ring[-1]).all() for ring in rings)
    assert rings[0].min(axis=0).tolist() == [-10, -20]
    assert ignore["geometry"]["type"] == "MultiPolygon"
    assert ignore["properties"]["classification"] == {"name": "Ignore*", "color": [1, 2, 3]}
    assert derived["properties"]["classification"]["names"] == ["a", "b"]
    assert len({one["id"] for one in (tumour, ignore, derived)}) == 3
    found = ws.read_annotations(path)
    assert same(found.regions, regions.regions)
    again = ws.write_annotations(found, tmp_path / "again.geojson", origin=(10, 20), colours={"Ignore*": (1, 2, 3)})
    assert again.read_text() == path.read_text()


def test_asap_declares_every_group(tmp_path):
    regions = drawn(
        Region("inner", shapely.box(0, 0, 9, 9), ("Tumour", "All")),
        Region("inner", HOLED, ("Stroma",)),
        Region("x\x01", TWO),
        unclassed=[shapely.box(0, 0, 5, 5)],
    )
    path = ws.write_annotations(regions, tmp_path / "a.xml", origin=(1000, 1000))
    root = ET.parse(path).getroot()
    groups = {group.get("Name"): group.get("PartOfGroup") for group in root.iter("Group")}
    used = {one.get("PartOfGroup") for one in root.iter("Annotation")}
    assert groups == {
        "All": "None",
        "Tumour": "All",
        "inner": "Tumour",
        "Stroma": "None",
        "Stroma: inner": "Stroma",
        "x": "None",
    }
    assert used == {"inner", "Stroma: inner", "x", "None"}
    holed = list(root.iter("Annotation"))[1]
    points = list(holed.iter("Coordinate"))
    assert [point.get("Order") for point in points] == [str(order) for order in range(len(points))]
    assert (points[0].get("X"), points[0].get("Y")) != (points[-1].get("X"), points[-1].get("Y"))
    found = ws.read_annotations(path)
    assert [region.name for region in found.regions] == ["inner", "Stroma: inner", "x", "x"]
    assert found.regions[0].parents == ("Tumour", "All")
    assert found.regions[1].shape.equals(HOLED)
    assert len(found.unclassed) == 1


def test_a_hole_that_another_class_fills_stays_that_class(tmp_path):
    hole = shapely.Polygon(HOLED.interiors[0])
    path = ws.write_annotations(drawn(Region("Tumour", HOLED), Region("Stroma", hole)), tmp_path / "a.xml")
    found = {region.name: region.shape for region in ws.read_annotations(path).regions}
    assert found["Tumour"].area == HOLED.area
    assert found["Stroma"].equals(hole)


def test_nothing_is_half_written(tmp_path):
    with pytest.raises(AnnotationError, match=r"give it the suffix .geojson for QuPath or .xml for ASAP"):
        ws.write_annotations(drawn(), tmp_path / "a.txt")
    with pytest.raises(AnnotationError, match="can't be written"):
        ws.write_annotations(drawn(), tmp_path / "no folder" / "a.xml")
    assert not list(tmp_path.iterdir())


def test_every_class_has_a_colour_of_its_own():
    names = [one.name for one in offered_classes(("normal", "tumour"))]
    assert names == ["normal", "tumour", "Stroma", "Necrosis", "Artefact", "Ignore*"]
    assert len({one.colour for one in offered_classes(("normal", "tumour"))}) == 6
    assert colours_of(["Tumor"])["Tumor"] == class_colour("tumour", 0) == (200, 0, 0)
    assert len(set(colours_of([f"class {index}" for index in range(6)]).values())) == 6
