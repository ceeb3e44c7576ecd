"""Cohorts in one process: exactly once, resumed, bad slides recorded, faults that pass tried again."""

from __future__ import annotations

import csv
import errno
import json
import os
import sys

import pytest

import napari_wsimil as ws
from napari_wsimil.cohorts import running, work
from napari_wsimil.cohorts.folder import CohortFolder
from napari_wsimil.cohorts.records import count_attempts, note_attempt
from napari_wsimil.inference.options import PatchOptions
from napari_wsimil.slides import set_cache_limit
from napari_wsimil.slides.backends.byte_reader import ByteReader


@pytest.fixture
def slides(tmp_path, write_slide):
    folder = tmp_path / "slides"
    folder.mkdir()
    for name, width in (("a", 1024), ("b", 1280)):
        write_slide(folder / f"{name}.tiff", width=width, height=1024)
    (folder / "c.svs").write_text("no slide")
    return folder


@pytest.fixture
def cohort(slides, random_model, tmp_path):
    """Run the same cohort; keywords change it."""

    def run(**changed):
        wish = {
            "slides": slides,
            "model": random_model,
            "out": tmp_path / "out",
            "workers": 0,
            "precision": "fp32",
            "device": "cpu",
        }
        return ws.predict_cohort(**{**wish, **changed})

    return run


def table(result):
    with result.table.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def attempts(result, name):
    return count_attempts(CohortFolder(result.folder).attempts_path(name))


def test_each_slide_is_done_once_and_a_bad_one_is_recorded(cohort, slides, tmp_path):
    events = []
    result = cohort(formats=["csv"], on_event=events.append)
    assert ([record.name for record in result.done], [record.name for record in result.failed]) == (["a", "b"], ["c"])
    assert "c.svs is no slide" in result.failed[0].error
    rows = table(result)
    assert [(name, row["status"]) for name, row in rows.items()] == [("a", "done"), ("b", "done"), ("c", "failed")]
    saved = ws.load_prediction(tmp_path / "out" / "a.prediction.h5")
    assert {name: float(rows["a"][f"prob_{name}"]) for name in saved.classes} == pytest.approx(dict(saved.probabilities))
    assert rows["a"]["predicted"] == saved.predicted_class
    assert (rows["a"]["files"], rows["a"]["attempts"], rows["a"]["precision"]) == ("a.prediction.h5;a.csv", "1", "fp32")
    assert float(rows["b"]["mpp_x"]) == pytest.approx(0.5)
    page = result.report.read_text()
    assert "c.svs is no slide" in page
    assert "<script" not in page
    assert not list((tmp_path / "out" / ".unfinished").rglob("*.h5"))
    assert [event.kind for event in events if event.kind != "progress"] == [
        "begin",
        *("started", "done", "started", "done", "started", "failed", "end"),
    ]
    # again: what is done is left alone, what failed is tried again, also when it was mended
    before = (tmp_path / "out" / "a.prediction.h5").stat().st_mtime_ns
    assert cohort(formats=["csv"]).new == {"c"}
    assert cohort(formats=["csv"], skip_failed=True).new == set()
    (slides / "c.svs").write_bytes((slides / "a.tiff").read_bytes())
    again = cohort(formats=["csv"])
    assert (again.new, again.failed) == ({"c"}, ())
    assert (tmp_path / "out" / "a.prediction.h5").stat().st_mtime_ns == before
    assert [attempts(again, name) for name in "abc"] == [1, 1, 3]


def test_parquet_has_the_same_rows(cohort):
    parquet = pytest.importorskip("pyarrow.parquet")
    result = cohort()
    rows = parquet.read_table(result.folder / "results.parquet").to_pylist()
    assert [(row["name"], row["status"], row["predicted"]) for row in rows] == [
        (record.name, record.status, record.predicted_class) for record in result.records
    ]
    assert sum(rows[0][name] for name in rows[0] if name.startswith("prob_")) == pytest.approx(1)
    assert rows[2]["patches"] is None


def test_without_the_extra_the_rest_is_there(cohort, monkeypatch):
    for name in ("pyarrow", "pyarrow.parquet", "jinja2"):
        monkeypatch.setitem(sys.modules, name, None)
    events = []
    result = cohort(on_event=events.append)
    assert [event.text.split()[0] for event in events if event.kind == "notice"] == ["results.parquet", "report.html"]
    assert result.table.is_file()
    assert not result.report.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="others refuse such names")
def test_names_that_are_no_utf8(cohort, slides):
    odd = slides / os.fsdecode(b"caf\xe9.tiff")
    odd.write_bytes((slides / "a.tiff").read_bytes())
    bad = slides / os.fsdecode(b"bad\xe9.svs")
    bad.touch()
    result = cohort()
    assert [record.status for record in result.records] == ["done", "done", "failed", "failed", "done"]
    assert cohort(skip_failed=True).new == set()


def test_what_changed_is_done_again_and_nothing_else(cohort, slides, tmp_path, write_slide):
    cohort()
    (tmp_path / "out" / "b.prediction.h5").unlink()
    assert cohort(skip_failed=True).new == {"b"}
    write_slide(slides / "a.tiff", width=1536, height=1024)
    write_slide(slides / "new.tiff", width=1024, height=1024)
    result = cohort(skip_failed=True)
    assert result.new == {"a", "new"}
    (tmp_path / "out" / "records" / "b.json").write_text('{"half')
    assert cohort(skip_failed=True).new == {"b"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"formats": ["csv"]}, "formats: none then, csv now"),
        ({"mpp": 0.25}, "mpp: none then, 0.25 now"),
        ({"precision": "bf16"}, "precision: fp32 then, bf16 now"),
        ({"options": PatchOptions(overlap=0.5)}, "options overlap: none then, 0.5 now"),
        ({"model": "bundled"}, "model id: random then, bundled"),
    ],
)
def test_other_settings_are_refused_in_the_same_folder(cohort, slides, changed, words):
    (slides / "b.tiff").unlink()
    cohort()
    with pytest.raises(ws.WsimilError, match=words):
        cohort(**changed)


