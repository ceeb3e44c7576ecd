"""Encoders in half precisions: measured before they are taken, and never meaning anything else."""

from __future__ import annotations

import shutil
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from napari_wsimil.encoders import AbsentEncoder, Encoder, EncoderSpec, _encoder, is_out_of_memory, load_encoder, pending
from napari_wsimil.encoders.tuning import Tuning, measure, sample_patches
from napari_wsimil.errors import ModelError

PIXELS = sample_patches(64, 5)


def busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Probe(nn.Module):
    """A small network that sees which precision it is asked for and can be slow or wrong in either."""

    def __init__(self, *, slow: str = "fp32", error: float = 0.0, fails: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.norm = nn.Conv2d(3, 8, 8, stride=8), nn.BatchNorm2d(8)
        self.slow, self.error, self.fails, self.calls = slow, error, fails, 0

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        half = torch.is_autocast_enabled("cpu")
        name = "half" if half else "fp32"
        if name == self.fails:
            raise RuntimeError('"slow_conv2d" not implemented for this\nand more lines')
        if name == self.slow:
            busy(0.02)
        features = self.norm(self.layer(pixels)).abs().mean(dim=(2, 3))
        return features.roll(1, dims=1) * (self.error * half) + features


def made(network: nn.Module, digest: str, device: str = "cpu") -> Encoder:
    spec = EncoderSpec(id="probe", patch_size=64, mean=(0.8, 0.6, 0.7), std=(0.2, 0.2, 0.2), dimension=8)
    return Encoder(spec, network, digest, device)


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    monkeypatch.setattr(_encoder, "_MEASURED", {})


def test_as_loaded_it_is_fp32():
    encoder = load_encoder("bundled")
    assert (encoder.precision, encoder.compiled, encoder.tuning) == ("fp32", False, None)
    assert encoder.tuned("fp32") is encoder


def test_half_precision_is_taken_where_it_is_faster_and_agrees():
    encoder = made(Probe(slow="fp32"), "fast half")
    threads = torch.get_num_threads()
    tuned = encoder.tuned()
    assert torch.get_num_threads() == threads
    assert (tuned.precision, encoder.precision) == ("bf16", "fp32")
    assert tuned.tuning.half_rate > 1.2 * tuned.tuning.fp32_rate > 0
    assert 0.999 < tuned.tuning.agreement <= 1
    features = tuned.encode(PIXELS)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, encoder.encode(PIXELS), rtol=0.02, atol=0.02)
    assert not torch.equal(features, encoder.encode(PIXELS))
    assert "bf16" in repr(tuned)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Probe(slow="half"), lambda found: found.half_rate < found.fp32_rate),
        (Probe(error=0.3), lambda found: found.agreement < 0.999),
        (Probe(error=float("nan")), lambda found: found.agreement == 0),
        (Probe(fails="half"), lambda found: found.half_rate == 0 < found.fp32_rate),
    ],
    ids=["slower", "other features", "not finite", "not possible"],
)
def test_fp32_stays_where_half_precision_is_no_gain(network, reason):
    tuned = made(network, "no gain").tuned()
    assert tuned.precision == "fp32"
    assert reason(tuned.tuning)


def test_measured_once_for_an_encoder_and_a_device():
    network = Probe()
    first = made(network, "same").tuned()
    calls = network.calls
    assert made(network, "same").tuned().tuning is first.tuning
    assert network.calls == calls
    made(network, "other").tuned()
    assert network.calls > calls


def test_a_hopeless_half_precision_is_given_up_at_once():
    seen = []

    def slow(patches):
        seen.append(len(patches))
        time.sleep(0.3)
        return torch.ones(len(patches), 2)

    found = measure(lambda patches: torch.ones(len(patches), 2), slow, "bf16", 32)
    assert (seen, found.chosen) == ([16], "fp32")


def test_clearly_faster_means_by_a_fifth():
    assert Tuning("bf16", 100, 119, 1.0, 8).chosen == "fp32"
    assert Tuning("bf16", 100, 121, 0.9995, 8).chosen == "bf16"
    assert Tuning("fp16", 100, 400, 0.998, 8).chosen == "fp32"


def test_forced_precisions():
    encoder = made(Probe(slow=""), "forced")
    tuned = encoder.tuned("bf16")
    assert (tuned.precision, tuned.tuning, tuned.digest) == ("bf16", None, encoder.digest)
    assert tuned.tuned("bf16") is tuned
    back = tuned.tuned("fp32")
    assert back.precision == "fp32"
    assert torch.equal(back.encode(PIXELS), encoder.encode(PIXELS))
    # one at a time is the same as all at once, nearly
    torch.testing.assert_close(tuned.encode(PIXELS[1:2]), tuned.encode(PIXELS)[1:2], rtol=0.01, atol=0.01)


@pytest.mark.parametrize(
    ("precision", "says"), [("fp16", r"\(CPU\) does not compute in fp16"), ("int8", 'no precision "int8"; choose auto')]
)
def test_precisions_that_are_not_there(precision, says):
    with pytest.raises(ModelError, match=says):
        made(Probe(), "refused").tuned(precision)


def test_a_network_that_can_not_do_it_says_so():
    with pytest.raises(ModelError, match=r"Encoder probe can't compute in bf16 on cpu \(.*not implemented.*\); choose auto"):
        made(Probe(fails="half"), "fails").tuned("bf16")


