"""Provisional heatmaps: of what is encoded, for every method, and alone on what was encoded."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from napari_wsimil.bags import BatchSize, FeatureBag, Focus, SlideBag
from napari_wsimil.encoders import Encoder
from napari_wsimil.inference import predict
from napari_wsimil.inference.provisional import Preview
from napari_wsimil.mil import METHODS
from napari_wsimil.mil.registry import build_mil
from napari_wsimil.patches import PatchSpec, find_tissue
from napari_wsimil.slides import open_slide


@pytest.fixture
def slide(tiny_slide):
    with open_slide(tiny_slide) as opened:
        yield opened


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_method_tells_of_what_is_there(slide, random_encoder, name, count):
    torch.manual_seed(0)
    encoder, _ = random_encoder
    several = name == "zoommil"
    network = build_mil(name, encoder.dimension, 2, {"magnifications": 2} if several else {}).eval()
    specs = [PatchSpec(1.0, min_tissue=0.1), PatchSpec(0.5)] if several else [PatchSpec(0.5)]
    with SlideBag(slide, encoder, specs, tissue=find_tissue(slide)) as bag, torch.inference_mode():
        for mpp in bag.mpps:
            rows = np.sort(np.random.default_rng(1).permutation(len(bag.grid(mpp)))[:count])
            bag.features(mpp, rows)
            found = Preview(network, bag, 0.0).due(mpp)
            assert found is not None
            assert found.mpp == mpp
            assert len(found.attention) == len(bag.grid(mpp))
            assert np.flatnonzero(np.isfinite(found.attention.values)).tolist() == rows.tolist()
            assert np.nansum(found.attention.values) == pytest.approx(1, abs=1e-5)


def test_when_all_is_there_it_is_the_attention(slide, random_model):
    with SlideBag(slide, random_model.encoder, random_model.spec.patch_specs(), tissue=find_tissue(slide)) as bag:
        features = bag.features(0.5)
        with torch.inference_mode():
            found = Preview(random_model.mil, bag, 0.0).due(0.5)
            whole = random_model.mil(FeatureBag({0.5: features}, {0.5: bag.grid(0.5)}))
    np.testing.assert_allclose(found.attention.values, whole.attention[0.5].numpy(), rtol=1e-5)


def test_not_twice_of_the_same_and_not_too_often(slide, random_model):
    with SlideBag(slide, random_model.encoder, random_model.spec.patch_specs(), tissue=find_tissue(slide)) as bag:
        preview, rare = Preview(random_model.mil, bag, 0.0), Preview(random_model.mil, bag, 1000.0)
        assert preview.due(0.5) is None
        bag.features(0.5, np.arange(3))
        with torch.inference_mode():
            assert rare.due(0.5) is not None
            first = preview.due(0.5)
            assert first is not None
            preview._next = 0.0
            assert preview.due(0.5) is None
            bag.features(0.5)
            assert preview.due(0.5) is not None
            assert rare.due(0.5) is None


def test_a_prediction_reports_them_and_ends_as_without(tiny_slide, random_model, monkeypatch):
    """Encoding waits for the heatmap of what is there: on a quick machine all would be over before the second."""
    seen, begun = [], 0
    encode = Encoder.begin

    def heatmaps():
        return [progress.provisional for progress in seen if progress.provisional is not None]

    def begin(self, patches):
        nonlocal begun
        until = time.monotonic() + 10
        while len(heatmaps()) < begun - 2 and time.monotonic() < until:
            time.sleep(0.01)
        begun += 1
        return encode(self, patches)

    plain = predict(tiny_slide, random_model, device="cpu", precision="fp32")
    monkeypatch.setattr(Encoder, "begin", begin)
    live = predict(
        tiny_slide, random_model, device="cpu", precision="fp32", batch_size=1, provisional=0.0, on_progress=seen.append
    )
    counts = [int(np.isfinite(part.attention.values).sum()) for part in heatmaps()]
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1] <= 12
    assert live.probabilities == pytest.approx(plain.probabilities, abs=1e-5)
    assert {"read", "encode"} <= seen[-2].rates.keys() | set().union(*(progress.rates for progress in seen))


@pytest.fixture
def one_at_a_time(monkeypatch):
    """Threads that encode side by side end in any order."""
    monkeypatch.setattr("napari_wsimil.bags.streaming.encoder_threads", lambda encoder: 1)


@pytest.mark.usefixtures("one_at_a_time")
def test_the_view_comes_first(tiny_slide, random_model):
    """The lower right of the slide is in view: the first heatmap has patches of it before any others."""
    seen = []
    with open_slide(tiny_slide) as slide:
        grid_x, grid_y = 1024, 768
        focus = Focus((grid_x, grid_y, slide.width, slide.height))
        predict(slide, random_model, device="cpu", batch_size=1, provisional=0.0, focus=focus, on_progress=seen.append)
    first = next(progress.provisional for progress in seen if progress.provisional is not None).attention
    known = first.xy[np.isfinite(first.values)]
    in_view, known_in_view = (int((xy + 256 > (grid_x, grid_y)).all(axis=1).sum()) for xy in (first.xy, known))
    assert 0 < in_view < len(first)
    assert known_in_view == min(in_view, len(known)) > 0


@pytest.mark.usefixtures("one_at_a_time")
def test_batches_follow_the_view_inside_one_job(slide, random_encoder):
    """A view that moves while encoding changes what is next."""
    encoder, _ = random_encoder
    focus = Focus((0, 0, 256, 256))
    batch = BatchSize(1, 1, adaptive=False)
    with SlideBag(slide, encoder, [PatchSpec(0.5)], tissue=find_tissue(slide), batch=batch, focus=focus) as bag:
        grid = bag.grid(0.5)
        assert not focus.sees(grid).all()
        last = grid.xy[-1]
        focus.look_at(float(last[0]) + 10, float(last[1]) + 10, float(last[0]) + 20, float(last[1]) + 20)
        steps = bag.encode_steps(0.5)
        while not bag.known(0.5).any():
            next(steps)
        assert bag.known(0.5)[-1]
        steps.close()
