from __future__ import annotations

import threading
import time

import h5py
import numpy as np
import pytest
import torch

from napari_wsimil.bags import Bag, BatchSize, FeatureBag, FeatureStore, SlideBag
from napari_wsimil.bags.prefetch import prefetched
from napari_wsimil.encoders.pending import Pending
from napari_wsimil.errors import SlideError
from napari_wsimil.patches import PatchSpec, find_tissue, patch_grid
from napari_wsimil.slides import open_slide

SPEC = PatchSpec(0.5, min_tissue=0.5)


class Counting:
    """An encoder that counts what it encodes; a feature is the mean colour, then the number of the call."""

    id, digest, dimension, patch_size = "counting", "0123456789abcdef", 4, 256
    device, precision, compiled, parameters = torch.device("cpu"), "fp32", False, 0

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()

    def begin(self, patches):
        with self.lock:
            self.count += len(patches)
        means = patches.reshape(len(patches), -1, 3).mean(1)
        return Pending(np.concatenate([means, np.full((len(patches), 1), 7.0)], axis=1).astype(np.float32))


@pytest.fixture
def slide(tiny_slide):
    with open_slide(tiny_slide) as opened:
        yield opened


def make_bag(slide, encoder, store=None, specs=(SPEC,)):
    return SlideBag(slide, encoder, specs, tissue=find_tissue(slide), store=store, batch=BatchSize(4, 4, adaptive=False))


def test_both_bags_follow_the_protocol(slide):
    assert isinstance(make_bag(slide, Counting()), Bag)
    assert isinstance(FeatureBag({0.5: torch.zeros(1, 2)}), Bag)


def test_slide_bag_encodes_rows_once(slide):
    encoder = Counting()
    bag = make_bag(slide, encoder)
    grid = bag.grid(0.5)
    assert len(grid) == 4 * 3
    some = bag.features(0.5, np.array([5, 1]))
    assert encoder.count == 2
    pixels = slide.read_patches(grid.xy[[5, 1]], 256, 0.5)
    np.testing.assert_allclose(some[:, :3].numpy(), pixels.reshape(2, -1, 3).mean(1), rtol=1e-5)
    everything = bag.features(0.5)
    assert encoder.count == len(grid)
    assert bag.encoded[0.5] == len(grid)
    assert torch.equal(everything[[5, 1]], some)
    assert torch.equal(bag.features(0.5, torch.tensor([0])), everything[:1])
    assert encoder.count == len(grid)


def test_slide_bag_goes_from_coarse_to_fine_and_knows_children(slide):
    bag = make_bag(slide, Counting(), specs=(PatchSpec(0.5, min_tissue=0.5), PatchSpec(1.0, min_tissue=0.1)))
    assert bag.mpps == (1.0, 0.5)
    rows = bag.children(1.0, 0.5, np.array([0]))
    assert rows.shape == (1, 4)
    inside = rows[rows >= 0]
    assert len(inside)
    offset = bag.grid(0.5).xy[inside] - bag.grid(1.0).xy[0]
    assert (offset >= 0).all()
    assert (offset < 512).all()


def test_store_is_tridents_layout_and_used_again(slide, tmp_path):
    store = FeatureStore(tmp_path)
    first = make_bag(slide, Counting(), store)
    features = first.features(0.5)
    (path,) = tmp_path.rglob("*.h5")
    assert not list(tmp_path.rglob("*.part"))
    with h5py.File(path) as file:
        assert file["features"].shape == (12, 4)
        assert file["features"].dtype == np.float32
        assert file["features"].chunks is None
        assert file["coords"].dtype == np.int64
        np.testing.assert_array_equal(file["coords"][:], first.grid(0.5).xy)
        attributes = dict(file["coords"].attrs)
    assert (attributes["patch_size"], attributes["level0_magnification"], attributes["target_magnification"]) == (256, 20, 20)
    assert (attributes["overlap"], attributes["mpp_target"]) == (0, 0.5)
    again = Counting()
    second = make_bag(slide, again, store)
    assert torch.equal(second.features(0.5), features)
    assert again.count == 0
    assert second.encoded[0.5] == 0


def test_part_of_a_slide_is_kept_for_the_next_time(slide, tmp_path):
    with make_bag(slide, Counting(), FeatureStore(tmp_path)) as bag:
        some = bag.features(0.5, np.array([3, 0, 7]))
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert path.name.endswith(".h5.part")
    encoder = Counting()
    with make_bag(slide, encoder, FeatureStore(tmp_path)) as bag:
        assert torch.equal(bag.features(0.5)[[3, 0, 7]], some)
    assert encoder.count == bag.encoded[0.5] == 9
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert path.suffix == ".h5"


