"""Sets of bags: from memory, files, slides and image folders; read ahead; kept in memory."""

from __future__ import annotations

import threading
import time
from weakref import WeakSet

import numpy as np
import pytest
import torch
from PIL import Image

from feature_layouts import FEATURES, XY, clam, trident
from napari_wsimil.bags import FeatureBag
from napari_wsimil.bags.images import ImageBag
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.bag_sets import (
    BagSet,
    ChosenBags,
    FileBags,
    ImageFolderBags,
    KeptBags,
    MemoryBags,
    SlideBags,
    load_ahead,
)
from napari_wsimil.training.bag_sets.kinds import kind_of_cases
from napari_wsimil.training.data.manifest import Case, read_manifest


def case(path, name=None, **more):
    return Case(name or path.stem, path, "x", name or path.stem, **more)


def arrays(count=4, width=3):
    return [np.full((row + 1, width), row, np.float32) for row in range(count)]


class Reading(MemoryBags):
    """Counts what is asked for."""

    def __init__(self, count=4, fail=None):
        super().__init__(arrays(count), [0] * count)
        self.asked, self.threads, self.fail = [], set(), fail

    def bag(self, row):
        self.asked.append(row)
        self.threads.add(threading.current_thread())
        if row == self.fail:
            raise TrainingError(f"bag {row} is broken")
        return super().bag(row)


def test_bags_in_memory():
    truth = [np.zeros(1), None, {0.5: np.ones(3, np.int64)}]
    bags = MemoryBags(arrays(3), [0, 1, 1], instance_labels=truth)
    assert isinstance(bags, BagSet)
    assert (len(bags), bags.names) == (3, ("bag 0", "bag 1", "bag 2"))
    assert bags.targets.dtype == np.int64
    assert bags.bag(2).features(0.5).shape == (3, 3)
    assert bags.instance_labels(0)[0.5].dtype == np.int64
    assert bags.instance_labels(1) is None
    assert bags.instance_labels(2) is truth[2]
    own = FeatureBag({1.0: torch.zeros(2, 3)})
    assert MemoryBags([own], [0], names=["a"]).bag(0) is own


def test_what_memory_refuses():
    with pytest.raises(TrainingError, match="There is no slide to learn from"):
        MemoryBags([], [])
    with pytest.raises(TrainingError, match="bag 1 has 4 features for each patch, bag 0 3"):
        MemoryBags([np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)], [0, 1])
    with pytest.raises(TrainingError, match="bag 0 has features that are not finite"):
        MemoryBags([np.full((2, 3), np.inf, np.float32)], [0])


def test_chosen_bags():
    bags = MemoryBags(arrays(), [0, 1, 2, 3], instance_labels=[np.full(row + 1, row) for row in range(4)])
    chosen = ChosenBags(bags, [3, 1])
    assert (chosen.names, chosen.targets.tolist(), len(chosen)) == (("bag 3", "bag 1"), [3, 1], 2)
    assert len(chosen.bag(0).features(0.5)) == 4
    assert chosen.instance_labels(1)[0.5].tolist() == [1, 1]


def test_files_of_trident_come_row_by_row_over_the_slide(tmp_path):
    bags = FileBags([case(trident(tmp_path / "a.h5"))], [0])
    assert (bags.mpps, bags.width, bags.counts.tolist(), bags.encoder, bags.has_places) == ((0.5,), 8, [6], "uni_v1", True)
    assert bags.notices == ()
    bag = bags.bag(0)
    grid = bag.grid(0.5)
    assert grid.cells.tolist() == [[3, 1], [4, 1], [3, 2], [4, 2], [3, 5], [4, 5]]
    for row, features in enumerate(bag.features(0.5).numpy()):
        (at,) = np.flatnonzero((grid.xy[row] == XY).all(1))
        np.testing.assert_array_equal(features, FEATURES[at])


