from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_wsimil.errors import CancelledError, ModelError, SlideError, SlideWarning
from napari_wsimil.inference import Progress, choose_device, predict, predict_steps
from napari_wsimil.inference.job import Meter
from napari_wsimil.mil import MILModel
from napari_wsimil.slides import open_slide


@pytest.fixture(scope="module")
def prediction(tiny_slide, random_model):
    return predict(tiny_slide, random_model, device="cpu")


def test_prediction_is_what_the_parts_give(prediction, tiny_slide, random_model):
    scores = prediction.attention[0.5]
    with open_slide(tiny_slide) as slide:
        features = random_model.encoder.encode(slide.read_patches(scores.xy, 256, 0.5))
    embedded = random_model.mil.embed(features)
    attention = torch.softmax(random_model.mil.attention(embedded), 0)[:, 0]
    logits = random_model.mil.classifier(attention @ embedded)
    np.testing.assert_allclose(list(prediction.probabilities.values()), torch.softmax(logits, 0).detach(), rtol=1e-4)
    np.testing.assert_allclose(scores.values, attention.detach(), rtol=1e-3)
    by_patch = torch.softmax(random_model.mil.classifier(embedded), 1).detach()
    np.testing.assert_allclose(prediction.instances[0.5].values, by_patch, rtol=1e-3)


def test_prediction_lies_on_the_tissue(prediction):
    scores = prediction.attention[0.5]
    expected = {(x, y) for x in range(256, 1280, 256) for y in range(256, 1024, 256)}
    assert {tuple(corner) for corner in scores.xy.tolist()} == expected
    assert (scores.size_level0, scores.stride_level0) == (256.0, 256.0)
    assert scores.values.sum() == pytest.approx(1, abs=1e-5)
    assert prediction.classes == ("normal", "tumour")
    assert prediction.positive_class == "tumour"
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    np.testing.assert_allclose(prediction.instances[0.5].values.sum(1), 1, rtol=1e-5)


def test_provenance_tells_where_it_comes_from(prediction, tiny_slide, random_model):
    told = prediction.provenance
    assert told["slide"]["path"] == str(tiny_slide)
    assert (told["slide"]["width"], told["slide"]["height"], told["slide"]["origin"]) == (1536, 1280, [0, 0])
    assert told["slide"]["mpp"] == pytest.approx([0.5, 0.5])
    assert told["model"]["digest"] == random_model.digest
    assert told["encoder"] == {"id": "random", "digest": random_model.encoder.digest, "precision": told["encoder"]["precision"]}
    assert told["encoder"]["precision"] in ("fp32", "bf16")
    assert told["patches"]["counts"] == {"0.5": 12}
    assert told["patches"]["digest"] == {"0.5": random_model.spec.patch_specs()[0].digest}
    assert told["device"] == "cpu"
    assert told["seconds"]["total"] == pytest.approx(sum(told["seconds"][s] for s in ("tissue", "encoding", "model")), abs=0.01)
    assert {"napari-wsimil", "torch", "python"} <= told["versions"].keys()
    assert told["notices"] == []


def test_progress_goes_through_the_stages(tiny_slide, random_model):
    seen: list[Progress] = []
    predict(tiny_slide, random_model, device="cpu", on_progress=seen.append, batch_size=3)
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == ["Opening the slide", "Finding tissue", "Reading and encoding patches", "Running the model"]
    encoding = [progress for progress in seen if progress.stage == stages[2]]
    done = [progress.done for progress in encoding]
    assert done == sorted(done)
    assert {0, 3, 6, 9, 12} <= set(done)
    assert {progress.total for progress in encoding} == {12}
    assert encoding[-1].rate > 0
    assert encoding[-1].seconds_left == 0


def test_open_slides_stay_open_and_names_are_loaded(tiny_slide, random_model):
    with open_slide(tiny_slide) as slide:
        by_object = predict(slide, random_model, device="cpu")
        by_name = predict(slide, random_model.source, device="cpu")
        by_folder = predict(slide, Path(random_model.source), device="cpu")
        assert slide.read_region(0, 0, 8, 8).shape == (8, 8, 3)
    assert by_object.probabilities == by_name.probabilities == by_folder.probabilities


def test_store_makes_it_the_same_without_encoding(tiny_slide, random_model, tmp_path, prediction):
    first = predict(tiny_slide, random_model, device="cpu", store=tmp_path)
    second = predict(tiny_slide, random_model, device="cpu", store=tmp_path)
    assert first.provenance["patches"]["encoded"] == {"0.5": 12}
    assert second.provenance["patches"]["encoded"] == {"0.5": 0}
    assert second.probabilities == first.probabilities
    assert first.probabilities == pytest.approx(prediction.probabilities)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in {"wsimil-reader", "wsimil-encoder"}]


@pytest.mark.parametrize("kind", ["event", "function"])
def test_cancel_stops_at_once(tiny_slide, random_model, tmp_path, kind):
    event, seen = threading.Event(), []

    def on_progress(progress):
        seen.append(progress.done)
        if progress.done >= 2:
            event.set()

    cancel = event if kind == "event" else event.is_set
    with pytest.raises(CancelledError):
        predict(tiny_slide, random_model, on_progress=on_progress, cancel=cancel, store=tmp_path, batch_size=1, device="cpu")
    assert max(seen) == 2
    assert not readers()
    # what was encoded stays, and is not encoded again
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".part"]
    again = predict(tiny_slide, random_model, store=tmp_path, device="cpu")
    assert 0 < again.provenance["patches"]["encoded"]["0.5"] < 12