def test_patches_inside_an_area_go_to_the_rows_of_the_whole_slide(slide, tmp_path):
    store, right = FeatureStore(tmp_path), lambda grid: grid.xy[:, 0] >= 512
    make = {"tissue": find_tissue(slide), "store": store}
    with SlideBag(slide, Counting(), (SPEC,), inside=right, **make) as bag:
        grid, features = bag.grid(0.5), bag.features(0.5)
    assert 0 < len(grid) < 12
    assert (grid.xy[:, 0] >= 512).all()
    encoder = Counting()
    with SlideBag(slide, encoder, (SPEC,), **make) as bag:
        assert torch.equal(bag.features(0.5)[right(bag.grid(0.5))], features)
    assert encoder.count == 12 - len(grid)


def test_a_second_writer_encodes_by_itself_and_stores_the_whole(slide, tmp_path):
    store = FeatureStore(tmp_path)
    with make_bag(slide, Counting(), store) as first:
        first.features(0.5, np.arange(4))
        encoder = Counting()
        with SlideBag(slide, encoder, (SPEC,), tissue=find_tissue(slide), store=store) as second:
            features = second.features(0.5)
        assert encoder.count >= 8
        whole = store.load(slide, encoder, SPEC, second.grid(0.5))
        np.testing.assert_array_equal(whole, features.numpy())
        assert torch.equal(first.features(0.5), features)
    assert not list(tmp_path.rglob("*.part"))


def test_what_the_disk_did_not_give_is_not_stored(slide, tmp_path, monkeypatch):
    read = slide.read_patches

    def failing(*arguments, **named):
        slide._damage.faults.append(OSError(5, "Input/output error"))
        return read(*arguments, **named)

    store = FeatureStore(tmp_path)
    monkeypatch.setattr(slide, "read_patches", failing)
    with make_bag(slide, Counting(), store) as bag:
        assert len(bag.features(0.5)) == 12
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_stain_is_asked_for_once_and_only_where_something_is_encoded(slide, tmp_path):
    asked = []

    class Darker:
        def apply(self, pixels, out):
            np.floor_divide(pixels, 2, out=out)
            return out

    def stain():
        asked.append(1)
        return Darker()

    plain = make_bag(slide, Counting()).features(0.5)
    for _ in range(2):
        with SlideBag(slide, Counting(), (SPEC,), tissue=find_tissue(slide), store=FeatureStore(tmp_path), stain=stain) as bag:
            darker = bag.features(0.5)
    assert (darker[:, :3] < 0.51 * plain[:, :3]).all()
    assert len(asked) == 1


def test_store_is_not_used_for_anything_else(slide, tiny_slide, tmp_path):
    store = FeatureStore(tmp_path)
    make_bag(slide, Counting(), store).features(0.5)
    other_encoder = Counting()
    other_encoder.digest = "fedcba9876543210"
    make_bag(slide, other_encoder, store).features(0.5)
    assert other_encoder.count == 12
    other_spec = Counting()
    make_bag(slide, other_spec, store, (PatchSpec(0.5, min_tissue=0.4),)).features(0.5)
    assert other_spec.count == 12
    other_mpp = Counting()
    with open_slide(tiny_slide, mpp=0.25) as finer:
        bag = make_bag(finer, other_mpp, store)
        bag.features(0.5)
        assert other_mpp.count == len(bag.grid(0.5)) > 0


def test_store_with_other_pixels_under_the_same_name_is_not_used(slide, tmp_path):
    store, grid = FeatureStore(tmp_path), patch_grid(slide, tissue=find_tissue(slide), min_tissue=0.5)
    path = store.save(slide, Counting(), SPEC, grid, np.ones((len(grid), 4), np.float32))
    assert store.load(slide, Counting(), SPEC, grid) is not None
    with h5py.File(path, "a") as file:
        file["coords"].attrs["slide_fingerprint"] = "another"
    assert store.load(slide, Counting(), SPEC, grid) is None


@pytest.mark.parametrize("damage", ["truncate", "text", "nan", "shape", "coords"])
def test_damaged_store_is_made_again(slide, tmp_path, damage):
    store = FeatureStore(tmp_path)
    expected = make_bag(slide, Counting(), store).features(0.5)
    (path,) = tmp_path.rglob("*.h5")
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:900])
    elif damage == "text":
        path.write_text("no HDF5 at all")
    else:
        with h5py.File(path, "a") as file:
            if damage == "nan":
                file["features"][3, 1] = np.nan
            elif damage == "coords":
                file["coords"][0, 0] += 1
            else:
                del file["features"]
                file["features"] = np.zeros((5, 4), np.float32)
    encoder = Counting()
    with make_bag(slide, encoder, store) as bag:
        assert torch.equal(bag.features(0.5), expected)
    assert encoder.count == (1 if damage == "nan" else 12)
    assert store.load(slide, encoder, SPEC, make_bag(slide, encoder).grid(0.5)) is not None


