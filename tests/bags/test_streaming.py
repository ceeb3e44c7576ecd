"""Reading and encoding side by side: order, memory, errors, threads."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from napari_wsimil.bags import BatchSize, Focus
from napari_wsimil.bags.order import PatchOrder
from napari_wsimil.bags.rates import StageRates
from napari_wsimil.bags.streaming import ONE_AT_A_TIME, READ_AT_ONCE, encoder_threads, streamed
from napari_wsimil.encoders import Pending
from napari_wsimil.errors import ModelError, SlideError
from napari_wsimil.patches import PatchGrid

SIDE = 100.0


def grid_of(columns: int, rows: int) -> PatchGrid:
    row, column = np.divmod(np.arange(columns * rows), columns)
    cells = np.stack([column, row], axis=1)
    units = 0.5, 100, 100, SIDE, SIDE
    return PatchGrid((cells * SIDE).astype(np.int64), cells, np.ones(len(cells), np.float32), *units)


class Fake:
    """An encoder whose feature is its patch's number; it can take `most` patches at once."""

    id, device, compiled, parameters = "fake", torch.device("cpu"), False, 0

    def __init__(self, most: int = 99) -> None:
        self.most, self.batches, self.threads = most, [], set()
        self.lock = threading.Lock()

    def begin(self, pixels):
        with self.lock:
            self.batches.append(len(pixels))
            self.threads.add((threading.get_ident(), torch.get_num_threads()))
        if len(pixels) > self.most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory")
        return Pending(pixels.reshape(len(pixels), 1).astype(np.float32))


@contextmanager
def torch_threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def everything(order, encoder, batch, read=lambda rows: rows.reshape(-1, 1, 1, 1), rates=None):
    with streamed(order, read, encoder, batch, rates or StageRates()) as results:
        return [found for found in results if found is not None]


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in {"wsimil-reader", "wsimil-encoder"}]


def test_every_patch_comes_once_with_its_own_feature():
    rows, encoder, rates = np.arange(7, 300), Fake(), StageRates()
    with torch_threads(3):
        found = everything(PatchOrder(rows, grid_of(20, 20)), encoder, BatchSize(4, 4, adaptive=False), rates=rates)
        assert torch.get_num_threads() == 3
        assert ask_in_a_new_thread() == 3
    got = np.concatenate([part.rows for part in found])
    np.testing.assert_array_equal(np.sort(got), rows)
    np.testing.assert_array_equal(np.concatenate([part.features for part in found])[:, 0], got)
    # three that compute on one core each
    assert {count for _, count in encoder.threads} == {1}
    assert {"read", "encode"} <= rates.now().keys()
    assert not ours()


def ask_in_a_new_thread() -> int:
    told: list[int] = []
    thread = threading.Thread(target=lambda: told.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return told[0]


def test_who_encodes():
    encoder = Fake()
    with torch_threads(3):
        assert encoder_threads(encoder) == 3
        for name, value in (("compiled", True), ("parameters", ONE_AT_A_TIME + 1), ("device", torch.device("cuda"))):
            other = Fake()
            setattr(other, name, value)
            assert encoder_threads(other) == 1


def test_out_of_memory_halves_the_batch_and_loses_nothing():
    encoder, batch = Fake(most=3), BatchSize(16, 16, adaptive=False)
    found = everything(PatchOrder(np.arange(64), grid_of(8, 8)), encoder, batch)
    assert sorted(np.concatenate([part.rows for part in found]).tolist()) == list(range(64))
    assert batch.largest <= 3
    assert max(encoder.batches) == 16


def test_out_of_memory_for_one_patch_is_a_sentence():
    with pytest.raises(ModelError, match="not enough memory on cpu for a single patch with encoder fake"):
        everything(PatchOrder(np.arange(64), grid_of(8, 8)), Fake(most=0), BatchSize(8))
    assert not ours()


def test_what_reading_or_encoding_raises_is_raised_here():
    def gone(rows):
        if rows[0] >= 32:
            raise SlideError("The disk is gone.")
        return rows.reshape(-1, 1, 1, 1)

    class Broken(Fake):
        def begin(self, pixels):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    order = PatchOrder(np.arange(64), grid_of(8, 8))
    with pytest.raises(SlideError, match="The disk is gone"):
        everything(order, Fake(), BatchSize(4), gone)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        everything(PatchOrder(np.arange(64), grid_of(8, 8)), Broken(), BatchSize(4))
    assert not ours()


def test_memory_is_bounded_while_nobody_takes():
    read = []

    def note(rows):
        read.append(len(rows))
        return rows.reshape(-1, 1, 1, 1)

    release = threading.Event()

    class Slow(Fake):
        def begin(self, pixels):
            release.wait(20)
            return super().begin(pixels)

    order = PatchOrder(np.arange(400), grid_of(20, 20))
    with torch_threads(2), streamed(order, note, Slow(), BatchSize(4, 4, adaptive=False), StageRates()) as results:
        for _ in range(3):
            assert next(results) is None
        assert sum(read) <= 3 * READ_AT_ONCE[0]
        release.set()


def test_leaving_stops_at_once_though_the_disk_hangs():
    release, came = threading.Event(), []
    order = PatchOrder(np.arange(64), grid_of(8, 8))
    with streamed(order, lambda rows: came.append(release.wait(60)) or rows, Fake(), BatchSize(4), StageRates()) as results:
        assert next(results) is None
    assert not came, "it still hangs"
    release.set()


def test_what_is_in_view_comes_first_and_again_when_the_view_moves():
    grid, focus = grid_of(10, 10), Focus()
    order = PatchOrder(np.arange(100), grid, focus)
    assert order.take(2).tolist() == [0, 1]
    # partly in view counts
    focus.look_at(850, 850, 1000, 1000)
    assert order.take(3).tolist() == [88, 89, 98]
    focus.look_at(0, 500, 150, 600)
    assert order.take(3).tolist() == [50, 51, 2]
    rest = np.concatenate([order.take(33) for _ in range(4)])
    # 99, put off, is back among its neighbours
    assert rest.tolist() == [row for row in range(3, 100) if row not in (50, 51, 88, 89, 98)]
    assert len(order.take(5)) == 0


def test_without_a_view_the_order_stays():
    rows = np.array([5, 3, 9])
    assert PatchOrder(rows, grid_of(4, 4)).take(9).tolist() == [5, 3, 9]
    assert PatchOrder(rows, grid_of(4, 4), Focus()).take(9).tolist() == [3, 5, 9]


def test_rates_are_of_late_and_of_all_workers():
    clock = [0.0]
    rates = StageRates(lambda: clock[0])
    assert rates.now() == {}
    rates.record("read", 100, 1.0)
    clock[0] = 10.0
    rates.record("read", 10, 0.5)
    rates.record("encode", 10, 1.0, workers=4)
    assert rates.now() == pytest.approx({"read": 20, "encode": 40})
