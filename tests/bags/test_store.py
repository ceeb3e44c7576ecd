"""The feature store: files that stay right whoever is killed, whatever is damaged and however many write."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import threading
import time
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from napari_wsimil.bags import FeatureStore
from napari_wsimil.bags.feature_files import inspect_features, read_features, read_places
from napari_wsimil.bags.store import default_store_folder, locks, read_parents
from napari_wsimil.bags.store.raw_file import RawFile
from napari_wsimil.errors import SlideError
from napari_wsimil.patches import PatchSpec

N, D = 400, 96
SLIDE = SimpleNamespace(
    name="a slide", fingerprint="0123456789abcdef" * 2, mpp=(0.25, 0.25), width=9999, height=8888, origin=(0, 0), backend="tiff"
)
SPEC = PatchSpec(0.5)
ALL = np.arange(N)


def encoder(precision="fp32", digest="fedcba9876543210"):
    return SimpleNamespace(id="fake", digest=digest, dimension=D, precision=precision)


def grid(count=N):
    xy = np.stack([np.arange(count) % 20, np.arange(count) // 20], axis=1).astype(np.int64) * 512

    class Grid:
        size_level0 = 512.0

        def __len__(self):
            return count

    made = Grid()
    made.xy = xy
    return made


def features(rows, seed=0):
    rows = np.asarray(rows)
    return (rows[:, None] * 1000 + np.arange(D) + seed / 7).astype(np.float32)


def opened(folder, made_by=None, spec=SPEC, at=None, **options):
    store = FeatureStore(folder, **options)
    return store.open(SLIDE, made_by or encoder(), spec, at or grid())


def check_known(stored):
    rows = np.flatnonzero(stored.known)
    np.testing.assert_array_equal(stored.read(rows), features(rows))
    assert stored.known[rows].all()


def filled(folder):
    with opened(folder) as stored:
        stored.write(ALL, features(ALL))
    return stored.path


def forked(work, *arguments):
    """A real process, made quickly."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_rows_are_kept_until_all_are_there(tmp_path):
    with opened(tmp_path) as stored:
        assert stored.writable
        assert not stored.known.any()
        stored.write([5, 3, 4, 399], features([5, 3, 4, 399]))
        np.testing.assert_array_equal(stored.read([4, 399]), features([4, 399]))
        part = stored.part
    assert names(tmp_path) == [part.name]
    assert FeatureStore(tmp_path).stored(SLIDE, encoder(), SPEC) is None
    assert FeatureStore(tmp_path).load(SLIDE, encoder(), SPEC, grid()) is None
    with opened(tmp_path) as stored:
        assert np.flatnonzero(stored.known).tolist() == [3, 4, 5, 399]
        check_known(stored)
        order = np.random.default_rng(0).permutation(N)
        for rows in np.array_split(order, 7):
            stored.write(rows, features(rows))
        stored.flush()
        np.testing.assert_array_equal(stored.read(order), features(order))
    assert names(tmp_path) == [stored.path.name]
    assert FeatureStore(tmp_path).stored(SLIDE, encoder(), SPEC) == stored.path
    np.testing.assert_array_equal(FeatureStore(tmp_path).load(SLIDE, encoder(), SPEC, grid()), features(ALL))
    with opened(tmp_path) as stored:
        assert stored.known.all()
        assert not stored.writable
        check_known(stored)


def test_a_file_without_any_features_does_not_stay(tmp_path):
    opened(tmp_path).close()
    assert not names(tmp_path)


def test_known_rows_stay_as_they_are_and_bad_numbers_are_not_kept(tmp_path):
    with opened(tmp_path) as stored:
        stored.write([1, 2], features([1, 2]))
        stored.write([2, 3], features([2, 3], seed=5))
        np.testing.assert_array_equal(stored.read([2]), features([2]))
        bad = features([7, 8])
        bad[0, 3] = np.inf
        stored.write([7, 8], bad)
        assert np.flatnonzero(stored.known).tolist() == [1, 2, 3, 8]
        with pytest.raises(ValueError, match="not stored"):
            stored.read([7])


def test_tridents_readers_and_ours_read_a_whole_file(tmp_path):
    path = filled(tmp_path)
    with h5py.File(path) as file:
        assert file["features"].chunks is None
        assert file["features"].dtype == np.float32
        np.testing.assert_array_equal(file["features"][:], features(ALL))
        np.testing.assert_array_equal(file["coords"][:], grid().xy)
        assert (file["done"][:] == 1).all()
        marks = dict(file["coords"].attrs)
    assert (marks["patch_size"], marks["level0_magnification"], marks["target_magnification"]) == (256, 40, 20)
    assert (marks["precision"], marks["decoder"], marks["resampling"], marks["normalisation"]) == (
        "fp32",
        "tiff",
        "area",
        "none",
    )
    assert marks["patchspec_digest"] == SPEC.digest
    found = inspect_features(path)
    assert (found.count, found.width, found.mpp, found.encoder) == (N, D, 0.5, "fake")
    np.testing.assert_array_equal(read_features(path).numpy(), features(ALL))
    assert read_places(path).size_level0 == 512