def test_moving_keeps_what_was_asked_for(random_encoder):
    moved = random_encoder[0].tuned("bf16").to("cpu:0")
    assert (moved.precision, str(moved.device)) == ("bf16", "cpu:0")
    assert random_encoder[0].to("cpu:0").precision == "fp32"


def test_bundled_encoder_means_the_same_in_bf16():
    encoder = load_encoder("bundled")
    patches = sample_patches(256, 8)
    plain, half = encoder.encode(patches), encoder.tuned("bf16").encode(patches)
    assert torch.nn.functional.cosine_similarity(plain, half).min() > 0.9999
    assert (plain - half).square().mean() < 0.03**2 * plain.var(dim=0).mean()


@pytest.mark.parametrize("kind", ["resnet-basic", "vit", "dinov2", "clip"])
def test_networks_of_others_mean_the_same_in_bf16(checkpoints, kind):
    encoder = load_encoder(checkpoints / kind)
    patches = sample_patches(64, 4)
    half = encoder.tuned("bf16").encode(patches)
    assert half.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(encoder.encode(patches), half).min() > 0.999
    assert all(weights.dtype == torch.float32 for weights in encoder._network.parameters())


def test_encoders_that_are_absent_refuse():
    for call in (lambda e: e.tuned(), lambda e: e.begin(PIXELS), lambda e: e.encode(PIXELS)):
        with pytest.raises(ModelError, match="does not have"):
            call(AbsentEncoder("elsewhere", 8))


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler")
def test_compiled_for_batches_of_any_size():
    encoder = made(nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "compiled")
    tuned = encoder.tuned("fp32", compiled=True)
    assert tuned.compiled
    assert not encoder.compiled
    torch._dynamo.utils.counters.clear()
    for count in (5, 3, 2, 1):
        torch.testing.assert_close(tuned.encode(PIXELS[:count]), encoder.encode(PIXELS[:count]), rtol=1e-4, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0, "compiled again for another size"


def test_without_a_compiler_a_sentence(monkeypatch):
    def broken(steps):
        def run(pixels):
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ModelError, match=r"can't be compiled here \(Invalid.*\); install a C\+\+ compiler"):
        made(Probe(), "broken").tuned("fp32", compiled=True)


def test_begin_gives_what_encode_gives(random_encoder):
    encoder = random_encoder[0]
    patches = sample_patches(encoder.patch_size, 3)
    first, second = encoder.begin(patches[:2]), encoder.begin(patches[2:])
    assert second.features().shape == (1, 256)
    assert np.array_equal(first.features(), encoder.encode(patches[:2]).numpy())
    assert first.features().dtype == np.float32
    assert encoder.begin(patches[:0]).features().shape == (0, 256)


class Stream:
    """A CUDA stream whose work is done when somebody waits for it, and not before."""

    def __init__(self, _device=None) -> None:
        self.work = []

    def wait_stream(self, other) -> None:
        other.synchronize()

    def synchronize(self) -> None:
        for step in self.work:
            step()
        self.work.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.fixture(name="lanes")
def _lanes(monkeypatch):
    """Lanes of a device on which pixels are read, and features written, at the latest possible moment."""
    streams = []

    def stream(device):
        streams.append(Stream())
        return streams[-1]

    monkeypatch.setattr(torch.cuda, "Stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    plain = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, pin_memory=False, **options: plain(*size, **options))
    original = pending.Lane._send

    def send(self, host, compute):
        self._stream.work.append(lambda: original(self, host, compute))
        return len(host)

    monkeypatch.setattr(pending.Lane, "_send", send)
    return pending.Lanes(torch.device("cpu")), streams


def sums(pixels):
    return pixels.float().sum(dim=(2, 3))


def test_memory_of_a_lane_is_filled_again_only_when_its_batch_is_done(lanes):
    lanes, streams = lanes
    random = np.random.default_rng(0)
    batches = [random.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8) for count in (4, 4, 2, 5, 1)]
    waiting, most = [], 0
    for batch in batches:
        given = batch.copy()
        waiting.append(lanes.begin(torch.from_numpy(given).permute(0, 3, 1, 2), sums))
        given[:] = 0  # what was given may be used for other things at once
        most = max(most, sum(bool(stream.work) for stream in streams))
    assert most == 2
    for batch, one in reversed(list(zip(batches, waiting, strict=True))):
        assert np.array_equal(one.features(), batch.astype(np.float32).sum(axis=(1, 2)))
        assert one.features() is one.features()


def test_lanes_serve_several_threads(lanes):
    lanes, _ = lanes
    wrong = []

    def work(number):
        for count in range(1, 30):
            batch = torch.full((count % 4 + 1, 3, 4, 4), number, dtype=torch.uint8)
            if not (lanes.begin(batch, sums).features() == 16 * number).all():
                wrong.append((number, count))

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_features_are_those_of_the_cpu(random_encoder):
    encoder = random_encoder[0]
    patches = sample_patches(encoder.patch_size, 9)
    moved = encoder.to("cuda")
    waiting = [moved.begin(patches[start : start + 2]) for start in range(0, 9, 2)]
    found = np.concatenate([one.features() for one in waiting])
    # convolutions are done in TF32 there
    np.testing.assert_allclose(found, encoder.encode(patches), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17 GB"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA out of memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_out_of_memory(error, is_it):
    assert is_out_of_memory(error) is is_it


def test_out_of_memory_of_this_computer():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)