def test_closing_the_steps_stops_the_reader(tiny_slide, random_model):
    steps = predict_steps(tiny_slide, random_model, device="cpu", batch_size=1)
    while next(steps).done < 1:
        pass
    assert readers()
    steps.close()
    assert not readers()


def test_finding_tissue_does_not_hold_up_a_cancel(tiny_slide, random_model, monkeypatch):
    release, found = threading.Event(), []
    monkeypatch.setattr("napari_wsimil.inference.making_bags.find_tissue", lambda *_: found.append(release.wait(60)))
    steps = predict_steps(tiny_slide, random_model, device="cpu")
    stages = [next(steps).stage for _ in range(4)]
    assert stages == ["Opening the slide", *["Finding tissue"] * 3]
    steps.close()
    assert not found, "it is still being looked for"
    release.set()


def test_steps_return_the_prediction(tiny_slide, random_model, prediction):
    steps = predict_steps(tiny_slide, random_model, device="cpu")
    returned = []

    def follow():
        returned.append((yield from steps))

    assert all(isinstance(step, Progress) for step in follow())
    assert returned[0].probabilities == pytest.approx(prediction.probabilities)


def test_threads_of_torch_are_left_alone(tiny_slide, random_model):
    before = torch.get_num_threads()
    predict(tiny_slide, random_model, device="cpu")
    assert torch.get_num_threads() == before


def test_no_tissue(tmp_path, write_slide, random_model):
    with pytest.raises(SlideError, match=r"No tissue was found on glass\.tiff"):
        predict(write_slide(tmp_path / "glass.tiff", tissue=False), random_model, device="cpu")


def test_unknown_mpp_is_asked_for(tmp_path, write_slide, random_model, prediction):
    path = write_slide(tmp_path / "unknown.tiff", mpp=None)
    with pytest.raises(SlideError, match="give it as mpp"):
        predict(path, random_model, device="cpu")
    given = predict(path, random_model, device="cpu", mpp=0.5)
    assert given.provenance["slide"]["mpp_source"] == "user"
    assert len(given.attention[0.5]) == 12


def test_mpp_of_an_open_slide_is_not_changed_silently(tiny_slide, random_model):
    with open_slide(tiny_slide) as slide, pytest.raises(SlideError, match="is open already"):
        predict(slide, random_model, device="cpu", mpp=0.25)


def test_coarse_slides_are_enlarged_with_a_notice_or_refused(tmp_path, write_slide, random_model):
    path = write_slide(tmp_path / "coarse.tiff")
    enlarged = predict(path, random_model, device="cpu", mpp=0.8)
    (notice,) = enlarged.provenance["notices"]
    assert "were enlarged 1.60 times" in notice
    assert enlarged.attention[0.5].size_level0 == pytest.approx(160)
    with pytest.raises(SlideError, match=r"too coarse for model random, which looks at 0\.5"):
        predict(path, random_model, device="cpu", mpp=1.2)


def test_finer_slides_are_resampled(tmp_path, write_slide, random_model):
    path = write_slide(tmp_path / "fine.tiff", width=2048, height=2048)
    scores = predict(path, random_model, device="cpu", mpp=0.25).attention[0.5]
    assert scores.size_level0 == pytest.approx(512)
    assert (scores.xy % 512 == 0).all()


def test_instances_are_none_without_instance_logits(tiny_slide, random_model):
    class Silent(MILModel):
        def forward(self, bag):
            output = random_model.mil(bag)
            return replace(output, instance_logits=None)

    assert predict(tiny_slide, replace(random_model, mil=Silent()), device="cpu").instances == {}


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    for name, says in (("cuda", "finds none on this computer"), ("gpu", "There is no device"), ("xla", "not supported")):
        with pytest.raises(ModelError, match=says):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:0").index == 0
    with pytest.raises(ModelError, match="cuda:3"):
        choose_device("cuda:3")


def test_rate_follows_the_last_seconds():
    now = [0.0]
    meter = Meter(clock=lambda: now[0])
    assert meter.progress("s", 0, 1000).seconds_left is None
    for second in range(1, 11):
        now[0] = second
        report = meter.progress("s", second * 10, 1000)
    assert report.rate == pytest.approx(10)
    assert report.seconds_left == pytest.approx(90)
    for second in range(11, 16):
        now[0] = second
        report = meter.progress("s", 100 + (second - 10) * 50, 1000)
    assert report.rate == pytest.approx(50)


@pytest.mark.filterwarnings("ignore::napari_wsimil.errors.SlideWarning")
@pytest.mark.parametrize(
    ("name", "mpp", "patches"),
    [("cmu1_small_region.svs", None, 40), ("tcga_cr_7395.svs", 0.5, 100), ("dicom_cmu", None, 40)],
)
def test_real_slides(real_data, random_model, name, mpp, patches):
    result = predict(real_data(f"slides/{name}"), random_model, device="cpu", mpp=mpp)
    scores = result.attention[0.5]
    assert len(scores) >= patches
    assert scores.values.sum() == pytest.approx(1, abs=1e-4)
    assert np.isfinite(result.instances[0.5].values).all()


def test_wrong_mpp_is_a_warning_then_a_sentence(real_data, random_model):
    with pytest.warns(SlideWarning), pytest.raises(SlideError, match="mpp"):
        predict(real_data("slides/cmu1_jpeg_wrong_mpp.tiff"), random_model, device="cpu")