def test_whole_files_from_before_are_taken(tmp_path):
    path = filled(tmp_path)
    with h5py.File(path, "a") as file:
        del file["done"], file["coords"].attrs["precision"]
    with opened(tmp_path, precision="fp32") as stored:
        assert stored.known.all()
        check_known(stored)
    assert FeatureStore(tmp_path).stored(SLIDE, encoder(), SPEC) == path


def write_for_ever(folder, seed):
    chance = random.Random(seed)
    while True:
        with opened(folder) as stored:
            while not stored.known.all():
                rows = np.flatnonzero(~stored.known)
                rows = np.array(chance.sample(rows.tolist(), min(len(rows), chance.randint(1, 4))))
                stored.write(rows, features(rows))
                if chance.random() < 0.5:
                    stored.flush()
                if chance.random() < 0.05:
                    break
        if stored.path.exists():
            return


def test_killed_at_any_moment_no_row_is_wrong_and_it_goes_on(tmp_path):
    chance, whole, known = random.Random(1), 0, 0
    for turn in range(16):
        process = forked(write_for_ever, tmp_path, turn)
        time.sleep(chance.uniform(0.01, 0.12))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with opened(tmp_path) as stored:
            assert stored.writable or stored.known.all()
            assert stored.known.sum() >= known
            check_known(stored)
            known = int(stored.known.sum())
        assert not [name for name in names(tmp_path) if name.endswith((".new", ".lock"))]
        if stored.path.exists():
            # begun again, so that creation and the last rename are met as well
            stored.path.unlink()
            whole, known = whole + 1, 0
    process = forked(write_for_ever, tmp_path, 99)
    process.join(20)
    assert process.exitcode == 0
    np.testing.assert_array_equal(FeatureStore(tmp_path).load(SLIDE, encoder(), SPEC, grid()), features(ALL))


