"""Figures: each pixel of slide and overlay at its place, at any resolution, whole or in part."""

import base64
import io
import re

import numpy as np
import pytest
import tifffile
from defusedxml import ElementTree
from PIL import Image

import napari_wsimil as ws
from napari_wsimil.errors import CancelledError, ExportError
from napari_wsimil.exports.colours import ZOOM_COLOURS, attention_colours, probability_colours
from napari_wsimil.exports.figures import FigureOptions, draw_figure, drawing, framed
from napari_wsimil.exports.figures.boxes import box_marks
from napari_wsimil.exports.figures.fonts import shortened, text_width
from napari_wsimil.exports.figures.legend import legend
from napari_wsimil.exports.figures.marks import Words
from napari_wsimil.exports.figures.scale import length_text, round_length
from napari_wsimil.exports.looks import BoxLook, RasterLook, default_looks, leading_mpp
from napari_wsimil.inference.prediction import PatchScores, SlidePrediction

PINK, DARK = (235, 190, 215), (70, 40, 110)
BARE = {"legend": False, "scale_bar": False}
RED = np.float32([[1, 0, 0, 1], [1, 0, 0, 1]])


def red(values, origin, step, **options):
    """A raster that hides the slide under red wherever it has a value."""
    return RasterLook("Red", np.asarray(values, np.float32), origin, (step, step), RED, (0, 1), 1.0, **options)


def is_red(pixels):
    return (pixels == (255, 0, 0)).all(axis=-1)


@pytest.mark.parametrize(
    ("width", "region"), [(1024, None), (512, None), (256, (256, 256, 768, 640)), (1000, (100, 90, 600, 600))]
)
def test_slide_and_raster_lie_where_they_belong(squares, predicted, width, region):
    """A raster of 64 px with one gap, over a slide with one square: both where their level-0 pixels say."""
    values = np.ones((12, 16), np.float32)
    values[3:8, 2:10] = np.nan  # x 128 to 640, y 192 to 512
    options = FigureOptions(region, width=width, overlays=[red(values, (0, 0), 64)], **BARE)
    found = draw_figure(predicted(), squares.slide, options)
    frame = framed(options, squares.slide)
    assert found.shape == (frame.height, width, 3)
    x = frame.region[0] + (np.arange(frame.width) + 0.5) * frame.ratio[0]
    y = frame.region[1] + (np.arange(frame.height) + 0.5) * frame.ratio[1]
    gap = ((y > 192) & (y < 512))[:, None] & ((x > 128) & (x < 640))
    np.testing.assert_array_equal(is_red(found), ~gap)
    square = ((y > 384) & (y < 640))[:, None] & ((x > 256) & (x < 512))
    clear = (np.minimum(abs(y - 384), abs(y - 640)) > 2)[:, None] & (np.minimum(abs(x - 256), abs(x - 512)) > 2)
    np.testing.assert_array_equal((found == DARK).all(axis=-1)[gap & clear], square[gap & clear])


def test_patches_that_overlap_lie_where_they_belong(squares, predicted):
    """Stride half the size: the heatmap begins with the first patch and ends with the last one."""
    prediction = predicted(128, 64)
    hot = prediction.attention[0.5]
    hot = PatchScores(hot.xy[(hot.xy[:, 0] >= 256) & (hot.xy[:, 1] >= 128)][:3], 128, np.float32([1, 1, 1]), 64)
    one = SlidePrediction({"a": 1.0}, {0.5: hot}, provenance=prediction.provenance)
    (look,) = default_looks(one, top=0)
    look = RasterLook("Red", look.values, look.origin, look.step, RED, opacity=1.0)
    found = draw_figure(one, squares.slide, FigureOptions(width=1024, overlays=[look], **BARE))
    rows, columns = np.nonzero(is_red(found))
    assert (columns.min(), columns.max() + 1) == (256, 256 + 2 * 64 + 128)
    assert (rows.min(), rows.max() + 1) == (128, 128 + 128)


