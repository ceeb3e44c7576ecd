"""Polygons lie on the tissue they name: a slide with dark squares at known places, from pixels to GeoJSON."""

import geojson
import numpy as np
import pytest
import shapely
import tifffile

import napari_wsimil as ws
from napari_wsimil.inference.prediction import PatchScores, SlidePrediction

SQUARES = [(512, 768, 1024, 1280), (1536, 256, 1792, 512)]  # x0, y0, x1, y1 in level-0 pixels


@pytest.fixture(scope="module", name="slide_path")
def _slide_path(tmp_path_factory):
    """2048 x 1536 px at 0.25 µm: a pale pink field with two dark squares, in three levels."""
    pixels = np.full((1536, 2048, 3), (235, 190, 215), np.uint8)
    for x0, y0, x1, y1 in SQUARES:
        pixels[y0:y1, x0:x1] = (70, 40, 110)
    path = tmp_path_factory.mktemp("slide") / "squares.tiff"
    with tifffile.TiffWriter(path) as writer:
        for level in range(3):
            per_cm = 1e4 / 0.25 / 2**level
            options = {"subfiletype": 1} if level else {}
            writer.write(
                np.ascontiguousarray(pixels[:: 2**level, :: 2**level]),
                tile=(256, 256),
                photometric="rgb",
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                **options,
            )
    return path


PINK, DARK = np.mean((235, 190, 215)), np.mean((70, 40, 110))
TRUTH = shapely.union_all([shapely.box(*square) for square in SQUARES])


def predicted(slide_path, mpp, size):
    """A "model" that says of each patch how much of it is dark, from the patch's own pixels, and attends to dark patches."""
    with ws.open_slide(slide_path) as slide:
        patches = ws.patch_grid(slide, mpp=mpp, size=size)
        pixels = slide.read_patches(patches.xy, size, mpp)
        about = {"fingerprint": slide.fingerprint, "mpp": slide.mpp}
    brightness = pixels.mean(axis=(1, 2, 3))
    # White beyond the slide's edge is brighter than pink, and just as little dark.
    dark = np.clip((PINK - brightness) / (PINK - DARK), 0, 1).astype(np.float32)
    attention = PatchScores(patches.xy, patches.size_level0, (dark / dark.sum()).astype(np.float32))
    instances = PatchScores(patches.xy, patches.size_level0, dark[:, None])
    return SlidePrediction({"dark": 1.0}, {mpp: attention}, {mpp: instances}, provenance={"slide": about})


def tiles_of(path):
    features = geojson.loads(path.read_text())["features"]
    return [(shapely.geometry.shape(tile["geometry"]), tile["properties"]["measurements"]) for tile in features]


@pytest.mark.parametrize(("mpp", "size"), [(0.5, 64), (0.5, 100), (0.3, 96), (1.1, 33)])
def test_every_polygon_lies_on_the_tissue_its_patch_saw(slide_path, tmp_path, mpp, size):
    path = ws.export(predicted(slide_path, mpp, size), tmp_path / "a.geojson", top=0, threshold=0)
    tiles = tiles_of(path)
    assert len(tiles) > 50
    inside = shapely.box(0, 0, 2048, 1536)
    for polygon, measured in tiles:
        assert polygon.area == pytest.approx((size * mpp / 0.25) ** 2, rel=1e-3)
        if inside.buffer(1).covers(polygon):
            overlap = polygon.intersection(TRUTH).area / polygon.area
            assert measured["prob: dark"] == pytest.approx(overlap, abs=0.03)


def test_the_default_threshold_draws_just_the_dark_squares(slide_path, tmp_path):
    path = ws.export(predicted(slide_path, 0.5, 64), tmp_path / "a.geojson", top=0)
    drawn = shapely.union_all([polygon for polygon, _ in tiles_of(path)])
    assert drawn.symmetric_difference(TRUTH).area == 0


def test_the_top_boxes_lie_on_dark_tissue(slide_path, tmp_path):
    path = ws.export(predicted(slide_path, 0.3, 96), tmp_path / "a.geojson", top=5, threshold=1)
    boxes = [polygon for polygon, measured in tiles_of(path)[:5]]
    assert all(TRUTH.covers(box) for box in boxes)