def test_faults_that_pass_are_tried_again(cohort, slides, monkeypatch):
    (slides / "c.svs").unlink()
    monkeypatch.setattr(running, "BACKOFF_SECONDS", 0.01)
    usual, calls = work._predicted, []

    def failing(job, *rest):
        calls.append(job.name)
        if job.name == "a" and calls.count("a") < 3:
            try:
                raise OSError(errno.ESTALE, "Stale file handle")
            except OSError as error:
                raise ws.SlideError("a.tiff can't be read (Stale file handle).") from error
        return usual(job, *rest)

    monkeypatch.setattr(work, "_predicted", failing)
    events = []
    result = cohort(on_event=events.append)
    assert (len(result.done), calls) == (2, ["a", "b", "a", "a"])
    assert [event.text for event in events if event.kind == "again"] == [
        "a will be tried again: a.tiff can't be read (Stale file handle)."
    ] * 2
    assert [record.attempts for record in result.records] == [3, 1]
    # without a further attempt it is recorded
    calls.clear()
    (result.folder / "a.prediction.h5").unlink()
    assert "Stale file handle" in cohort(retries=0).failed[0].error


@pytest.mark.parametrize("verb", ["predict", "extract"])
def test_what_a_disk_could_not_read_is_not_taken_for_glass(verb, slides, random_model, random_encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "BACKOFF_SECONDS", 0.01)
    usual, faults = ByteReader.read, []

    def read(self, offset, count):
        if count > 1000 and len(faults) < 2:
            faults.append(offset)
            raise OSError(errno.EIO, "Input/output error")
        return usual(self, offset, count)

    monkeypatch.setattr(ByteReader, "read", read)
    wish = {"workers": 0, "precision": "fp32", "device": "cpu"}
    set_cache_limit(0)
    try:
        if verb == "predict":
            result = ws.predict_cohort(slides / "a.tiff", random_model, tmp_path / "out", store=tmp_path / "store", **wish)
            clean = ws.predict(slides / "a.tiff", random_model, precision="fp32", device="cpu", store=tmp_path / "store")
            assert result.done[0].probabilities == pytest.approx(dict(clean.probabilities), abs=1e-6)
        else:
            result = ws.extract_cohort(slides / "a.tiff", tmp_path / "store", encoder=random_encoder[1], **wish)
    finally:
        set_cache_limit(512 << 20)
    assert faults
    record = result.records[0]
    assert (record.status, record.attempts > 1, record.notices) == ("done", True, ())
    assert record.encoded == record.patch_count


def test_faults_of_the_program_are_recorded_too(cohort, slides, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(work, "_predicted", broken)
    result = cohort()
    assert len(result.failed) == 3
    assert "a.tiff could not be done" in result.failed[0].error
    assert "ZeroDivisionError" in result.failed[0].error


def test_a_full_disk_ends_the_run(cohort, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(work, "_predicted", full)
    with pytest.raises(ws.WsimilError, match="make room and repeat"):
        cohort()


def test_cancel_leaves_a_folder_to_go_on_with(cohort, tmp_path):
    seen = []
    with pytest.raises(ws.CancelledError):
        cohort(on_event=seen.append, cancel=lambda: any(event.kind == "done" for event in seen))
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done", "waiting", "waiting"]
    assert not list((tmp_path / "out").glob("*.part"))
    assert cohort().new == {"b", "c"}


def test_two_runs_do_not_share_a_folder(cohort, tmp_path):
    folder = CohortFolder(tmp_path / "out")
    with folder.held(), pytest.raises(ws.WsimilError, match="another run"):
        cohort()


def test_features_are_extracted_and_told_of(slides, random_encoder, tmp_path):
    wish = {"encoder": random_encoder[1], "workers": 0, "precision": "fp32"}
    first = ws.extract_cohort(slides, tmp_path / "store", **wish)
    assert [record.status for record in first.records] == ["done", "done", "failed"]
    assert all(path.is_file() for record in first.done for path in record.paths(first.folder))
    assert first.done[0].encoded == first.done[0].patch_count > 0
    assert ws.extract_cohort(slides, tmp_path / "store", **wish, skip_failed=True).new == set()
    # another magnification may lie in the same store
    other = ws.extract_cohort(slides / "a.tiff", tmp_path / "store", **wish, mpp=1.0)
    assert other.folder.parent == first.folder.parent
    assert len(list((tmp_path / "store").rglob("*.h5"))) == 3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"workers": 1, "scheduler": "tcp://127.0.0.1:1"}, "not both"),
        ({"workers": -1}, "can't be -1"),
        ({"retries": -1}, "can't be -1"),
        ({"formats": ["docx"]}, "no export format 'docx'"),
    ],
)
def test_nonsense_is_refused_before_any_work(cohort, tmp_path, changed, words):
    with pytest.raises(ws.WsimilError, match=words):
        cohort(**changed)
    assert not (tmp_path / "out").exists()


def test_lines_of_attempts_survive_a_power_cut(tmp_path):
    path = tmp_path / "a.jsonl"
    note_attempt(path, "started")
    path.write_text(path.read_text() + '{"event": "sta')
    note_attempt(path, "started", host="x")
    lines = path.read_text().splitlines()
    assert (count_attempts(path), json.loads(lines[-1])["host"], len(lines)) == (2, "x", 3)