def test_a_part_is_cut_out_of_the_whole(squares, predicted):
    """The default heatmap and boxes: the figure of a region is that part of the figure of the slide."""
    prediction = predicted(128, 96)
    looks = default_looks(prediction, 0)
    whole = draw_figure(prediction, squares.slide, FigureOptions(width=512, overlays=looks, **BARE))
    part = draw_figure(prediction, squares.slide, FigureOptions((200, 100, 840, 500), width=320, overlays=looks, **BARE))
    np.testing.assert_array_equal(part, whole[50:250, 100:420])


def test_what_is_written_does_not_depend_on_the_strips(squares, predicted, monkeypatch):
    options = FigureOptions(width=700, title=True, side_by_side=True)
    whole = draw_figure(predicted(anchors=True), squares.slide, options)
    monkeypatch.setattr("napari_wsimil.exports.figures.painting.STRIP_PIXELS", 1)
    np.testing.assert_array_equal(draw_figure(predicted(anchors=True), squares.slide, options), whole)


def test_nearest_is_flat_and_smooth_is_not(squares, predicted):
    values = np.float32([[0, 1, np.nan]])
    for smooth in (False, True):
        look = RasterLook(
            "Grey", values, (0, 0), (256, 256), np.linspace((0,) * 3 + (1,), (1,) * 4, 256), opacity=1.0, smooth=smooth
        )
        row = draw_figure(predicted(), squares.slide, FigureOptions((0, 0, 1024, 256), width=1024, overlays=[look], **BARE))[
            128
        ]
        assert (row[512:] == PINK).all(), "nothing where there is no value"
        assert len(np.unique(row[:512, 0])) == (2 if not smooth else 256)
        assert row[127, 0] == 0, "a pixel keeps its value in its middle"


def test_values_have_the_colours_of_their_limits(squares, predicted):
    values = np.float32([[-5, 0, 0.5, 1, 9]])
    look = RasterLook("A", values, (0, 0), (128, 128), probability_colours(), (0, 1), 1.0)
    row = draw_figure(predicted(), squares.slide, FigureOptions((0, 0, 640, 64), width=640, overlays=[look], **BARE))[
        10, 64::128
    ]
    table = np.rint(probability_colours()[:, :3] * 255)
    np.testing.assert_allclose(row, table[[0, 0, 128, 255, 255]], atol=1)


def test_boxes_are_outlined_at_their_edges_and_numbered(squares, predicted):
    box = BoxLook("Box", np.array([[256, 256, 512, 512.0]]), "#0000ff", ("7",))
    found = draw_figure(predicted(), squares.slide, FigureOptions(width=512, overlays=[box], **BARE))
    blue = (found == (0, 0, 255)).all(axis=-1)
    rows, columns = np.nonzero(blue)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (128, 256, 128, 256)
    assert blue[128, 128:256].all()
    assert blue[128:256, 255].all()
    assert blue[132:160, 132:160].any(), "its number"
    plain = draw_figure(
        predicted(), squares.slide, FigureOptions(width=512, overlays=[BoxLook("Box", box.boxes, "#0000ff")], **BARE)
    )
    assert not (plain == (0, 0, 255)).all(axis=-1)[132:160, 132:160].any()