def damage_shorter(path):
    os.truncate(path, path.stat().st_size // 2)


def damage_text(path):
    path.write_text("no HDF5 at all")


def damage_empty(path):
    path.write_bytes(b"")


def damage_digest(path):
    with h5py.File(path, "a") as file:
        file["coords"].attrs["patchspec_digest"] = "another"


def damage_coords(path):
    with h5py.File(path, "a") as file:
        file["coords"][3, 0] += 1


def damage_done(path):
    with h5py.File(path, "a") as file:
        del file["done"]
        file["done"] = np.ones((N, 2), np.float32)


def damage_layout(path):
    with h5py.File(path, "a") as file:
        del file["features"]
        file.create_dataset("features", data=features(ALL), chunks=(1, D))


DAMAGES = [damage_shorter, damage_text, damage_empty, damage_digest, damage_coords, damage_done, damage_layout]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("whole", [False, True])
def test_damaged_and_foreign_files_are_begun_anew(tmp_path, damage, whole):
    rows = ALL if whole else ALL[:50]
    with opened(tmp_path) as stored:
        stored.write(rows, features(rows))
    damage(stored.path if whole else stored.part)
    with opened(tmp_path) as stored:
        assert stored.writable
        assert not stored.known.any()
        stored.write(ALL, features(ALL))
    with opened(tmp_path) as stored:
        assert stored.known.all()
        check_known(stored)


def test_another_number_of_patches_is_another_file(tmp_path):
    with opened(tmp_path) as stored:
        stored.write(ALL[:9], features(ALL[:9]))
    with opened(tmp_path, at=grid(N - 1)) as stored:
        assert stored.known.shape == (N - 1,)
        assert not stored.known.any()


def test_numbers_that_are_not_finite_are_found_when_read(tmp_path):
    path = filled(tmp_path)
    with h5py.File(path, "a") as file:
        file["features"][3, 1] = np.nan
    with opened(tmp_path) as stored:
        stored.read(ALL)
        assert np.flatnonzero(~stored.known).tolist() == [3]
    with opened(tmp_path) as stored:
        assert stored.writable
        stored.write(ALL[:20], features(ALL[:20]))
    with h5py.File(stored.part, "a") as file:
        file["features"][5, 0] = np.inf
    with opened(tmp_path) as stored:
        stored.read(ALL[:20])
        assert not stored.known[5]
        stored.write([5], features([5]))
        check_known(stored)
    with opened(tmp_path) as stored:
        assert stored.known.sum() == 20
        check_known(stored)


def hold(folder, ready, go_on):
    with opened(folder) as stored:
        stored.write(ALL[:100], features(ALL[:100]))
        stored.flush()
        ready.set()
        go_on.wait(20)
        stored.write(ALL[100:], features(ALL[100:]))


def test_of_two_processes_one_writes_and_the_other_reads(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, go_on = context.Event(), context.Event()
    process = forked(hold, tmp_path, ready, go_on)
    assert ready.wait(20)
    with opened(tmp_path) as second:
        assert not second.writable
        assert np.flatnonzero(second.known).tolist() == list(range(100))
        second.write(ALL, features(ALL, seed=3))
        check_known(second)
        go_on.set()
        process.join(20)
        assert process.exitcode == 0
        # the first finished: its file has another name now, and is read on
        check_known(second)
    with opened(tmp_path) as stored:
        assert stored.known.all()
        check_known(stored)
    assert names(tmp_path) == [stored.path.name]


def test_a_killed_writer_leaves_no_lock(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, never = context.Event(), context.Event()
    process = forked(hold, tmp_path, ready, never)
    assert ready.wait(20)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert [name for name in names(tmp_path) if name.endswith(".lock")]
    with opened(tmp_path) as stored:
        assert stored.writable
        assert stored.known.sum() == 100
        check_known(stored)
    assert not [name for name in names(tmp_path) if name.endswith(".lock")]


def test_threads_write_read_and_flush_at_once_and_one_opens_for_writing(tmp_path):
    wrong: list[object] = []
    with opened(tmp_path) as stored:
        assert not opened(tmp_path).writable

        def work(rows):
            for some in np.array_split(rows, 10):
                stored.write(some, features(some))
                stored.flush()
                if not np.array_equal(stored.read(some), features(some)):
                    wrong.append(some)

        threads = [
            threading.Thread(target=work, args=(rows,)) for rows in np.array_split(np.random.default_rng(0).permutation(N), 5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
    np.testing.assert_array_equal(FeatureStore(tmp_path).load(SLIDE, encoder(), SPEC, grid()), features(ALL))


def test_two_writers_that_save_whole_files_agree(tmp_path):
    with opened(tmp_path) as first:
        first.write(ALL, features(ALL))
        FeatureStore(tmp_path).save(SLIDE, encoder(), SPEC, grid(), features(ALL))
    assert names(tmp_path) == [first.path.name]
    np.testing.assert_array_equal(FeatureStore(tmp_path).load(SLIDE, encoder(), SPEC, grid()), features(ALL))


def test_a_file_system_without_locks_keeps_whole_files_only(tmp_path, monkeypatch):
    def refuse(self, *_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.FileLock, "acquire", refuse)
    with opened(tmp_path) as stored:
        assert not stored.writable
        stored.write(ALL, features(ALL))
    assert not names(tmp_path)
    path = FeatureStore(tmp_path).save(SLIDE, encoder(), SPEC, grid(), features(ALL))
    with opened(tmp_path) as stored:
        assert stored.known.all()
    assert names(tmp_path) == [path.name]


def fill_a_full_disk(folder, told):
    import resource

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with opened(folder) as stored:
        stored.write(ALL[:50], features(ALL[:50]))
        stored.flush()
        limit(stored.part.stat().st_size // 2)
        try:
            for rows in np.array_split(ALL[50:], 50):
                stored.write(rows, features(rows))
        except SlideError as error:
            told.put(str(error))
        limit(resource.RLIM_INFINITY)
    limit(9000)
    for work in (opened, save):
        try:
            work(folder / "another")
        except SlideError as error:
            told.put(str(error))
    told.put(f"left: {names(folder / 'another')}")


def save(folder):
    return FeatureStore(folder).save(SLIDE, encoder(), SPEC, grid(), features(ALL))


def test_a_full_disk_is_a_sentence_and_what_was_stored_stays(tmp_path):
    told = multiprocessing.get_context("fork").SimpleQueue()
    process = forked(fill_a_full_disk, tmp_path, told)
    process.join(20)
    # not killed by a signal: HDF5 that can't write a new file must not end the process
    assert process.exitcode == 0
    for _ in range(3):
        assert "make room there or choose another store" in told.get()
    assert told.get() == "left: []"
    with opened(tmp_path) as stored:
        assert 50 <= stored.known.sum() < N
        check_known(stored)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    path = FeatureStore(tmp_path).path(SLIDE, encoder(), SPEC)
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("in the way")
    with pytest.raises(SlideError, match="choose another store"):
        opened(tmp_path)


def test_precisions_are_named_and_can_be_asked_for(tmp_path):
    def precision_of(path):
        with h5py.File(path) as file:
            return file["coords"].attrs["precision"]

    with opened(tmp_path, encoder("bf16")) as stored:
        stored.write(ALL[:30], features(ALL[:30]))
    assert precision_of(stored.part) == "bf16"
    with opened(tmp_path) as stored:
        stored.read(ALL[:30])
    assert precision_of(stored.part) == "bf16"
    with opened(tmp_path) as stored:
        stored.write(ALL[20:60], features(ALL[20:60]))
        stored.write(ALL[60:70], features(ALL[60:70]))
        check_known(stored)
    assert precision_of(stored.part) == "bf16,fp32"
    with opened(tmp_path, encoder("bf16")) as stored:
        assert stored.known.sum() == 70
        check_known(stored)
        stored.write(ALL, features(ALL))
    assert precision_of(stored.path) == "bf16,fp32"
    assert FeatureStore(tmp_path).load(SLIDE, encoder(), SPEC, grid()) is not None
    strict = FeatureStore(tmp_path, precision="fp32")
    assert strict.load(SLIDE, encoder(), SPEC, grid()) is None
    assert strict.stored(SLIDE, encoder(), SPEC) is None
    with opened(tmp_path, precision="fp32") as stored:
        assert not stored.known.any()
        stored.write(ALL, features(ALL))
    assert strict.stored(SLIDE, encoder(), SPEC) == stored.path


def test_magnifications_are_linked(tmp_path):
    store, coarse, coarser = FeatureStore(tmp_path), PatchSpec(1.0), PatchSpec(2.0)
    rows = {coarse: ALL // 4, coarser: ALL // 16 - 1}

    def linked(*specs):
        return store.open(SLIDE, encoder(), SPEC, grid(), parents={spec.mpp: (spec, rows[spec]) for spec in specs})

    with linked(coarse) as stored:
        stored.write(ALL[:9], features(ALL[:9]))
    with linked(coarse, coarser) as stored:
        check_known(stored)
        assert stored.known.sum() == 9
        stored.write(ALL, features(ALL))
    links = read_parents(stored.path)
    assert [(link.mpp, link.digest) for link in links] == [(2.0, coarser.digest), (1.0, coarse.digest)]
    assert (stored.path.parent / links[1].path).resolve() == store.path(SLIDE, encoder(), coarse).resolve()
    for link, spec in zip(links, (coarser, coarse), strict=True):
        np.testing.assert_array_equal(link.rows, rows[spec])
    # a whole file gets those that it lacks, and two ways to cut the same magnification stand beside each other
    rows[other := PatchSpec(1.0, min_tissue=0.5)] = ALL // 2
    with linked(other) as stored:
        assert stored.known.all()
        check_known(stored)
    assert len(read_parents(stored.path)) == 3
    assert names(tmp_path) == [stored.path.name]
    with pytest.raises(SlideError, match="feature file"):
        read_parents(tmp_path / "missing.h5")


def test_trim_takes_what_was_used_longest_ago_but_nothing_in_use(tmp_path):
    store = FeatureStore(tmp_path)
    paths = []
    for count in range(4):
        with opened(tmp_path, spec=PatchSpec(0.5 + count)) as stored:
            stored.write(ALL, features(ALL))
        paths.append(stored.path)
        os.utime(stored.path, (count + 1, count + 1))
    foreign = tmp_path / "20x_256px_0px_overlap" / "features_uni" / "slide.h5"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"x" * 100_000)
    each = store.size() // 4
    assert each > N * D * 4 * 0.9
    assert store.trim(4 * each) == 0
    assert store.load(SLIDE, encoder(), PatchSpec(0.5), grid()) is not None
    with opened(tmp_path, spec=PatchSpec(1.5)) as reading, opened(tmp_path, spec=PatchSpec(9.0)) as writing:
        writing.write(ALL[:5], features(ALL[:5]))
        assert store.trim(int(2.9 * each)) >= each
        assert [path.exists() for path in paths] == [True, True, False, False]
        store.trim(0)
        assert reading.path.exists()
        assert writing.part.exists()
        assert not paths[0].exists()
        check_known(reading)
    store.trim(0)
    assert store.size() == 0
    assert foreign.exists()


def test_the_default_folder_follows_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path))
    assert default_store_folder() == tmp_path / "features"
    monkeypatch.delenv("NAPARI_WSIMIL_CACHE")
    assert "napari-wsimil" in str(default_store_folder())


def test_raw_files_end_where_they_end(tmp_path):
    (tmp_path / "raw").write_bytes(b"12345678")
    raw = RawFile(tmp_path / "raw", writable=True)
    with pytest.raises(OSError, match="too early"):
        raw.read_into(np.empty(3, np.float32), 0)
    raw.write(np.frombuffer(b"ab", np.uint8), 7)
    raw.close()
    assert (tmp_path / "raw").read_bytes() == b"1234567ab"
