"""ASAP's XML and OME-TIFF, read by others."""

import json

import numpy as np
import pytest
import shapely
import tifffile
from defusedxml import ElementTree

import napari_wsimil as ws
from napari_wsimil.annotations import read_annotations
from napari_wsimil.errors import ExportError
from napari_wsimil.inference.heatmap import Heatmap, heatmap
from napari_wsimil.inference.prediction import PatchScores, SlidePrediction


class TestAsap:
    def test_our_own_reader_finds_every_rectangle_in_its_group(self, predicted, tmp_path):
        prediction = predicted(128)
        path = ws.export(prediction, tmp_path / "a.xml", top=3, threshold=0)
        found = read_annotations(path)
        assert not found.skipped
        top = [region.shape.bounds for region in found.regions if region.name == "Top regions"]
        best = prediction.attention[0.5].top(3).boxes()
        np.testing.assert_array_equal(top, best)
        others = {region.shape.bounds: region.name for region in found.regions if region.name != "Top regions"}
        boxes = prediction.attention[0.5].boxes()
        assert set(others) == {tuple(box) for box in boxes.tolist()}
        tumour = prediction.instances[0.5].values[:, 1] > 0.5
        assert [others[tuple(box)] for box in boxes.tolist()] == [
            "Predicted tumour" if one else "Predicted normal" for one in tumour
        ]

    def test_every_group_is_declared_and_rings_are_open(self, predicted, tmp_path):
        root = ElementTree.parse(ws.export(predicted(), tmp_path / "a.xml")).getroot()
        assert root.tag == "ASAP_Annotations"
        declared = {group.get("Name"): group.get("Color") for group in root.iter("Group")}
        annotations = list(root.iter("Annotation"))
        assert {one.get("PartOfGroup") for one in annotations} == set(declared)
        assert all(one.get("Color") == declared[one.get("PartOfGroup")] for one in annotations)
        assert len({one.get("Name") for one in annotations}) == len(annotations)
        for one in annotations:
            points = list(one.iter("Coordinate"))
            assert [point.get("Order") for point in points] == ["0", "1", "2", "3"]
            assert one.get("Type") == "Rectangle"

    def test_names_tell_the_scores(self, predicted, tmp_path):
        prediction = predicted(classes=("benign & fine", "<tumour>"))
        root = ElementTree.parse(ws.export(prediction, tmp_path / "a.xml", top=1, threshold=1)).getroot()
        first, second = (one.get("Name") for one in root.iter("Annotation"))
        best = prediction.attention[0.5].values.max()
        assert first == f"Attention 1 (attention {best!s}, percentile 1.0, prob benign & fine 0.0, prob <tumour> 1.0, mpp 0.5)"
        assert second.startswith("Patch 47 (attention")

    def test_patches_without_a_class_stand_in_a_group_of_their_own(self, predicted, tmp_path):
        prediction = predicted()
        plain = SlidePrediction(prediction.probabilities, prediction.attention, provenance=prediction.provenance)
        found = read_annotations(ws.export(plain, tmp_path / "a.xml", top=0))
        assert found.names == ("Attended",)
        assert all(shapely.area(region.shape) == 128**2 for region in found.regions)

    def test_coordinates_count_from_the_whole_canvas(self, predicted, tmp_path):
        about = predicted().provenance["slide"]
        path = ws.export(predicted(slide={**about, "origin": [100, 200]}), tmp_path / "a.xml", top=0, threshold=0)
        assert min(region.shape.bounds[:2] for region in read_annotations(path).regions) == (0, 0)