def test_many_small_boxes_are_not_numbered(squares, predicted):
    """Numbers of two hundred patches would hide the tissue; a figure that is large enough has room for them."""
    corners = np.stack(np.meshgrid(np.arange(0, 1024, 64.0), np.arange(0, 768, 64.0)), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([corners, corners + 64], axis=1)
    numbers = tuple(str(number) for number in range(len(boxes)))

    def words(labels, width):
        frame = framed(FigureOptions(width=width), squares.slide)
        marks = box_marks([BoxLook("Many", boxes, "#0000ff", labels)], frame, 12.0)
        return [mark.text for mark in marks if isinstance(mark, Words)]

    assert words(numbers, 256) == []
    assert words(numbers, 2048) == list(numbers)
    few = framed(FigureOptions(width=256), squares.slide)
    marks = box_marks([BoxLook("Few", boxes[:5], "#0000ff", numbers[:5])], few, 12.0)
    placed = [(mark.x, mark.y) for mark in marks if isinstance(mark, Words)]
    assert len(set(placed)) == 5


def test_legends_of_masks_and_of_numbered_regions(squares, predicted):
    mask = RasterLook("Tissue", np.ones((12, 16), np.float32), (0, 0), (64, 64), RED, (0, 1), 1.0, unit="tissue")
    table = np.float32([[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 1]])
    regions = RasterLook("Regions", np.float32([[1, 2]]), (0, 0), (64, 64), table, (0, 2), 1.0, unit="region")
    options = FigureOptions(width=600, overlays=[mask, regions], scale_bar=False)
    found = draw_figure(predicted(), squares.slide, options)[450:]
    assert is_red(found).sum() > 50
    for colour in ((0, 255, 0), (0, 0, 255)):
        assert (found == colour).all(axis=-1).sum() > 50
    texts = [mark.text for mark in legend([mask, regions], 10, 600).marks if isinstance(mark, Words)]
    assert texts == ["Tissue", "Regions", "1", "2"]


def test_two_kinds_of_one_box_are_both_seen(squares, predicted):
    """Anchors are mostly the most attended patches too."""
    found = draw_figure(predicted(anchors=True), squares.slide, FigureOptions(width=1024, **BARE))
    for colour in ((0x3D, 0xDC, 0x84), (0x14, 0x46, 0xFF)):
        assert (found == colour).all(axis=-1)[640:, 640:].sum() > 100


@pytest.mark.parametrize(("width", "length"), [(1024, "100 µm"), (300, "100 µm"), (2048, "100 µm")])
def test_the_scale_bar_measures_what_it_says(squares, predicted, width, length):
    options = FigureOptions(width=width, overlays=(), legend=False)
    found = draw_figure(predicted(), squares.slide, options)
    ink = (found == 0x1C).all(axis=-1)
    corner = ink[-width // 4 :, : width // 2].astype(np.uint8)
    longest = max(len(run) for row in corner for run in row.tobytes().split(b"\0"))
    micrometres = float(length.split()[0])
    assert longest == pytest.approx(micrometres / (1024 * 0.5 / width), abs=0.5)
    assert not (found == 0x1C).all(axis=-1)[: -width // 4].any()
    bare = draw_figure(predicted(), squares.slide, FigureOptions(width=width, overlays=(), **BARE))
    assert not (bare == 0x1C).all(axis=-1).any()


def test_lengths_are_round():
    assert [round_length(most) for most in (0.9, 1, 1.99, 2, 4.9, 5, 999, 1000)] == [0.5, 1, 1, 2, 2, 5, 500, 1000]
    assert [length_text(value) for value in (0.5, 200, 1000, 5000)] == ["0.5 µm", "200 µm", "1 mm", "5 mm"]


def test_legend_and_title_stand_around_the_picture(squares, predicted):
    prediction = predicted()
    bare = draw_figure(prediction, squares.slide, FigureOptions(width=600, **BARE))
    full = draw_figure(prediction, squares.slide, FigureOptions(width=600, title=True, scale_bar=False))
    above = next(row for row in range(len(full)) if np.array_equal(full[row : row + len(bare)], bare))
    assert above > 0
    assert (full[:above] < 100).all(axis=-1).any(), "the title"
    below = full[above + len(bare) :]
    ramp = np.rint(
        255 * (attention_colours()[:, :3] * attention_colours()[:, 3:] * 0.55 + 1 - attention_colours()[:, 3:] * 0.55)
    )
    assert (np.abs(below[:, :, None] - ramp[None, None, [255]]).max(axis=-1) <= 1).any(), "the last colour of the ramp"
    assert ((below == (0x14, 0x46, 0xFF)).all(axis=-1)).any(), "the box of the top regions"


def test_side_by_side_shows_the_slide_twice(squares, predicted):
    one = draw_figure(predicted(), squares.slide, FigureOptions(width=400, **BARE))
    bare = draw_figure(predicted(), squares.slide, FigureOptions(width=400, overlays=(), **BARE))
    both = draw_figure(predicted(), squares.slide, FigureOptions(width=400, side_by_side=True, **BARE))
    np.testing.assert_array_equal(both[:, :400], bare)
    np.testing.assert_array_equal(both[:, -400:], one)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_files_hold_the_figure_and_its_size_in_print(squares, predicted, tmp_path, kind):
    options = FigureOptions(mpp=1.0, dpi=254, title=True)
    path = ws.export(predicted(), tmp_path / f"a.{kind}", figure=options)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), draw_figure(predicted(), squares.slide, options))
        assert image.size[0] == 512
        assert [round(float(value)) for value in image.info["dpi"]] == [254, 254]
        told = image.info["Description"] if kind == "png" else image.tag_v2[270]
    if kind == "tiff":
        with tifffile.TiffFile(path) as tiff:
            told = tiff.pages[0].description
            assert tiff.pages[0].compression == 8
    assert "1 µm per pixel" in told
    assert "not for diagnosis" in told


def test_svg_holds_text_lines_and_one_picture(squares, predicted, tmp_path):
    options = FigureOptions((0, 256, 1024, 768), width=512, title=True, dpi=96)
    path = ws.export(predicted(anchors=True), tmp_path / "a.svg", figure=options, top=3)
    root = ElementTree.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(f"{space}text")]
    assert {"Attention", "Anchors (3)", "Top regions (3)", "100 µm", "1", "2", "3"} <= set(texts)
    assert any("made-up <model>" in text for text in texts)
    assert float(root.get("width").removesuffix("mm")) == pytest.approx(512 / 96 * 25.4, abs=0.1)
    pictures = [image.get("href") for image in root.iter(f"{space}image")]
    assert all(address.startswith("data:image/") for address in pictures)
    with Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1]))) as image:
        assert image.size == (512, 256)
        expected = draw_figure(
            predicted(),
            squares.slide,
            FigureOptions((0, 256, 1024, 768), width=512, overlays=default_looks(predicted(), 0), **BARE),
        )
        assert np.abs(np.asarray(image).astype(int) - expected).mean() < 2
    assert re.search(r"stroke=\"#1446ff\"", path.read_text())


