import csv
import json
import math
from uuid import UUID

import geojson
import numpy as np
import pytest
import shapely
from defusedxml import ElementTree

import napari_wsimil as ws
from napari_wsimil.errors import ExportError
from napari_wsimil.exports import FORMATS
from napari_wsimil.inference.prediction import PatchScores, SlidePrediction

CLASSES = ("normal", "tumour")


def grid(columns, rows, size):
    """Row-major top-left corners of a grid whose step need not be whole."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    return np.rint(np.stack([x.ravel(), y.ravel()], axis=1) * size).astype(np.int64)


def prediction_of(weights, size=256.0, columns=4, *, tumour=None, origin=(0, 0), mpp=0.5):
    weights = np.asarray(weights, np.float32)
    xy = grid(columns, len(weights) // columns, size)
    probability = np.asarray(weights > 1 / len(weights) if tumour is None else tumour, np.float32)
    return SlidePrediction(
        probabilities={"normal": 0.25, "tumour": 0.75},
        attention={mpp: PatchScores(xy, size, weights)},
        instances={mpp: PatchScores(xy, size, np.stack([1 - probability, probability], axis=1))},
        provenance={
            "slide": {"path": "/clinic/ward 7/a.svs", "fingerprint": "f00d", "mpp": [0.25, 0.5], "origin": list(origin)},
            "model": {"id": "bundled", "digest": "beef", "positive_class": "tumour"},
        },
    )


def features(path, kind):
    collection = geojson.loads(path.read_text(encoding="utf-8"))
    assert collection.is_valid
    return [feature for feature in collection["features"] if feature["properties"]["objectType"] == kind]


WEIGHTS = [0.3, 0.02, 0.05, 0.03, 0.25, 0.05, 0.1, 0.2]


def test_tiles_are_the_patches_with_more_than_an_even_share(tmp_path):
    path = ws.export(prediction_of(WEIGHTS), tmp_path / "a.geojson")
    boxes = [shapely.geometry.shape(feature["geometry"]).bounds for feature in features(path, "tile")]
    assert boxes == [(0, 0, 256, 256), (0, 256, 256, 512), (768, 256, 1024, 512)]


@pytest.mark.parametrize(("threshold", "count"), [(0, 8), (0.5, 6), (0.8, 2), (1, 1)])
def test_threshold_is_a_percentile(tmp_path, threshold, count):
    path = ws.export(prediction_of(WEIGHTS), tmp_path / "a.geojson", threshold=threshold)
    tiles = features(path, "tile")
    assert len(tiles) == count
    assert min(tile["properties"]["measurements"]["attention percentile"] for tile in tiles) >= threshold


def test_top_patches_are_locked_annotations_best_first(tmp_path):
    path = ws.export(prediction_of(WEIGHTS), tmp_path / "a.geojson", top=3)
    found = features(path, "annotation")
    assert [box["properties"]["name"] for box in found] == ["Attention 1", "Attention 2", "Attention 3"]
    assert [box["properties"]["measurements"]["attention"] for box in found] == [0.3, 0.25, 0.2]
    assert all(box["properties"]["isLocked"] for box in found)
    assert found[1]["geometry"]["coordinates"][0] == [[0, 256], [256, 256], [256, 512], [0, 512], [0, 256]]
    assert features(ws.export(prediction_of(WEIGHTS), tmp_path / "b.geojson", top=0), "annotation") == []


def test_rings_are_closed_and_rounded_for_a_patch_that_is_not_whole(tmp_path):
    size = 253.9683  # 256 px at 0.5 µm on a slide of 0.504 µm
    path = ws.export(prediction_of(WEIGHTS, size), tmp_path / "a.geojson", threshold=0)
    tiles = features(path, "tile")
    ring = tiles[6]["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1] == [508.0, 254.0]
    assert ring[2] == [761.97, 507.97]
    for tile in tiles:
        assert shapely.geometry.shape(tile["geometry"]).area == pytest.approx(size**2, rel=1e-4)


def test_coordinates_start_at_the_scanned_area_as_in_qupath(tmp_path):
    path = ws.export(prediction_of(WEIGHTS, origin=(100, 200)), tmp_path / "a.geojson", top=1)
    assert features(path, "annotation")[0]["geometry"]["coordinates"][0][0] == [-100, -200]


def test_classification_is_the_most_probable_class_with_its_colour(tmp_path):
    path = ws.export(prediction_of(WEIGHTS, tumour=[1, 0, 0, 0, 0.2, 0, 0, 0.9]), tmp_path / "a.geojson")
    kinds = [tile["properties"]["classification"] for tile in features(path, "tile")]
    tumour, normal = {"name": "tumour", "color": [200, 0, 0]}, {"name": "normal", "color": [150, 200, 150]}
    assert kinds == [tumour, normal, tumour]


def test_other_classes_have_colours_that_differ(tmp_path):
    names = ("LUAD", "LUSC", "mesothelioma")
    xy = grid(3, 1, 64)
    prediction = SlidePrediction(
        dict.fromkeys(names, 1 / 3),
        {1.0: PatchScores(xy, 64, np.float32([0.2, 0.3, 0.5]))},
        {1.0: PatchScores(xy, 64, np.eye(3))},
    )
    tiles = features(ws.export(prediction, tmp_path / "a.geojson", threshold=0), "tile")
    assert [tile["properties"]["classification"]["name"] for tile in tiles] == list(names)
    assert len({tuple(tile["properties"]["classification"]["color"]) for tile in tiles}) == 3


def test_measurements_are_numbers_by_name(tmp_path):
    path = ws.export(prediction_of(WEIGHTS, tumour=np.linspace(0, 1, 8)), tmp_path / "a.geojson")
    first = features(path, "tile")[0]["properties"]["measurements"]
    assert first == {"attention": 0.3, "attention percentile": 1.0, "prob: normal": 1.0, "prob: tumour": 0.0, "mpp": 0.5}


def test_numbers_that_json_lacks_are_strings(tmp_path):
    prediction = prediction_of(WEIGHTS, tumour=[math.nan, 0, 0, 0, math.inf, 0, 0, 1])
    text = ws.export(prediction, tmp_path / "a.geojson").read_text()

    def refuse(token):
        raise AssertionError(f"bare {token}")

    tiles = [
        feature["properties"] for feature in json.loads(text, parse_constant=refuse)["features"] if "Patch" in str(feature)
    ]
    tiles = [tile for tile in tiles if tile["objectType"] == "tile"]
    assert [tile["measurements"]["prob: tumour"] for tile in tiles] == ["NaN", "Infinity", 1.0]
    assert tiles[1]["measurements"]["prob: normal"] == "-Infinity"
    assert "classification" not in tiles[0]


def test_a_patch_without_attention_is_neither_on_top_nor_above(tmp_path):
    path = ws.export(prediction_of([math.nan, *WEIGHTS[1:]]), tmp_path / "a.geojson", top=8)
    assert len(features(path, "annotation")) == 7
    assert [tile["properties"]["name"] for tile in features(path, "tile")] == ["Patch 4", "Patch 7"]


def test_a_model_without_attention_exports_every_patch(tmp_path):
    with_attention = prediction_of(WEIGHTS)
    prediction = SlidePrediction(with_attention.probabilities, {}, with_attention.instances)
    path = ws.export(prediction, tmp_path / "a.geojson")
    assert len(features(path, "tile")) == 8
    names = [one["properties"]["name"] for one in features(path, "annotation")]
    assert names[:2] == ["Tumour probability 1", "Tumour probability 2"]
    assert features(path, "tile")[0]["properties"]["measurements"]["attention"] == "NaN"


def test_ids_are_uuids_that_stay(tmp_path):
    one, two = (
        features(ws.export(prediction_of(WEIGHTS), tmp_path / name, threshold=0), kind)
        for name, kind in (("a.geojson", "tile"), ("b.geojson", "tile"))
    )
    ids = [tile["id"] for tile in one]
    assert ids == [tile["id"] for tile in two]
    boxes = [box["id"] for box in features(tmp_path / "a.geojson", "annotation")]
    assert len({UUID(text) for text in ids + boxes}) == 16


def test_provenance_travels_along(tmp_path):
    path = ws.export(prediction_of(WEIGHTS), tmp_path / "a.geojson")
    about = json.loads(path.read_text())["wsimil"]
    assert about["probabilities"] == {"normal": 0.25, "tumour": 0.75}
    assert about["provenance"]["slide"]["fingerprint"] == "f00d"
    assert about["provenance"]["slide"]["path"] == "a.svs", "folders stay in the house"


def test_twenty_thousand_tiles_stay_small(tmp_path):
    weights = np.random.default_rng(0).random(20_000)
    prediction = prediction_of(weights / weights.sum(), columns=200)
    path = ws.export(prediction, tmp_path / "a.geojson", threshold=0)
    assert len(json.loads(path.read_text())["features"]) == 20_010
    assert path.stat().st_size < 20_000 * 600


def test_csv_has_every_patch_in_order_and_exact_numbers(tmp_path):
    rng = np.random.default_rng(1)
    weights, tumour = rng.random(12).astype(np.float32) ** 9, rng.random(12).astype(np.float32)
    prediction = prediction_of(weights, 253.9683, tumour=tumour)
    path = ws.export(prediction, tmp_path / "a.csv", top=1, threshold=1)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("x", "y", "width", "height", "x_um", "y_um", "mpp", "attention", "attention_percentile", "prob_normal", "prob_tumour")
    ]
    np.testing.assert_array_equal([[int(row["x"]), int(row["y"])] for row in rows], prediction.attention[0.5].xy)
    np.testing.assert_array_equal(np.float32([row["attention"] for row in rows]), weights)
    np.testing.assert_array_equal(np.float32([row["prob_tumour"] for row in rows]), tumour)
    assert float(rows[5]["x_um"]) == pytest.approx(254 * 0.25)
    assert float(rows[5]["y_um"]) == pytest.approx(254 * 0.5)
    assert {row["width"] for row in rows} == {"253.9683"}
    assert {row["mpp"] for row in rows} == {"0.5"}
    assert float(rows[int(np.argmax(weights))]["attention_percentile"]) == 1


def test_csv_leaves_empty_what_is_not_known(tmp_path):
    scores = PatchScores(grid(2, 1, 64), 64, np.float32([0.5, math.nan]))
    path = ws.export(SlidePrediction({"a": 1.0}, {2.0: scores}), tmp_path / "a.csv")
    assert path.read_text().splitlines()[1:] == ["0,0,64,64,,,2.0,0.5,1.0,", "64,0,64,64,,,2.0,,,"]


def test_instances_in_another_order_find_their_patches(tmp_path):
    attention = PatchScores(grid(3, 1, 64), 64, np.float32([0.2, 0.3, 0.5]))
    instances = PatchScores(attention.xy[[2, 0]], 64, np.float32([[0.9], [0.1]]))
    path = ws.export(SlidePrediction({"a": 1.0}, {1.0: attention}, {1.0: instances}), tmp_path / "a.csv")
    with path.open(newline="") as file:
        assert [row["prob_a"] for row in csv.DictReader(file)] == ["0.1", "", "0.9"]


def test_several_magnifications_are_told_apart(tmp_path):
    coarse, fine = PatchScores(grid(2, 1, 256), 256, np.float32([0.4, 0.6])), PatchScores(grid(2, 2, 64), 64, np.full(4, 0.25))
    path = ws.export(SlidePrediction({"a": 1.0}, {2.0: coarse, 0.5: fine}), tmp_path / "a.geojson", threshold=0)
    sizes = [tile["properties"]["measurements"]["mpp"] for tile in features(path, "tile")]
    assert sizes == [0.5] * 4 + [2.0] * 2
    assert {box["properties"]["measurements"]["mpp"] for box in features(path, "annotation")} == {0.5}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("nowhere/a.csv", {}, "no folder"),
        ("a.docx", {}, r"end it in \.geojson, \.xml, .* or \.svg"),
        ("a", {}, "Can't tell the format"),
        ("a.docx", {"format": "word"}, "available: geojson, asap, csv"),
        ("a.tiff", {"format": "ome-tiff"}, "ends like a tiff file"),
        ("a.csv", {"figure": ws.FigureOptions()}, "are for figures"),
        ("a.png", {}, "The slide is not at /clinic/ward 7/a.svs any more"),
        ("a.csv", {"format": "geojson"}, "ends like a csv file"),
        ("a.geojson", {"threshold": 90}, "percentile"),
        ("a.geojson", {"threshold": math.nan}, "percentile"),
        ("a.geojson", {"top": -1}, "negative"),
        ("folder.csv", {}, "is a folder"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(tmp_path, name, options, words):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ExportError, match=words) as caught:
        ws.export(prediction_of(WEIGHTS), tmp_path / name, **options)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.csv"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = ws.export(prediction_of(WEIGHTS), tmp_path / "a.csv")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(ExportError, match="No space left"):
        ws.export(prediction_of(WEIGHTS[::-1]), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_suffix_is_added_and_the_old_file_replaced(tmp_path):
    (tmp_path / "a.geojson").write_text("old")
    path = ws.export(prediction_of(WEIGHTS), str(tmp_path / "a"), format="geojson")
    assert path == tmp_path / "a.geojson"
    assert len(features(path, "tile")) == 3
    assert len({entry.suffix for entry in FORMATS.values()}) == len(FORMATS), "a name tells the format"


@pytest.mark.parametrize("suffix", ["geojson", "xml"])
def test_the_top_patches_are_those_of_the_window(tmp_path, suffix):
    """Patches that overlap one before are left out: three patches are three places."""
    scores = PatchScores(grid(8, 1, 128), 256.0, np.linspace(0.2, 0.05, 8, dtype=np.float32), 128.0)
    prediction = SlidePrediction({"normal": 0.25, "tumour": 0.75}, {0.5: scores})
    best = [one.patch.x for one in ws.rank_patches(prediction, count=3)]
    assert best == [0, 256, 512]
    text = ws.export(prediction, tmp_path / f"a.{suffix}", top=3).read_text(encoding="utf-8")
    if suffix == "geojson":
        found = [one["geometry"]["coordinates"][0][0][0] for one in features(tmp_path / "a.geojson", "annotation")]
    else:
        top = ElementTree.fromstring(text).findall(".//Annotation[@PartOfGroup='Top regions']")
        found = [float(one.find(".//Coordinate").get("X")) for one in top]
    assert found == best