def test_magnifications_find_their_children(tmp_path):
    """40x scan: 20x patches are 512 px of level 0, 5x patches 2048."""
    coarse = trident(
        tmp_path / "5x" / "a.h5", FEATURES[:2], np.array([(2048, 0), (0, 0)]), patch_size_level0=2048, target_magnification=5
    )
    fine = trident(tmp_path / "20x" / "a.h5")
    bags = FileBags([case(fine, files=(fine, coarse))], [0])
    assert bags.mpps == (2.0, 0.5)
    bag = bags.bag(0)
    inside = bag.children(2.0, 0.5)
    assert inside.shape == (2, 16)
    # the first coarse patch holds columns 0 to 3, the second 4 to 7, both rows 0 to 3
    assert bag.grid(0.5).xy[inside[0][inside[0] >= 0]].tolist() == [[1536, 512], [1536, 1024]]
    assert bag.grid(0.5).xy[inside[1][inside[1] >= 0]].tolist() == [[2048, 512], [2048, 1024]]
    assert torch.equal(bag.features(2.0), torch.from_numpy(FEATURES[[1, 0]]))


def test_grids_that_begin_at_a_piece_of_tissue(tmp_path):
    """CLAM counts from each piece: patches go to the nearest cell, counted from where most of them begin."""
    clam(tmp_path, xy=XY + np.array([77, 130]))
    bag = FileBags([case(tmp_path / "pt_files" / "slide.pt")], [0]).bag(0)
    assert bag.grid(0.5).cells.tolist() == [[3, 1], [4, 1], [3, 2], [4, 2], [3, 5], [4, 5]]
    assert bag.grid(0.5).xy[0].tolist() == [1536 + 77, 512 + 130]


def test_children_left_of_where_most_patches_begin(tmp_path):
    """Coarse patches begin at 1800 of 2048; one fine patch lies before all of them, in a coarse one that is not there."""
    coarse_xy = np.array([(1800, 1800), (3848, 1800)], np.int64)
    marks = {"patch_size_level0": 2048, "target_magnification": 5}
    coarse = trident(tmp_path / "5x" / "a.h5", FEATURES[:2], coarse_xy, **marks)
    fine = trident(tmp_path / "20x" / "a.h5", FEATURES[:3], np.array([(264, 1800), (1800, 1800), (4360, 2312)], np.int64))
    bag = FileBags([case(fine, files=(fine, coarse))], [0]).bag(0)
    inside = bag.children(2.0, 0.5)
    assert bag.grid(2.0).cells.tolist() == [[1, 0], [2, 0]]
    assert [row[row >= 0].tolist() for row in inside] == [[1], [2]]


def test_files_that_do_not_say_their_magnification(tmp_path):
    clam(tmp_path, "a")
    clam(tmp_path, "b")
    cases = [case(tmp_path / "pt_files" / f"{name}.pt") for name in "ab"]
    (notice,) = FileBags(cases, [0, 1]).notices
    assert notice.startswith("a.pt and 1 more do not say at which magnification")
    told = FileBags(cases, [0, 1], mpp=0.25)
    assert (told.notices, told.mpps) == ((), (0.25,))
    assert told.bag(1).mpps == (0.25,)


def test_files_without_places(tmp_path):
    torch.save(torch.from_numpy(FEATURES), tmp_path / "a.pt")
    bags = FileBags([case(tmp_path / "a.pt")], [0])
    assert not bags.has_places
    assert torch.equal(bags.bag(0).features(0.5), torch.from_numpy(FEATURES))


def test_files_that_do_not_belong_together(tmp_path):
    usual = [case(trident(tmp_path / f"{name}.h5")) for name in "ab"]
    wide = trident(tmp_path / "wide.h5", np.ones((6, 9), np.float32))
    with pytest.raises(TrainingError, match=r"wide\.h5 has 9 features for each patch, but other slides have 8"):
        FileBags([case(wide), *usual], [0, 0, 0])
    coarse = trident(tmp_path / "coarse.h5", target_magnification=5)
    with pytest.raises(TrainingError, match=r"coarse has features at 2 µm per pixel, but a at 0\.5"):
        FileBags([*usual, case(coarse)], [0, 0, 0])
    with pytest.raises(TrainingError, match=r"both has two files with features at 0\.5 µm per pixel"):
        FileBags([case(usual[0].path, "both", files=(usual[0].path, usual[1].path))], [0])
    other = trident(tmp_path / "other.h5", encoder_digest="1")
    with pytest.raises(TrainingError, match=r"other\.h5 was made by encoder uni_v1 1, but .*again\.h5 by uni_v1 2"):
        FileBags([case(trident(tmp_path / "again.h5", encoder_digest="2")), case(other)], [0, 0])