def test_a_model_that_zooms_shows_where(squares, predicted):
    prediction = predicted(zoom=True)
    looks = default_looks(prediction)
    assert [look.name for look in looks] == ["Attention", "Zoomed into at 4 µm/px", "Top regions"]
    found = draw_figure(prediction, squares.slide, FigureOptions(width=1024, **BARE))
    assert (found[0, 1:511] == tuple(bytes.fromhex(ZOOM_COLOURS[0][1:]))).all()


def test_the_heatmap_is_the_finest_that_covers_the_tissue():
    def scores(count, size):
        return PatchScores(
            np.stack([np.arange(count), np.zeros(count)], axis=1).astype(np.int64) * size,
            size,
            np.full(count, 1 / count, np.float32),
        )

    zoomed = SlidePrediction({"a": 1.0}, {8.0: scores(4, 4096), 0.5: scores(8, 256)})
    assert leading_mpp(zoomed) == 8.0
    pyramid = SlidePrediction({"a": 1.0}, {8.0: scores(4, 4096), 0.5: scores(60, 256 * 1)})
    assert leading_mpp(pyramid) == 8.0
    assert leading_mpp(SlidePrediction({"a": 1.0}, {2.0: scores(4, 1024), 0.5: scores(16, 256)})) == 2.0
    small_slide = SlidePrediction({"a": 1.0}, {8.0: scores(1, 4096), 2.0: scores(6, 1024), 0.5: scores(20, 256)})
    assert leading_mpp(small_slide) == 2.0, "one patch shows nothing"
    assert leading_mpp(SlidePrediction({"a": 1.0}, {2.0: scores(1, 1024)})) == 2.0
    assert leading_mpp(SlidePrediction({"a": 1.0}, {})) is None


