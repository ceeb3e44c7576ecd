"""Thousands of damaged slides, read in processes of their own: each is read or refused in one sentence.

`WSIMIL_FUZZ_SECONDS` says for how long (60 by default); `scripts/fuzz-slides` does the same for hours.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import fuzz_samples
import fuzz_worker
import fuzzing
import numpy as np
import pytest
import tifffile
from fuzz_mutations import damage, dissect
from fuzz_samples import Sample

from napari_wsimil.errors import SlideError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set and measured as Linux does it")
SECONDS = float(os.environ.get("WSIMIL_FUZZ_SECONDS", "60"))
SEEDS = None if "WSIMIL_FUZZ_SECONDS" in os.environ else 100
"""Variants of each slide at most: all machines read the same ones; new ones are for who asks for more time."""


def run(samples, work):
    report = fuzzing.fuzz(samples, seconds=SECONDS / 2, seeds=SEEDS, work=work)
    sys.stdout.write(report.table())
    told = "\n\n".join(map(str, report.findings[:10]))
    assert not report.findings, f"{len(report.findings)} findings:\n{told}"
    assert report.variants > SECONDS
    assert set(report.outcomes) == {sample.name for sample in samples}


@pytest.mark.timeout(SECONDS + 240)
def test_damaged_slides_made_on_the_spot(tmp_path):
    samples = fuzz_samples.make_samples(tmp_path / "samples", tmp_path / "no real data")
    run(list(samples.values()), tmp_path)


@pytest.mark.timeout(SECONDS + 240)
def test_damaged_real_slides(tmp_path, real_data):
    samples = fuzz_samples.make_samples(tmp_path / "samples", real_data("slides").parent)
    run([sample for name, sample in samples.items() if name.startswith("real_")], tmp_path)


def test_the_same_seed_makes_the_same_damage(tmp_path):
    sample = Sample("ndpi", fuzz_samples.GENERATED["ndpi"](tmp_path))
    content, about = sample.path.read_bytes(), dissect(sample.path)
    made = [damage(content, about, random.Random(seed)) for seed in (1, 1, 2)]
    assert made[0] == made[1]
    assert made[0][0] != made[2][0]
    assert made[0][0] != content


STUB = """
import os, sys, time, json
print("ready", flush=True)
for line in sys.stdin:
    kind = os.path.basename(json.loads(line)["path"])
    if kind == "crash":
        print("what the library said", file=sys.stderr, flush=True)
        os.abort()
    if kind == "hang":
        time.sleep(60)
    print(json.dumps({"outcome": "read", "notices": 0, "taken": 0, "warnings": []}), flush=True)
"""


def test_crash_and_hang_are_found_and_the_worker_replaced(tmp_path):
    script = tmp_path / "stub.py"
    script.write_text(STUB)
    worker = fuzzing.Worker(tmp_path / "worker", script)
    try:
        crash, printed = worker.read(tmp_path / "crash", None, 20)
        assert (crash["outcome"], printed) == ("crash", True)
        assert "exit status -6" in crash["text"]
        assert "what the library said" in crash["text"]
        assert worker.read(tmp_path / "hang", None, 0.5)[0]["outcome"] == "hang"
        assert worker.read(tmp_path / "fine", None, 20)[0]["outcome"] == "read"
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (SlideError("x.tif is damaged; copy it again."), "refused"),
        (SlideError("x.tif is damaged"), "bad text"),
        (SlideError("Two\nlines."), "bad text"),
        (SlideError("Found /somewhere/x.tif."), "bad text"),
        (MemoryError(), "exception"),
        (KeyError("tag"), "exception"),
    ],
)
def test_what_is_forbidden_is_told_from_what_is_allowed(monkeypatch, raised, outcome):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr("napari_wsimil.slides.open_slide", fail)
    assert fuzz_worker._judge("/somewhere/x.tif", None)["outcome"] == outcome


def test_memory_beyond_the_bound_is_forbidden(monkeypatch):
    monkeypatch.setattr(fuzz_worker, "BOUND", 32 << 20)
    monkeypatch.setattr(fuzz_worker, "_use", lambda *_: _take())
    assert fuzz_worker._judge("/somewhere/x.tif", None)["outcome"] == "memory"


def _take():
    # far more than what others may let go of at the same time
    np.ones(512 << 20, np.uint8).sum()
    return []


def test_findings_are_kept_with_their_seed(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    sample = Sample("plain", tmp_path / "x.tif")

    def read(*_):
        return {"outcome": "exception", "text": "KeyError: tag", "taken": 0, "warnings": []}, False

    monkeypatch.setattr(fuzzing.Worker, "read", read)
    worker = fuzzing.Worker(tmp_path / "worker")
    _, finding = fuzzing.try_one(worker, fuzzing.Variants(worker.folder), sample, 7, tmp_path / "findings")
    assert finding.path.read_bytes() != sample.path.read_bytes()
    assert "plain seed 7" in str(finding)
    assert "KeyError: tag" in Path(f"{finding.path}.txt").read_text()