def test_a_file_that_breaks_after_it_was_looked_at(tmp_path):
    path = trident(tmp_path / "a.h5")
    bags = FileBags([case(path)], [0])
    path.write_bytes(b"gone")
    with pytest.raises(TrainingError, match=r"a\.h5 can't be read as HDF5"):
        bags.bag(0)


def paint(folder, names, size=(8, 6)):
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        Image.new("RGB", size, (number, 10, 20)).save(folder / name)
    return folder


def test_folders_of_images(tmp_path):
    folder = paint(tmp_path / "a", ["p1.png", "p10.png", "p2.png"])
    (folder / "notes.txt").write_text("no image")
    bags = ImageFolderBags([case(folder)], [1])
    bag = bags.bag(0)
    assert isinstance(bag, ImageBag)
    assert [path.name for path in bags.files(0)] == ["p1.png", "p2.png", "p10.png"]
    assert bag.pixels.shape == (3, 3, 6, 8)
    assert bag.pixels[:, 0, 0, 0].tolist() == [0, 2, 1]
    assert bags.counts.tolist() == [3]
    assert float(bag.features(1.0).max()) == pytest.approx(20 / 255)


def test_images_that_can_not_be_learned_from(tmp_path):
    good = case(paint(tmp_path / "a", ["1.png"]))
    other = case(paint(tmp_path / "b", ["1.png"], size=(9, 9)))
    bags = ImageFolderBags([good, other], [0, 1])
    with pytest.raises(TrainingError, match=r"1\.png is 9 x 9 px, but other patches are 8 x 6 px"):
        bags.bag(1)
    broken = paint(tmp_path / "c", ["1.png"])
    data = (broken / "1.png").read_bytes()
    (broken / "1.png").write_bytes(data[: len(data) // 2 + 10])
    with pytest.raises(TrainingError, match=r"1\.png"):
        ImageFolderBags([case(broken)], [0]).bag(0)
    (tmp_path / "d").mkdir()
    with pytest.raises(TrainingError, match="d holds no images"):
        ImageFolderBags([case(tmp_path / "d")], [0])
    Image.new("1", (3000, 3000)).save(tmp_path / "d" / "big.png")
    with pytest.raises(TrainingError, match="a slide rather than a patch"):
        ImageFolderBags([case(tmp_path / "d")], [0])


def test_bags_of_slides_are_computed_once_and_stored(tiny_slide, random_encoder, tmp_path):
    from napari_wsimil.inference.extraction import patch_specs

    encoder, _ = random_encoder
    specs = patch_specs(encoder, [2.0, 0.5])
    seen = []
    bags = SlideBags(
        [case(tiny_slide, "one")], [0], encoder, specs, store=tmp_path, on_progress=lambda *told: seen.append(told)
    )
    assert (bags.mpps, bags.width) == ((2.0, 0.5), encoder.dimension)
    bag = bags.bag(0)
    assert bag.features(0.5).shape == (len(bag.grid(0.5)), encoder.dimension)
    assert (bag.children(2.0, 0.5) >= 0).any()
    assert {name for name, _ in seen} == {"one"}
    assert seen[-1][1].done == seen[-1][1].total == len(bag.grid(0.5)) + len(bag.grid(2.0))
    again = SlideBags([case(tiny_slide, "one")], [0], encoder, specs, store=tmp_path)
    changed = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")}
    assert torch.equal(again.bag(0).features(0.5), bag.features(0.5))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")} == changed


def test_a_slide_that_can_not_be_used_is_named(tmp_path, random_encoder, write_slide):
    from napari_wsimil.inference.extraction import patch_specs

    glass = write_slide(tmp_path / "glass.tiff", tissue=False)
    encoder, _ = random_encoder
    bags = SlideBags([case(glass, "G")], [0], encoder, patch_specs(encoder), store=tmp_path / "store")
    with pytest.raises(TrainingError, match=r"No tissue was found on glass\.tiff.*\(slide G of the manifest\)"):
        bags.bag(0)


def test_what_a_manifest_names_is_of_one_kind(tmp_path, tiny_slide):
    files = [case(trident(tmp_path / f"{name}.h5")) for name in "ab"]
    images = case(paint(tmp_path / "p", ["1.png"]))
    assert [kind_of_cases(cases) for cases in (files, [images], [case(tiny_slide)])] == ["features", "images", "slides"]
    with pytest.raises(TrainingError, match=r"tiny\.tiff is a slide, but .*a\.h5 is a feature file; list only one kind"):
        kind_of_cases([files[0], case(tiny_slide)])
    with pytest.raises(TrainingError, match="There is no slide to learn from"):
        kind_of_cases([])


def test_from_manifest_to_bags(tmp_path):
    for name in ("s1", "s2"):
        clam(tmp_path / "features", name)
    (tmp_path / "m.csv").write_text("case_id,slide_id,label\nP1,s1,a\nP2,s2,b\n")
    manifest = read_manifest(tmp_path / "m.csv", features=tmp_path / "features")
    bags = FileBags(manifest.cases, [manifest.target(found) for found in manifest.cases])
    assert bags.names == ("s1", "s2")
    assert bags.targets.tolist() == [0, 1]
    assert len(bags.bag(1).grid(0.5)) == 6


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_loading_ahead_keeps_the_order(ahead):
    bags = Reading(4)
    order = [2, 0, 3, 0, 1]
    loaded = list(load_ahead(bags, np.array(order), ahead))
    assert [row for row, _ in loaded] == order
    assert all(len(bag.features(0.5)) == row + 1 for row, bag in loaded)
    assert (threading.current_thread() in bags.threads) == (ahead == 0)


def test_loading_ahead_goes_no_further_than_asked():
    bags = Reading(30)
    loaded = load_ahead(bags, range(30), 2)
    next(loaded)
    until(lambda: len(bags.asked) >= 4)
    time.sleep(0.05)
    # one was taken, two wait, one is held
    assert len(bags.asked) == 4
    loaded.close()


def test_what_reading_raises_comes_in_its_turn():
    loaded = load_ahead(Reading(4, fail=2), range(4))
    assert [next(loaded)[0], next(loaded)[0]] == [0, 1]
    with pytest.raises(TrainingError, match="bag 2 is broken"):
        next(loaded)


def test_closing_stops_the_thread():
    bags = Reading(1000)
    loaded = load_ahead(bags, range(1000))
    next(loaded)
    loaded.close()
    until(lambda: not any(thread.is_alive() for thread in bags.threads))
    assert len(bags.asked) < 10


def until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never happened")


def test_kept_bags_keep_what_fits_and_throw_nothing_away():
    bags = Reading(4)
    # bags of 12, 24, 36 and 48 bytes
    kept = KeptBags(bags, limit=50)
    for _ in range(2):
        for row in range(4):
            assert len(kept.bag(row).features(0.5)) == row + 1
    assert bags.asked == [0, 1, 2, 3, 2, 3]
    assert (kept.names, kept.targets.tolist(), kept.instance_labels(0)) == (bags.names, [0] * 4, None)


def test_kept_bags_share_a_quarter_of_the_free_memory_by_default(monkeypatch):
    class Memory:
        available = 4 * 100

    monkeypatch.setattr("napari_wsimil.training.bag_sets.ahead._SHARING", WeakSet())
    monkeypatch.setattr("psutil.virtual_memory", Memory)
    first, second = KeptBags(Reading(4)), KeptBags(Reading(4))
    for row in range(4):
        first.bag(row)
        # as the system would: what is kept is free no more
        Memory.available = 400 - first.nbytes
    # 12 + 24 + 36 bytes; 48 more would be more than 100
    assert first.nbytes == 72
    second.bag(1)
    assert second.nbytes == 24
    second.bag(0)
    assert second.nbytes == 24


def test_kept_bags_keep_nothing_at_zero():
    bags = Reading(1)
    none = KeptBags(bags, limit=0)
    assert none.bag(0) is none.bag(0)
    assert (bags.asked, none.nbytes) == ([0, 0], 0)


def test_images_are_kept_as_the_bytes_they_are(tmp_path):
    inner = ImageFolderBags([case(paint(tmp_path / "a", ["1.png", "2.png"]))], [0])
    kept = KeptBags(inner, limit=2 * 3 * 6 * 8)
    assert kept.bag(0) is kept.bag(0)


def test_what_is_kept_while_a_model_is_judged_can_be_learned_from(tmp_path):
    torch.save(torch.from_numpy(FEATURES), tmp_path / "a.pt")
    kept = KeptBags(FileBags([case(tmp_path / "a.pt")], [0]))
    with torch.inference_mode():
        kept.bag(0)
    layer = torch.nn.Linear(8, 1)
    layer(kept.bag(0).features(0.5)).sum().backward()
    assert layer.weight.grad is not None