def test_a_model_without_attention_shows_probabilities(squares, predicted):
    prediction = predicted()
    plain = SlidePrediction(prediction.probabilities, {}, prediction.instances, provenance=prediction.provenance)
    looks = default_looks(plain)
    assert [look.name for look in looks] == ["Tumour probability", "Top regions"]
    assert looks[0].limits == (0, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mpp": 1.0, "width": 100}, "either mpp or the width"),
        ({"mpp": -1.0}, "positive number"),
        ({"width": 3}, "at least 16 px"),
        ({"dpi": 0}, "1 to 10,000"),
        ({"text": 0}, "0.1 to 10"),
        ({"region": (5, 5, 5, 9)}, "is empty"),
        ({"region": (2000, 5, 3000, 9)}, "beside the slide"),
        ({"mpp": 100.0}, "a finer resolution"),
    ],
)
def test_figures_that_cannot_be_are_one_sentence(squares, predicted, tmp_path, options, words):
    with pytest.raises(ExportError, match=words) as caught:
        ws.export(predicted(), tmp_path / "a.png", figure=FigureOptions(**options))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["png", "svg", "tiff"])
def test_a_figure_too_large_to_open_is_refused(squares, predicted, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(drawing, "MOST_PIXELS", dict.fromkeys(drawing.MOST_PIXELS, 2_000_000))
    with pytest.raises(ExportError, match="takes at most 2 million pixels: choose a coarser") as caught:
        ws.export(predicted(), tmp_path / f"a.{kind}", figure=FigureOptions(width=2000))
    assert "TIFF" not in str(caught.value).split("choose")[1]


def test_cancel_leaves_nothing(squares, predicted, tmp_path):
    told = []
    with pytest.raises(CancelledError):
        ws.export(predicted(), tmp_path / "a.png", on_progress=told.append, cancel=lambda: len(told) > 1)
    assert list(tmp_path.iterdir()) == []
    assert told[0].total > told[0].done > 0


def test_another_slide_is_refused_and_a_copy_is_not(squares, predicted, tmp_path, tiny_slide):
    lost = predicted(slide={**predicted().provenance["slide"], "path": str(tmp_path / "gone.tiff")})
    with pytest.raises(ExportError, match=r"is not at .*gone.tiff any more: say where"):
        ws.export(lost, tmp_path / "a.png")
    with pytest.raises(ExportError, match=r"tiny.tiff is not the slide that was predicted, gone.tiff"):
        ws.export(lost, tmp_path / "a.png", slide=tiny_slide)
    copy = tmp_path / "copy.tiff"
    copy.write_bytes(squares.path.read_bytes())
    for slide in (copy, squares.slide):
        assert ws.export(lost, tmp_path / "a.png", slide=slide).exists()
    assert squares.slide.read_region(0, 0, 1, 1).shape == (1, 1, 3), "a slide that was given stays open"


def test_a_slide_without_pixel_size(predicted, tmp_path):
    tifffile.imwrite(tmp_path / "b.tiff", np.full((512, 512, 3), 200, np.uint8), tile=(256, 256), photometric="rgb")
    prediction = predicted(slide={"path": str(tmp_path / "b.tiff"), "name": "b"})
    with ws.open_slide(tmp_path / "b.tiff") as slide:
        found = draw_figure(prediction, slide, FigureOptions(width=512, legend=False))
        assert (found == 0x1C).all(axis=-1).any(), "a scale bar in pixels"
        with pytest.raises(ExportError, match="give the width in px"):
            draw_figure(prediction, slide, FigureOptions(mpp=1.0))


def test_colours_are_those_of_matplotlib():
    import matplotlib as mpl

    for table, name, start, end in ((attention_colours(), "inferno", 0.35, 0.85), (probability_colours(), "viridis", 0, 1)):
        expected = mpl.colormaps[name](np.linspace(start, end, 256))[:, :3]
        assert np.abs(table[:, :3] - expected).max() < 4 / 255
        assert not table.flags.writeable
    assert attention_colours()[0, 3] == 0
    assert attention_colours()[-1, 3] == 1


def test_names_that_are_too_long_are_shortened():
    text = shortened("a very long name of a very long slide", 20, 100)
    assert text.endswith("…")
    assert text_width(text, 20) <= 100
    assert shortened("short", 20, 100) == "short"