def test_store_that_cannot_be_written_is_a_sentence(slide, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SlideError, match="choose another store"):
        make_bag(slide, Counting(), FeatureStore(tmp_path / "file")).features(0.5)


def test_feature_bag():
    table = torch.arange(12.0).view(6, 2)
    bag = FeatureBag({0.5: table, 2.0: table[:2]})
    assert bag.mpps == (2.0, 0.5)
    assert torch.equal(bag.features(0.5), table)
    assert torch.equal(bag.features(0.5, np.array([4, 0])), table[[4, 0]])


@pytest.mark.parametrize("features", [{}, {0.5: torch.zeros(0, 4)}, {0.5: torch.zeros(4)}])
def test_empty_feature_bags_are_refused(features):
    with pytest.raises(ValueError, match=r"needs|needed"):
        FeatureBag(features)


def test_feature_bag_refuses_a_grid_of_another_length(slide):
    with pytest.raises(ValueError, match="do not belong"):
        FeatureBag({0.5: torch.zeros(2, 4)}, {0.5: patch_grid(slide)})


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "wsimil-reader"]


def test_prefetch_gives_every_row_in_order():
    rows = np.arange(10, 33)
    with prefetched(rows, lambda chosen: chosen * 2, BatchSize(5, 5, adaptive=False)) as batches:
        got = [batch for batch in batches if batch is not None]
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in got]), rows)
    np.testing.assert_array_equal(np.concatenate([batch.pixels for batch in got]), rows * 2)
    assert not readers()


def test_prefetch_reads_ahead_but_not_far():
    read: list[int] = []

    def note(chosen):
        read.append(len(chosen))
        return chosen

    with prefetched(np.arange(100), note, BatchSize(1, 1, adaptive=False)) as batches:
        next(batches)
        deadline = time.monotonic() + 60
        while len(read) < 3 and time.monotonic() < deadline:
            next(batches)
        for _ in range(3):
            time.sleep(0.05)
        assert len(read) < 20


def test_prefetch_raises_what_reading_raised():
    def fail(chosen):
        raise SlideError("The disk is gone.")

    with (
        pytest.raises(SlideError, match="The disk is gone"),
        prefetched(np.arange(3), fail, BatchSize(1)) as batches,
    ):
        list(batches)
    assert not readers()


def test_waiting_for_a_slow_disk_can_be_stopped():
    release, came = threading.Event(), []
    with prefetched(np.arange(3), lambda chosen: came.append(release.wait(60)) or chosen, BatchSize(1)) as batches:
        assert next(batches) is None
    assert not came, "the disk still hangs"
    release.set()


def record(batch, seconds_for):
    """Six batches of the size that it has."""
    for size in [batch.size] * 6:
        batch.record(size, seconds_for[size])


def test_batch_size_grows_while_batches_are_short_and_not_slower():
    batch = BatchSize(8, 64)
    seconds = {8: 0.03, 16: 0.06, 32: 0.11, 64: 0.4}
    for size in (16, 32, 64):
        record(batch, seconds)
        assert batch.size == size
    # 160 a second, 290 with half as many
    record(batch, seconds)
    assert (batch.size, batch.largest) == (32, 32)
    record(batch, seconds)
    assert batch.size == 32


def test_one_slow_batch_says_nothing():
    batch = BatchSize(16, 64)
    record(batch, {16: 0.05})
    batch.record(32, 0.4)
    assert batch.size == 32


def test_batch_size_falls_where_batches_take_long():
    batch = BatchSize(16, 64)
    batch.record(3, 5)
    assert batch.size == 16
    for _ in range(9):
        batch.record(batch.size, 1)
    assert batch.size == 1
    # another program has ended
    for _ in range(24):
        batch.record(batch.size, 0.02 * batch.size)
    assert batch.size == 8 + 8


def test_batch_size_without_adaption_falls_only_out_of_memory():
    batch = BatchSize(16, 16, adaptive=False)
    batch.record(16, 9)
    assert batch.size == 16
    batch.shrink(16)
    assert (batch.size, batch.largest) == (8, 8)
    batch.record(8, 0.001)
    assert batch.size == 8