class TestOmeTiff:
    def test_numbers_names_and_place(self, predicted, tmp_path):
        prediction = predicted(128, 64)
        path = ws.export(prediction, tmp_path / "a.ome.tiff")
        with tifffile.TiffFile(path) as tiff:
            assert tiff.is_ome
            (series,) = tiff.series
            values, told = series.asarray(), tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        expected = heatmap(prediction.attention[0.5])
        assert values.dtype == np.float32
        assert series.axes == "CYX"
        np.testing.assert_array_equal(values[0], expected.values)
        np.testing.assert_array_equal(values[2], heatmap(prediction.instances[0.5].column(1)).values)
        pixels = told["Pixels"]
        assert [channel["Name"] for channel in pixels["Channel"]] == ["Attention", "normal probability", "tumour probability"]
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (64 * 0.5, "µm")
        assert (pixels["Plane"][0]["PositionX"], pixels["Plane"][0]["PositionY"]) == (0, 0)
        about = json.loads(told["Description"])
        assert about["slide fingerprint"] == prediction.provenance["slide"]["fingerprint"]
        assert about["step in level-0 pixels"] == 64

    def test_it_lies_on_the_slide_as_in_the_window(self, tmp_path):
        """Size and position give back the scale and translate of the layer, also for a slide whose pixels are not square."""
        xy = np.int64([[512, 768], [768, 768], [1024, 1024]])
        scores = PatchScores(xy, 256, np.float32([0.2, 0.3, 0.5]))
        prediction = SlidePrediction({"a": 1.0}, {1.0: scores}, provenance={"slide": {"mpp": [0.25, 0.5]}})
        path = ws.export(prediction, tmp_path / "a.ome.tiff")
        with tifffile.TiffFile(path) as tiff:
            pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
            values = tiff.asarray()
        origin = pixels["Plane"]["PositionX"] / 0.25, pixels["Plane"]["PositionY"] / 0.5
        step = pixels["PhysicalSizeX"] / 0.25
        assert pixels["PhysicalSizeY"] / 0.5 == step == 256
        expected = heatmap(scores)
        read = Heatmap(values, origin, step)
        assert read.scale_translate((0.25, 0.5)) == expected.scale_translate((0.25, 0.5))
        np.testing.assert_array_equal(values.squeeze(), expected.values)
        assert np.isnan(values).sum() == 3

    def test_one_image_for_each_magnification_finest_first(self, predicted, tmp_path):
        fine, coarse = predicted(128), predicted(256)
        both = SlidePrediction(
            fine.probabilities,
            {0.5: fine.attention[0.5], 1.0: coarse.attention[0.5]},
            class_attention={1.0: coarse.instances[0.5]},
            provenance=fine.provenance,
        )
        with tifffile.TiffFile(ws.export(both, tmp_path / "a.ome.tiff")) as tiff:
            assert [series.name for series in tiff.series] == ["Heatmap at 0.5 µm per pixel", "Heatmap at 1 µm per pixel"]
            assert tiff.series[1].shape == (3, 3, 4)
            images = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        assert [image["Pixels"]["PhysicalSizeX"] for image in images] == [64, 128]
        assert [channel["Name"] for channel in images[1]["Pixels"]["Channel"]] == [
            "Attention",
            "normal attention",
            "tumour attention",
        ]

    def test_scores_of_some_patches_stay_at_their_place(self, predicted, tmp_path):
        prediction = predicted(128)
        some = prediction.instances[0.5]
        late = PatchScores(some.xy[20:24], 128, some.values[20:24], 128)
        path = ws.export(SlidePrediction(prediction.probabilities, prediction.attention, {0.5: late}), tmp_path / "a.ome.tiff")
        values = tifffile.imread(path)
        rows, columns = np.nonzero(np.isfinite(values[2]))
        np.testing.assert_array_equal(np.stack([columns, rows], axis=1) * 128, late.xy)

    def test_without_a_pixel_size_it_counts_in_pixels(self, predicted, tmp_path):
        path = ws.export(SlidePrediction({"a": 1.0}, predicted(128).attention), tmp_path / "a.ome.tiff")
        with tifffile.TiffFile(path) as tiff:
            pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (128, "pixel")

    def test_nothing_to_draw_is_a_sentence(self, tmp_path):
        with pytest.raises(ExportError, match="no heatmap to write"):
            ws.export(SlidePrediction({"a": 1.0}, {}), tmp_path / "a.ome.tiff")
        assert list(tmp_path.iterdir()) == []
