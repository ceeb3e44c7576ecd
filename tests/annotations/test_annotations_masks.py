from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wsimil.annotations import looks_like_annotations
from napari_wsimil.annotations.masks import regions_of_mask

masks = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(masks)
def test_regions_are_the_painted_pixels_exactly(mask):
    regions = regions_of_mask(mask, {1: "a", 2: "b"}, 2.5)
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    centres = shapely.points((columns + 0.5) * 2.5, (rows + 0.5) * 2.5)
    for number, name in ((1, "a"), (2, "b")):
        shapes = [region.shape for region in regions if region.name == name]
        assert all(shape.is_valid and shape.geom_type == "Polygon" for shape in shapes)
        assert sum(shape.area for shape in shapes) == pytest.approx((mask == number).sum() * 2.5**2)
        inside = shapely.contains(shapely.union_all(shapes), centres)
        assert np.array_equal(inside, mask == number)


def test_a_painted_rectangle_has_four_corners():
    mask = np.zeros((50, 60), np.uint8)
    mask[10:40, 5:55] = 3
    (region,) = regions_of_mask(mask, {3: "Tumour"}, 10)
    assert region.shape.equals(shapely.box(50, 100, 550, 400))
    assert len(region.shape.exterior.coords) == 5


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.geojson", '{"type": "FeatureCollection", "features": []}', True),
        ("a.geojson", '[{"type":"Feature"}]', True),
        ("a.geojson", '{"type": "Topology"}', False),
        ("a.xml", '<?xml version="1.0"?>\n<ASAP_Annotations/>', True),
        ("a.xml", "<html/>", False),
        ("a.xml", "", False),
    ],
)
def test_files_are_told_by_their_start(tmp_path, name, text, wanted):
    path = tmp_path / name
    path.write_text(text)
    assert looks_like_annotations(path) is wanted
    assert not looks_like_annotations(tmp_path / "missing.xml")
