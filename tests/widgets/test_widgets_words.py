"""What the dock says."""

from __future__ import annotations

import pytest

from napari_wsimil.inference import Progress
from napari_wsimil.inference.progress import rates_text
from napari_wsimil.widgets import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9312, "93.1 %"), (0.0, "0.0 %"), (1.0, "100.0 %"), (0.9999, "> 99.9 %"), (0.0001, "< 0.1 %")],
)
def test_share_never_rounds_to_certainty(value, text):
    assert words.share(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (125, "2 min 5 s"), (120, "2 min"), (3840, "1 h 4 min")]
)
def test_duration(seconds, text):
    assert words.duration(seconds) == text


def test_progress_text():
    """A number and its unit stay on one line."""
    progress = Progress("Reading and encoding patches", 320, 1400, 95.2, 11.2)
    assert words.progress_text(progress) == "Reading and encoding patches: 320 of 1,400 · 95\xa0patches/s · 11\xa0s\xa0left"
    assert words.progress_text(Progress("Finding tissue")) == "Finding tissue"
    assert words.progress_text(Progress("Reading", 3, 9, 0.4)) == "Reading: 3 of 9 · 0.4\xa0patches/s"


def test_rates_say_which_part_limits():
    def said(**rates):
        return rates_text(rates).replace("\xa0", " ").replace("\u2060", "")

    assert said(read=820.4, encode=33.2, write=5000.0) == "Read 820/s, encode 33/s (limits), write 5,000/s"
    assert said(read=4.25, encode=33.2) == "Read 4.2/s (limits), encode 33/s"
    assert said(encode=33.2) == "Encode 33/s", "alone it is no limit to others"
    assert said(read=0.0) == said() == ""


def test_pixel_size_says_where_it_is_from():
    assert words.mpp_text((0.499, 0.499), "vendor") == "0.499 µm (from the file)"
    assert words.mpp_text((0.25, 0.5), "tiff") == "0.25 x 0.5 µm (from the file)"
    assert words.mpp_text((0.25, 0.25), "user") == "0.25 µm (typed in)"
    assert words.mpp_text(None, None) == "not known"


def test_cost(made_up, sample):
    import napari_wsimil as ws

    with ws.open_slide(sample) as slide:
        prediction = made_up(slide)
    assert words.cost_text(prediction) == "30 patches in 3 s on the CPU"
    patches = prediction.provenance["patches"]
    patches |= {"counts": {"0.5": 30}, "encoded": {"0.5": 30}}
    assert words.cost_text(prediction) == "30 of 30 patches encoded in 3 s on the CPU"
    patches["encoded"] = {"0.5": 12}
    assert words.cost_text(prediction) == "12 of 30 patches encoded in 3 s on the CPU; the features of 18 were stored before"
    patches["encoded"] = {"0.5": 0}
    assert words.cost_text(prediction) == "30 patches in 3 s on the CPU; the features of all were stored before"
    assert words.saving_text(prediction) == ""


def test_what_zooming_saved_is_said_in_words(made_up, sample):
    import napari_wsimil as ws

    with ws.open_slide(sample) as slide:
        prediction = made_up(slide)
    prediction.provenance["patches"] |= {"counts": {"1": 100, "0.5": 390}, "encoded": {"1": 100, "0.5": 30}}
    assert words.cost_text(prediction).startswith("130 of 490 patches encoded")
    assert words.saving_text(prediction) == "It looked at 30 patches instead of all 390 at 0.5 µm/px: 1 in 13"


def test_whether_probabilities_are_calibrated_is_said():
    from napari_wsimil.inference import SlidePrediction

    plain = SlidePrediction({"a": 1.0}, {}, provenance={"calibration": None})
    about = {"cases": 1200, "before": {"a": 0.97}}
    calibrated = SlidePrediction({"a": 1.0}, {}, provenance={"calibration": about})
    assert words.calibration_text(plain) == words.calibration_text(SlidePrediction({"a": 1.0}, {}))
    assert words.calibration_text(plain) == "Probabilities not calibrated"
    assert words.calibration_text(calibrated) == "Probabilities calibrated on 1,200 slides; 97.0 % before"
