"""The benchmark of corrections: the person's marks keep to the rule, and the page says so where an aim is not reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from napari_wsimil.annotations import read_annotations
from napari_wsimil.samples import make_sample_slide

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    """The benchmark's own modules."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import correction_marks
    import correction_measure
    import correction_page
    import correction_slides

    return correction_slides, correction_marks, correction_measure, correction_page


def test_four_coarse_regions_on_two_training_slides(modules, tmp_path):
    slides, marks, _, _ = modules
    made = []
    for number, (part, label) in enumerate(
        [("train", "normal"), ("train", "tumour"), ("train", "tumour"), ("fresh", "tumour")]
    ):
        planted = "pen" if label == "tumour" else None
        path = make_sample_slide(tmp_path / f"{number}.tiff", kind=label, seed=number, size=2048, confounder=planted)
        made.append(slides.MadeSlide(path, part, label))
    marked = marks.corrections(made, tmp_path / "marks", 0)
    assert [one.slide.name for one in marked] == ["1.tiff", "2.tiff"]
    for one, slide in zip(marked, made[1:3], strict=True):
        regions = {region.name: region.shape for region in read_annotations(one.annotations).regions}
        assert sorted(regions) == ["!tumour", "tumour"]
        ink, focus = shapely.Polygon(slide.confounder[0]), max(map(shapely.Polygon, slide.foci), key=lambda shape: shape.area)
        for drawn, true in ((regions["!tumour"], ink), (regions["tumour"], focus)):
            drawn = shapely.make_valid(drawn)
            assert 0.5 < drawn.intersection(true).area / drawn.union(true).area < 1
    assert [(one.annotations, one.label) for one in marks.without_marks(marked)] == [(None, "tumour")] * 2
    with pytest.raises(RuntimeError, match="rule"):
        marks.corrections(made[:2], tmp_path / "few", 0)


def test_figures_of_slides_whose_truth_is_known(modules):
    slides, _, measure, _ = modules
    truth = np.array([True, False, False, False])
    ink = np.array([False, True, False, False])
    xy = np.zeros((4, 2), np.int64)

    def view(label, probability, attention, tumour):
        made = slides.MadeSlide(Path("x"), "fresh", label)
        return measure.View(made, probability, np.array(attention), np.array([0.9, 0.8, 0.1, 0.1]), tumour, ink, xy, 256.0)

    views = [view("tumour", 0.9, [0.3, 0.6, 0.1, 0.0], truth), view("normal", 0.6, [0.1, 0.9, 0.0, 0.0], truth & False)]
    found = measure.figures(views)
    assert found.slide_auc == 1
    assert found.attention_auc == pytest.approx(2 / 3)
    assert found.instance_auc == 1
    assert found.wrong_focus == pytest.approx(0.6)
    assert (found.covered, found.accuracy) == (0.25, 0.5)


def test_the_page_tells_what_was_not_reached(modules, tmp_path):
    page = modules[3]

    def figures(attention, slide):
        one = {"attention_auc": attention, "instance_auc": attention, "slide_auc": slide, "wrong_focus": 0.5, "covered": 0.2}
        return {part: {**one, "accuracy": 0.5} for part in ("train", "fresh")}

    def record(seed, attention, slide):
        spent = {"seconds": 200.0, "cpu_seconds": 20.0}
        after = {**figures(attention, slide), **spent}
        return {"seed": seed, "hidden": 0.5, "before": figures(0.8, 0.9), "default": after, "head": after, "training": spent}

    page.publish([record(0, 0.95, 0.9), record(1, 0.85, 0.8), record(2, 0.95, 0.95)], tmp_path)
    text = (tmp_path / "correction.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("- ") and "reached" in line]
    assert ["not reached" in line for line in lines] == [False, False, False, False, True]
    assert "2 of 3 seeds" in lines[1]
    assert "| 1 | 0.800 → 0.850 |" in text
    assert "0.800 → **0.950**" in text
    assert (tmp_path / "correction.json").exists()
