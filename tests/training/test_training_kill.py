"""A training that is killed twenty times ends as one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLED_RUNS = Path(__file__).with_name("killed_runs.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_twenty_kills_cost_nothing_but_the_steps_they_hit(tmp_path):
    command = [sys.executable, str(KILLED_RUNS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["kills"]) == 20
    # figures, answers and weights to the last bit, and each epoch once in the log
    assert told["broken"] == told["whole"]
    whole, broken = told["steps"]
    assert len(set(whole)) == len(whole)
    assert set(broken) == set(whole)
    # a kill costs one step at most: a step is begun again only by the process after the kill, as its first
    assert len(broken) - len(whole) <= len(told["kills"])
    again = [number for number in range(1, len(broken)) if broken[number] in broken[:number]]
    assert all(broken[number] == broken[number - 1] for number in again)
