"""The report: all of it on one page that needs nothing else."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import napari_wsimil as ws
from napari_wsimil.exports.reports.content import report_content, tissue_region
from napari_wsimil.exports.reports.pdf import MOST_REGIONS
from napari_wsimil.inference.prediction import SlidePrediction

CALIBRATION = {"method": "temperature", "temperature": 1.3, "cases": 120, "before": {"normal": 0.1, "tumour": 0.9}}


class Page(HTMLParser):
    """Texts, and the tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.tags = [], []
        self.feed(text)

    def handle_data(self, data):
        self.texts.append(data)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def page(predicted, tmp_path_factory):
    prediction = predicted(anchors=True, calibration=CALIBRATION)
    path = ws.export(prediction, tmp_path_factory.mktemp("report") / "a.html", top=4)
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_needs_nothing_but_itself(page):
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "a", "base", "form"}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert "//" not in (value or "") or value.startswith("data:image/jpeg;base64,")
    assert ("meta", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in [
        (tag, attributes.get("content")) for tag, attributes in page.tags
    ]


def test_the_page_tells_everything(page):
    text = " ".join(" ".join(page.texts).split())
    for told in (
        "squares & more",
        "tumour, 80.0 %, says made-up <model>",
        "Look twice.",
        "Answer: tumour (above the threshold of 50 %).",
        "Probabilities calibrated on 120 slides; 90.0 % before.",
        "48 of 48 patches encoded in 3 s on the CPU.",
        "Top regions by attention",
        "attention 0.0408",
        "tumour 100.0 %",
        "squares & more.tiff",
        "1,024 x 768 px",
        "0.5 x 0.5 µm per pixel",
        "beef",
        "cafe",
        "2026-01-02, 03:04 UTC",
        "For research, not for diagnosis.",
    ):
        assert told in text, told
    assert str(ws.__version__) in text


def test_pictures_of_the_slide_and_of_each_region(page):
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [picture["alt"] for picture in pictures] == [
        "The tissue on the slide",
        "Heatmap over the tissue, with a legend",
        *(f"Region {rank}" for rank in (1, 2, 3, 4)),
    ]
    assert all(picture["width"] and picture["height"] for picture in pictures)
    bars = [attributes["style"] for tag, attributes in page.tags if tag == "i"]
    assert bars == ["width: 20.00%", "width: 80.00%"]
    assert [attributes["style"] for tag, attributes in page.tags if tag == "u"] == ["left: 50.0%"] * 2


def test_no_folder_leaves_the_house(predicted, squares, tmp_path):
    text = ws.export(predicted(), tmp_path / "a.html").read_text(encoding="utf-8")
    assert str(squares.path.parent) not in text


def test_regions_show_their_own_pixels(predicted, squares):
    prediction = predicted(128)
    content = report_content(prediction, squares.slide, 48, lambda _: None)
    assert len(content.top) == 48
    for shown, (x0, y0, x1, y1) in zip(content.top, prediction.attention[0.5].top(48).boxes(), strict=True):
        dark = x0 >= 256 and x1 <= 512 and y0 >= 384 and y1 <= 640
        pink = x1 <= 256 or x0 >= 512 or y1 <= 384 or y0 >= 640
        if dark or pink:
            assert (shown.pixels == ((70, 40, 110) if dark else (235, 190, 215))).all()
    assert content.top[0].lines == ("1", "attention 0.0408", "tumour 100.0 %", "x 0.45, y 0.32 mm")


def test_pictures_show_where_the_model_looked(predicted, squares):
    prediction = predicted(128)
    few = prediction.attention[0.5].top(2)
    x0, y0, x1, y1 = tissue_region(SlidePrediction({"a": 1.0}, {0.5: few}), squares.slide)
    assert (x1, y1) == (1024, 768)
    assert (x0, y0) == pytest.approx((768 - 0.03 * 256, 640 - 0.03 * 256))


def test_other_shapes_of_results(predicted, squares, tmp_path):
    """Many classes, no attention, no scores at all, nothing known of the run."""
    many = predicted(classes=tuple(f"class {number} with $ and a long name" for number in range(12)), zoom=True)
    instances = SlidePrediction(many.probabilities, {}, many.instances, provenance=many.provenance)
    bare = SlidePrediction({"a": 0.4, "b": 0.3, "c": 0.3}, {}, provenance={"slide": {"path": str(squares.path)}})
    for number, prediction in enumerate((many, instances, bare)):
        for ending in ("html", "pdf")[: 1 + (number != 1)]:
            assert ws.export(prediction, tmp_path / f"{number}.{ending}", top=3).stat().st_size > 10_000
    text = (tmp_path / "2.html").read_text(encoding="utf-8")
    assert "the most probable of 3 classes" in text
    assert "The model gives no heatmap" in text
    assert "<u " not in text


@pytest.mark.parametrize("top", [0, 25])
def test_the_pdf_is_one_page_of_a4_with_text(predicted, tmp_path, top):
    content = ws.export(predicted(notices=["A notice of some length. " * 12] * 5), tmp_path / "a.pdf", top=top).read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", content)) == 1
    width, height = (float(side) for side in re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", content).groups())
    assert (width / 72 * 25.4, height / 72 * 25.4) == pytest.approx((210, 297), abs=0.5)
    assert b"/Type /Font" in content


@pytest.mark.parametrize("top", [0, 10])
def test_nothing_on_the_pdf_lies_on_another_thing_or_beyond_the_page(predicted, squares, top):
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from napari_wsimil.exports.reports import pdf

    assert top <= MOST_REGIONS
    with rc_context(pdf._TEXT):
        content = report_content(predicted(zoom=True), squares.slide, top, lambda _: None)
        figure = pdf.drawn_page(content)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        width, height = canvas.get_width_height()
        boxes = [text.get_window_extent(renderer) for text in figure.texts] + [axes.bbox for axes in figure.axes]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    pictures = boxes[len(figure.texts) :]
    for number, one in enumerate(pictures):
        for other in (*pictures[number + 1 :], *boxes[: len(figure.texts)]):
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            down = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert across <= 1 or down <= 1


def test_the_heatmap_of_the_report_is_drawn_over_the_tissue(predicted, squares):
    content = report_content(predicted(), squares.slide, 3, lambda _: None)
    overview, heat = content.overview.pixels, content.heatmap.pixels
    assert heat.shape[1] == overview.shape[1]
    assert heat.shape[0] > overview.shape[0], "the legend"
    changed = (heat[: len(overview)] != overview).any(axis=-1)
    assert changed[-200:, 400:].mean() > 0.5
    assert changed[:50].mean() < 0.5, "low attention is clear"
    assert isinstance(Image.fromarray(heat), Image.Image)
    assert np.ptp(heat) == 255 or heat.max() == 255
