"""A model asks for the patches it wants, and only these are read and encoded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wsimil.errors import CancelledError
from napari_wsimil.inference import load_prediction, predict, predict_steps
from napari_wsimil.mil import build_mil
from napari_wsimil.packages import EncoderReference, ModelSpec, save_model
from napari_wsimil.slides import Slide

SELECTED = 2


@pytest.fixture(scope="module")
def slide(tmp_path_factory, write_slide):
    return write_slide(tmp_path_factory.mktemp("zoom") / "large.tiff", width=5120, height=4096)


@pytest.fixture(scope="module")
def zooming(random_encoder, tmp_path_factory):
    torch.manual_seed(2)
    encoder, name = random_encoder
    options = {"magnifications": 3, "selected": SELECTED, "hidden": 16, "attention": 8}
    spec = ModelSpec(
        id="zooming",
        method="zoommil",
        parameters=options,
        classes=("normal", "tumour"),
        encoder=EncoderReference.to(encoder, name),
        mpps=(2.0, 1.0, 0.5),
    )
    return save_model(tmp_path_factory.mktemp("zooming"), build_mil("zoommil", encoder.dimension, 2, options), spec, "# Card\n")


@pytest.fixture(scope="module")
def prediction(slide, zooming):
    return predict(slide, zooming, device="cpu")


def test_only_the_children_of_the_chosen_are_encoded(prediction):
    counts, encoded = prediction.provenance["patches"]["counts"], prediction.provenance["patches"]["encoded"]
    assert encoded["2"] == counts["2"] > SELECTED
    for mpp in ("1", "0.5"):
        # at the edge of the tissue a parent has fewer than four
        assert SELECTED <= encoded[mpp] <= 4 * SELECTED < counts[mpp]


def test_attention_and_zoom_have_the_places_of_what_was_looked_at(prediction):
    assert list(prediction.attention) == [2.0, 1.0, 0.5]
    for coarse, fine in ((2.0, 1.0), (1.0, 0.5)):
        chosen, looked_at = prediction.zoom[coarse], prediction.attention[fine]
        assert len(chosen) == SELECTED
        parents = {tuple(corner) for corner in chosen.xy}
        side = chosen.size_level0
        for corner in looked_at.xy:
            assert tuple((corner // side * side).astype(int)) in parents
    for scores in prediction.attention.values():
        assert scores.values.sum() == pytest.approx(1, abs=1e-5)
    assert len(prediction.instances[0.5]) == len(prediction.attention[0.5])


def test_saved_and_loaded(prediction, tmp_path):
    loaded = load_prediction(prediction.save(tmp_path / "zoom.prediction.h5"))
    assert loaded.zoom.keys() == prediction.zoom.keys() == {2.0, 1.0}
    np.testing.assert_array_equal(loaded.zoom[1.0].xy, prediction.zoom[1.0].xy)
    np.testing.assert_array_equal(loaded.attention[0.5].xy, prediction.attention[0.5].xy)


def test_tables_of_classes_and_regions_are_kept(prediction, tmp_path):
    from dataclasses import replace

    scores = prediction.attention[2.0]
    by_class = replace(scores, values=np.stack([scores.values, scores.values[::-1]], axis=1))
    regions = replace(scores, values=(np.arange(len(scores)) % 3).astype(np.float32))
    full = replace(prediction, class_attention={2.0: by_class}, regions={2.0: regions})
    loaded = load_prediction(full.save(tmp_path / "full.prediction.h5"))
    np.testing.assert_array_equal(loaded.class_attention[2.0].values, by_class.values)
    np.testing.assert_array_equal(loaded.regions[2.0].values, regions.values)
    assert loaded.instances.keys() == prediction.instances.keys()


def test_cancelled_at_the_second_magnification(slide, zooming):
    seen, total = [], []

    def stop_when_it_zooms(progress):
        seen.append(progress.stage)
        total.append(progress.total)

    first = None
    with pytest.raises(CancelledError):
        predict(slide, zooming, device="cpu", on_progress=stop_when_it_zooms, cancel=lambda: len(set(filter(None, total))) > 1)
    first = min(filter(None, total))
    assert max(total) > first
    assert seen[-1] in {"Reading and encoding patches", "Running the model"}


def test_an_error_in_the_model_reaches_the_caller(slide, zooming, monkeypatch):
    def broken(self, bag):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(type(zooming.mil), "forward", broken)
    steps = predict_steps(slide, zooming, device="cpu")
    with pytest.raises(RuntimeError, match="out of luck"):
        for _ in steps:
            pass


def test_the_student_of_lrmil_never_touches_a_fine_patch(slide, random_encoder, tmp_path, monkeypatch):
    encoder, name = random_encoder
    torch.manual_seed(3)
    spec = ModelSpec(
        id="coarse", method="lrmil", classes=("normal", "tumour"), encoder=EncoderReference.to(encoder, name), mpps=(2.0,)
    )
    model = save_model(tmp_path / "coarse", build_mil("lrmil", encoder.dimension, 2), spec, "# Card\n")
    asked = []
    read = Slide.read_patches
    monkeypatch.setattr(
        Slide,
        "read_patches",
        lambda self, xy, size, mpp, *rest, **more: asked.append((mpp, len(xy))) or read(self, xy, size, mpp, *rest, **more),
    )
    prediction = predict(slide, model, device="cpu")
    count = prediction.provenance["patches"]["counts"]["2"]
    assert {mpp for mpp, _ in asked} == {2.0}
    assert sum(n for _, n in asked) == count == len(prediction.attention[2.0])
