"""Polygons drawn on slides: read from files of QuPath and ASAP, and what they say of patches, by hand-computed areas."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import shapely

from napari_wsimil.annotations import Region, files, patch_classes, patch_labels, read_annotations
from napari_wsimil.annotations.coverage import unmatched
from napari_wsimil.annotations.shapes import PatchBoxes, covered_shares, merged, without
from napari_wsimil.errors import AnnotationError
from napari_wsimil.patches.grid import PatchGrid

CLASSES = ("normal", "tumour")


def grid(columns=4, rows=3, size=100.0):
    down, right = np.divmod(np.arange(columns * rows), columns)
    cells = np.stack([right, down], axis=1)
    ones = np.ones(len(cells), np.float32)
    return PatchGrid((cells * size).astype(np.int64), cells, ones, 0.5, 100, 100, size, size)


def shares_of(shapes, places):
    return covered_shares(shapes, PatchBoxes(places, shapes))


def box(left, top, right, bottom, name="tumour", parents=()):
    return Region(name, shapely.box(left, top, right, bottom), parents)


def ring(*points):
    return [[list(point) for point in (*points, points[0])]]


def feature(coordinates, classification="Tumour", kind="Polygon", **properties):
    told = {"objectType": "annotation"} | ({} if classification is None else {"classification": classification}) | properties
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": told}


SQUARE = ring((0, 0), (100, 0), (100, 100), (0, 100))


def written(folder, data, name="drawn.geojson"):
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


# -- shares ------------------------------------------------------------------------------------------------------------------


def test_shares_are_exact_areas():
    triangle = shapely.Polygon([(0, 0), (200, 0), (0, 200)])
    holed = shapely.Polygon([(200, 0), (400, 0), (400, 100), (200, 100)], [[(250, 25), (350, 25), (350, 75), (250, 75)]])
    shares = shares_of(merged([triangle, holed]), grid())
    # the triangle covers its first patch but for nothing, its neighbours by half; the hole takes a quarter of two patches
    assert shares.reshape(3, 4)[:2] == pytest.approx(np.array([[1, 0.5, 0.75, 0.75], [0.5, 0, 0, 0]]))
    assert not shares.reshape(3, 4)[2].any()


def test_what_overlaps_counts_once():
    shares = shares_of(merged([shapely.box(0, 0, 60, 100), shapely.box(40, 0, 80, 100)]), grid(1, 1))
    assert shares == pytest.approx([0.8])


def test_polygons_of_many_points_are_as_exact():
    angle = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    radius = 140 * (1 + 0.2 * np.sin(9 * angle))
    shape = shapely.Polygon(np.stack([200 + radius * np.cos(angle), 150 + radius * np.sin(angle)], axis=1))
    places = grid()
    boxes = [shapely.box(x, y, x + 100, y + 100) for x, y in places.xy]
    wanted = [shape.intersection(one).area / 1e4 for one in boxes]
    assert shares_of(merged([shape]), places) == pytest.approx(wanted, abs=1e-9)
    cut = shapely.box(180, 100, 260, 320)
    wanted = [shape.difference(cut).intersection(one).area / 1e4 for one in boxes]
    assert shares_of(without(merged([shape]), merged([cut])), places) == pytest.approx(wanted, abs=1e-9)


def test_patches_whose_side_is_no_whole_number():
    places = grid(2, 1, size=128.5)
    assert shares_of(merged([shapely.box(0, 0, 64.25, 128.5)]), places) == pytest.approx([0.5, 0])


# -- what shares mean ---------------------------------------------------------------------------------------------------------


def test_a_patch_is_of_the_class_that_covers_half_of_it():
    labels = patch_labels([box(0, 0, 150, 100), box(200, 0, 249, 100), box(300, 0, 400, 100, "Normal")], grid(), CLASSES)
    assert labels[:4].tolist() == [1, 1, -1, 0]
    assert (labels[4:] == -1).all()


def test_the_least_share_can_be_chosen():
    regions = [box(0, 0, 30, 100)]
    assert patch_labels(regions, grid(1, 1), CLASSES, 0.3).tolist() == [1]
    assert patch_labels(regions, grid(1, 1), CLASSES, 0.31).tolist() == [-1]


def test_of_two_classes_the_greater_share_wins_and_a_tie_leaves_both():
    classes = ("a", "b", "c")
    greater = [box(0, 0, 100, 100, "a"), box(0, 0, 60, 100, "b")]
    assert patch_labels(greater, grid(1, 1), classes).tolist() == [0]
    tie = [box(0, 0, 100, 100, "a"), box(0, 0, 100, 100, "b")]
    assert patch_classes(tie, grid(1, 1), classes).tolist() == [[True, True, False]]
    assert patch_labels(tie, grid(1, 1), classes).tolist() == [-1]


@pytest.mark.parametrize("name", ["!tumour", "not Tumour", " !Tumour "])
def test_what_a_patch_is_not(name):
    region = [box(0, 0, 100, 100, name)]
    assert patch_labels(region, grid(1, 1), CLASSES).tolist() == [0]  # of two classes the other one is left
    allowed = patch_classes(region, grid(2, 1), ("normal", "tumour", "necrosis"))
    assert allowed.tolist() == [[True, False, True], [True, True, True]]


def test_what_is_not_of_a_class_is_cut_out_of_it():
    regions = [box(0, 0, 200, 100), box(0, 0, 60, 100, "!tumour")]
    assert patch_labels(regions, grid(2, 1), CLASSES).tolist() == [0, 1]


def test_neither_of_all_classes_is_nothing_known():
    regions = [box(0, 0, 100, 100, "!tumour"), box(0, 0, 100, 100, "!normal")]
    assert patch_classes(regions, grid(1, 1), CLASSES).tolist() == [[True, True]]


@pytest.mark.parametrize("name", ["ignore", "Ignore*", "Exclusion"])
def test_ignored_places_are_nobodys(name):
    regions = [box(0, 0, 200, 100), box(0, 0, 60, 100, name)]
    assert patch_labels(regions, grid(2, 1), CLASSES).tolist() == [-1, 1]


def test_the_rest_of_a_slide_that_is_annotated_completely():
    regions = [box(0, 0, 110, 100), box(200, 0, 300, 100, "ignore"), box(300, 0, 400, 100, "exclusion")]
    # tumour; touched by it; ignored; a hole is as if nothing was drawn
    assert patch_labels(regions, grid(4, 1), CLASSES, rest="Normal").tolist() == [1, -1, -1, 0]
    assert patch_labels([], grid(2, 1), CLASSES, rest="normal").tolist() == [0, 0]


def test_names_may_differ_and_parents_stand_in():
    regions = [box(0, 0, 100, 100, "_0"), box(0, 0, 50.5, 100, "_2"), box(100, 0, 200, 100, "Tumour: necrotic", ("Tumour",))]
    names = {"_0": "tumour", "_2": "exclusion"}
    assert patch_labels(regions, grid(2, 1), CLASSES, names=names).tolist() == [-1, 1]
    assert unmatched(regions, CLASSES) == {"_0": 1, "_2": 1}
    assert unmatched(regions, CLASSES, names) == {}


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"rest": "fat"}, "none of normal, tumour"),
        ({"names": {"_0": "fat"}}, "can't stand for 'fat'"),
        ({"min_share": 0.0}, "makes no sense"),
        ({"min_share": 1.5}, "makes no sense"),
    ],
)
def test_choices_that_make_no_sense(choices, words):
    with pytest.raises(AnnotationError, match=words):
        patch_classes([], grid(1, 1), CLASSES, **choices)


# -- QuPath ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda f: {"type": "FeatureCollection", "features": [f]}, lambda f: [f], lambda f: f])
@pytest.mark.parametrize(
    "classification", ["Tumour", {"name": "Tumour", "color": [200, 0, 0]}, {"names": ["Tumour"], "colorRGB": -1}]
)
def test_geojson_in_all_its_forms(tmp_path, wrap, classification):
    found = read_annotations(written(tmp_path, wrap(feature(SQUARE, classification))))
    assert found.names == ("Tumour",)
    assert found.regions[0].shape.area == 1e4


def test_geojson_packed_and_with_a_mark_of_byte_order(tmp_path):
    path = tmp_path / "drawn.geojson.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps([feature(SQUARE)]).encode()))
    assert len(read_annotations(path).regions) == 1


def test_holes_several_polygons_children_and_wider_classes(tmp_path):
    hole = SQUARE + ring((25, 25), (75, 25), (75, 75), (25, 75))
    several = [hole, ring((200, 0), (300, 0), (300, 100), (200, 100))]
    parent = feature(several, {"names": ["Tumour", "necrotic", "old"], "color": [0, 0, 0]}, "MultiPolygon")
    parent["childObjects"] = [feature(SQUARE, "Stroma")]
    first, second = read_annotations(written(tmp_path, parent)).regions
    assert first.shape.area == 7500 + 1e4
    assert (first.name, first.parents) == ("Tumour: necrotic: old", ("Tumour: necrotic", "Tumour"))
    assert second.name == "Stroma"


def test_an_ellipse_is_the_one_in_its_box(tmp_path):
    drawn = feature(SQUARE)
    drawn["geometry"]["isEllipse"] = True
    assert read_annotations(written(tmp_path, drawn)).regions[0].shape.area == pytest.approx(np.pi * 2500, rel=1e-3)


def test_lines_that_cross_themselves_have_the_area_they_enclose(tmp_path):
    bow = ring((0, 0), (100, 100), (100, 0), (0, 100))
    assert read_annotations(written(tmp_path, feature(bow))).regions[0].shape.area == pytest.approx(5000)


def test_what_takes_no_part_is_counted(tmp_path):
    path = written(
        tmp_path,
        [
            feature(SQUARE, objectType="tile"),
            feature(SQUARE, objectType="detection"),
            feature(SQUARE, None),
            feature([5, 5], kind="Point"),
            feature(ring((0, 0), (10, 0))),
            feature(SQUARE, isLocked=True, metadata={"model": "abmil"}),
            feature(SQUARE),
        ],
    )
    found = read_annotations(path)
    assert len(found.regions) == 1
    assert found.skipped == {
        "of the kind 'tile'": 1,
        "of the kind 'detection'": 1,
        "without a class": 1,
        "without an area": 2,
        "drawn by a model": 1,
    }


def test_qupath_counts_from_the_scanned_area(tmp_path):
    path = written(tmp_path, [feature(SQUARE)])
    assert read_annotations(path, origin=(1000, 2000)).regions[0].shape.bounds == (1000, 2000, 1100, 2100)
    collection = {"type": "FeatureCollection", "features": [feature(SQUARE)]}
    collection["wsimil"] = {"provenance": {"slide": {"origin": [7, 8]}}}
    assert read_annotations(written(tmp_path, collection), origin=(1, 1)).regions[0].shape.bounds == (7, 8, 107, 108)


def test_our_own_export_comes_back_where_it_was(tmp_path, random_model, tiny_slide):
    import napari_wsimil as ws

    prediction = ws.predict(tiny_slide, random_model)
    prediction.provenance["slide"]["origin"] = [300, 200]
    text = (ws.export(prediction, tmp_path / "out.geojson", top=3)).read_text()
    collection = json.loads(text)
    for one in collection["features"]:
        one["properties"].pop("isLocked", None)  # somebody took it over in QuPath
    drawn = read_annotations(written(tmp_path, collection))
    best = next(iter(prediction.attention.values())).top(3)
    assert sorted(region.shape.bounds[:2] for region in drawn.regions) == sorted(map(tuple, best.xy.astype(float).tolist()))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "holds no annotations"),
        ("tumour", "holds no annotations"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ({"type": "Topology"}, "no GeoJSON features"),
        ([1], "no GeoJSON feature"),
        ([feature(None)], "without coordinates"),
        ([feature([])], "no list of rings"),
        ([feature([[[0, 0], [1], [1, 1]]])], "points are no"),
        ([feature([[["a", 0], [1, 0], [1, 1]]])], "no numbers"),
        ([feature([[[0, 0, 0]]])], None),
        ([feature([[0, 1, 2]])], "no pairs"),
        (
            '[{"type":"Feature","properties":{"classification":"a"},"geometry":{"type":"Polygon","coordinates":[[[0,0],[NaN,1],[1,1]]]}}]',
            "no slide has",
        ),
        ([feature([[[0, 0], [1e12, 0], [1, 1]]])], "no slide has"),
        ([feature("abc")], "without coordinates"),
    ],
)
def test_broken_geojson_is_one_sentence(tmp_path, data, words):
    path = written(tmp_path, data)
    if words is None:
        assert not read_annotations(path).regions
        return
    with pytest.raises(AnnotationError, match=words) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)


def test_files_that_are_missing_cut_or_too_large(tmp_path, monkeypatch):
    with pytest.raises(AnnotationError, match="can't be read"):
        read_annotations(tmp_path / "none.geojson")
    whole = gzip.compress(b"[" + b" " * 5000 + b"]")
    (tmp_path / "cut.gz").write_bytes(whole[:-12])
    with pytest.raises(AnnotationError, match="can't be read"):
        read_annotations(tmp_path / "cut.gz")
    (tmp_path / "large.gz").write_bytes(whole)
    monkeypatch.setattr(files, "LARGEST", 1000)
    with pytest.raises(AnnotationError, match="MB of text"):
        read_annotations(tmp_path / "large.gz")


# -- ASAP --------------------------------------------------------------------------------------------------------------------


def asap(*shapes, groups='<Group Name="Tumour" PartOfGroup="None"/>'):
    listed = "".join(
        f'<Annotation Name="a" Type="{kind}" PartOfGroup="{group}"><Coordinates>'
        + "".join(f'<Coordinate Order="{order}" X="{x}" Y="{y}"/>' for order, x, y in points)
        + "</Coordinates></Annotation>"
        for kind, group, points in shapes
    )
    return (
        '<?xml version="1.0"?><ASAP_Annotations><Annotations>'
        f"{listed}</Annotations><AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>"
    )


CORNERS = [(0, 0, 0), (2, 100, 100), (1, 100, 0), (3, 0, 100.5)]


def test_asap(tmp_path):
    groups = '<Group Name="old" PartOfGroup="Tumour"/><Group Name="Tumour" PartOfGroup="None"/>'
    shapes = [
        ("Polygon", "old", CORNERS),
        ("Spline", "Tumour", CORNERS),
        ("Dot", "Tumour", CORNERS[:1]),
        ("Polygon", "None", CORNERS),
    ]
    found = read_annotations(written(tmp_path, asap(*shapes, groups=groups), "a.xml"), origin=(999, 999))
    assert [(region.name, region.parents) for region in found.regions] == [("old", ("Tumour",)), ("Tumour", ())]
    # in the order of `Order`, and from the corner of the canvas whatever QuPath would do
    assert found.regions[0].shape.area == pytest.approx(10025)
    assert found.skipped == {"without an area": 1, "without a class": 1}
    assert patch_labels(found.regions, grid(1, 1), CLASSES).tolist() == [1]


def test_groups_in_a_circle_end(tmp_path):
    groups = '<Group Name="a" PartOfGroup="b"/><Group Name="b" PartOfGroup="a"/>'
    found = read_annotations(written(tmp_path, asap(("Polygon", "a", CORNERS), groups=groups)))
    assert found.regions[0].parents == ("b",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<ASAP_Annotations>", "no XML"),
        ("<other/>", "no annotation of ASAP"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><ASAP_Annotations>&a;</ASAP_Annotations>', "no XML"),
        (asap(("Polygon", "a", [("x", 0, 0)])), "no XML"),
        (asap(("Polygon", "a", [(0, "one", 0), (1, 2, 3), (2, 3, 4)])), "no numbers"),
        (asap(("Polygon", "a", [(0, "inf", 0), (1, 2, 3), (2, 3, 4)])), "no slide has"),
    ],
)
def test_broken_asap_is_one_sentence(tmp_path, text, words):
    with pytest.raises(AnnotationError, match=words):
        read_annotations(written(tmp_path, text, "a.xml"))


# -- generated slides ----------------------------------------------------------------------------------------------------------


def test_generated_slides_agree_with_their_truth(tmp_path):
    import napari_wsimil as ws
    from napari_wsimil.patches import patch_grid
    from napari_wsimil.samples import make_sample_slide, read_truth, tumour_fraction
    from napari_wsimil.samples._truth import truth_path

    path = make_sample_slide(tmp_path / "slide.tiff", kind="tumour", seed=0, size=3072)
    with ws.open_slide(path) as slide:
        places = patch_grid(slide, mpp=0.5)
    drawn = read_annotations(truth_path(path))
    shares = shares_of(merged([region.shape for region in drawn.regions]), places)
    points = tumour_fraction(read_truth(path), places.xy, places.size_level0, steps=16)
    assert np.abs(shares - points).max() < 0.06  # points on a grid miss the edge by this much
    clear = np.abs(points - 0.5) > 0.06
    labels = patch_labels(drawn.regions, places, CLASSES, rest="normal")
    assert ((labels == 1) == (points > 0.5))[clear].all()
    assert (labels == 1).any()
