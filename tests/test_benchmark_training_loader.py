"""The benchmark of the loader runs, and tells where the time of training goes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_quick_run_prints_a_row_for_each_way(tmp_path):
    page = tmp_path / "results" / "page.md"
    command = [sys.executable, str(ROOT / "benchmarks" / "training_loader.py"), "--quick", "--out", str(page)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    told = page.read_text()
    assert "A quick run" in told
    for way in ("read when needed", "read ahead", "kept in memory"):
        shares = re.search(rf"\| {way} \| [\d.]+ \| ([\d.]+)% \| ([\d.]+)% \| ([\d.]+)% \|", told)
        assert sum(map(float, shares.groups())) == pytest.approx(100, abs=0.2)
