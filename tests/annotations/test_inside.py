"""Patches inside what was drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely

from napari_wsimil.annotations import Annotations, Region, grid_inside, inside, read_annotations, read_outlines
from napari_wsimil.errors import AnnotationError
from napari_wsimil.patches import patch_grid
from napari_wsimil.patches.grid import PatchGrid
from napari_wsimil.slides import open_slide


def grid(columns=4, rows=3, size=100.0, stride=None):
    down, right = np.divmod(np.arange(columns * rows), columns)
    cells, step = np.stack([right, down], axis=1), stride or size
    ones = np.ones(len(cells), np.float32)
    return PatchGrid((cells * step).astype(np.int64), cells, ones, 0.5, 100, int(step), size, step)


def drawn(*regions, unclassed=()):
    return Annotations(None, regions, {}, tuple(Region("", shape) for shape in unclassed))


def feature(ring, name=None, **properties):
    told = {"objectType": "annotation"} | ({"classification": {"name": name}} if name else {}) | properties
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}, "properties": told}


def square(left, top, side):
    return [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]


@pytest.fixture(name="slide")
def _slide(tiny_slide):
    with open_slide(tiny_slide) as slide:
        yield slide


def test_the_centre_decides():
    # centres of the first row: (50, 50), (150, 50), (250, 50), (350, 50)
    assert inside(grid(rows=1), [[(0, 0), (151, 0), (151, 100), (0, 100)]]).tolist() == [True, True, False, False]
    assert inside(grid(rows=1), [[(0, 0), (149, 0), (149, 100), (0, 100)]]).tolist() == [True, False, False, False]
    assert inside(grid(rows=1), [[(0, 0), (150, 0), (150, 100), (0, 100)]]).tolist() == [
        True,
        True,
        False,
        False,
    ]  # on the edge


def test_outlines_join_and_may_cross_themselves():
    both = [square(0, 0, 60), square(140, 40, 120)]
    assert inside(grid(rows=1), both).tolist() == [True, True, True, False]
    bow = [[(0, 0), (300, 100), (300, 0), (0, 100)]]
    assert inside(grid(rows=1), bow).tolist() == [True, True, True, False]


def test_holes_and_regions_to_leave_out():
    ring = shapely.Polygon([(0, 0), (400, 0), (400, 300), (0, 300)], [[(100, 100), (300, 100), (300, 200), (100, 200)]])
    found = inside(grid(), drawn(Region("tumour", ring), Region("Ignore*", shapely.box(0, 0, 100, 100))))
    assert found.reshape(3, 4).tolist() == [[False, True, True, True], [True, False, False, True], [True] * 4]
    by_parent = drawn(Region("tumour", ring), Region("vessel", shapely.box(0, 0, 400, 300), ("Exclusion",)))
    assert not inside(grid(), by_parent).any()
    assert not inside(grid(), drawn()).any()


def test_regions_without_a_class_count():
    assert inside(grid(rows=1), drawn(unclassed=[shapely.box(100, 0, 200, 100)])).tolist() == [False, True, False, False]


def test_overlapping_patches_and_none():
    assert inside(grid(rows=1, stride=50.0), [square(0, 0, 101)]).tolist() == [True, True, False, False]
    assert inside(grid(0, 0), [square(0, 0, 101)]).shape == (0,)


def test_as_point_by_point():
    random = np.random.default_rng(0)
    places = grid(40, 40, 10.0)
    stars = []
    for _ in range(30):
        angles, reach = np.sort(random.random(200)) * 2 * np.pi, random.random(200) * 60 + 5
        stars.append(random.random(2) * 400 + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    union = shapely.union_all([shapely.make_valid(shapely.Polygon(star), method="structure") for star in stars])
    centres = places.xy + 5.0
    np.testing.assert_array_equal(inside(places, stars), shapely.intersects_xy(union, *centres.T))


def test_qupath_counts_from_the_scanned_area_and_asap_from_the_canvas(tmp_path, slide, monkeypatch):
    monkeypatch.setitem(slide.properties, "openslide.bounds-x", "300")
    monkeypatch.setitem(slide.properties, "openslide.bounds-y", "200")
    (tmp_path / "a.geojson").write_text(json.dumps([feature(square(0, 0, 100), "tumour"), feature(square(500, 0, 10))]))
    area = read_outlines(tmp_path / "a.geojson", slide)
    assert shapely.total_bounds(area.shapes).tolist() == [300, 200, 810, 300]
    points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(square(0, 0, 100)))
    annotation = f'<Annotation Type="Polygon" PartOfGroup="None"><Coordinates>{points}</Coordinates></Annotation>'
    (tmp_path / "a.xml").write_text(f"<ASAP_Annotations><Annotations>{annotation}</Annotations></ASAP_Annotations>")
    assert shapely.total_bounds(read_outlines(str(tmp_path / "a.xml"), slide).shapes).tolist() == [0, 0, 100, 100]
    assert shapely.total_bounds(read_outlines([square(7, 8, 10)], slide).shapes).tolist() == [7, 8, 17, 18]


def test_a_folder_holds_one_file_for_each_slide(tmp_path, slide):
    (tmp_path / f"{slide.name}.geojson").write_text(json.dumps([feature(square(0, 0, 100))]))
    assert read_outlines(tmp_path, slide).source.endswith("tiny.geojson")
    (tmp_path / f"{slide.name}.geojson").unlink()
    with pytest.raises(AnnotationError, match=r"holds no regions for tiny\.tiff; tiny\.geojson was looked for"):
        read_outlines(tmp_path, slide)


def test_the_patches_that_are_left_still_nest(slide):
    coarse, fine = patch_grid(slide, 1.0), patch_grid(slide, 0.5)
    area = read_outlines([square(256, 256, 512)], slide)
    left, finer = grid_inside(coarse, area, slide), grid_inside(fine, area, slide)
    assert (left.xy.tolist(), left.size_level0) == ([[0, 0], [512, 0], [0, 512], [512, 512]], coarse.size_level0)
    assert finer.xy.tolist() == [[256, 256], [512, 256], [256, 512], [512, 512]]
    assert sorted(row for row in left.children(finer).ravel() if row >= 0) == [0, 1, 2, 3]


def test_no_patch_inside_is_one_sentence(slide):
    places = patch_grid(slide, 0.5)
    with pytest.raises(AnnotationError, match=r"No patch of tiny\.tiff at 0\.5 .* smaller than a patch"):
        grid_inside(places, read_outlines([square(0, 0, 20)], slide), slide)
    with pytest.raises(AnnotationError, match=r"beyond the slide \(1536 x 1280 px\)"):
        grid_inside(places, read_outlines([square(90_000, 0, 20)], slide), slide)


@pytest.mark.parametrize(
    "outlines",
    [[], "", [[(0, 0), (1, 1)]], [[0, 1, 2]], [[("a", 0), (1, 1), (2, 2)]], [[(0, 0), (np.nan, 1), (2, 2)]], 7, [None]],
)
def test_what_is_no_outline(slide, outlines):
    with pytest.raises(AnnotationError):
        inside(grid(), outlines)
    if not isinstance(outlines, str):
        with pytest.raises(AnnotationError, match="Give outlines as lists of at least three"):
            read_outlines(outlines, slide)


def test_files_without_regions(tmp_path, slide):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([feature(square(0, 0, 100), "Ignore")]))
    with pytest.raises(AnnotationError, match=r"no region with an area in .*a\.geojson"):
        read_outlines(path, slide)
    with pytest.raises(AnnotationError, match="There is no region with an area in the outlines"):
        read_outlines([[(0, 0), (1, 1), (2, 2)]], slide)
    with pytest.raises(AnnotationError, match=r"b\.geojson can't be read"):
        read_outlines(tmp_path / "b.geojson", slide)


def test_regions_without_a_class_move_along_and_still_count_as_skipped(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([feature(square(0, 0, 100))]))
    found = read_annotations(path, origin=(10, 20))
    assert (found.regions, found.skipped) == ((), {"without a class": 1})
    assert found.unclassed[0].shape.bounds == (10, 20, 110, 120)
