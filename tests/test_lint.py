"""The linters, as tests: the one list of them, which `make test`, `make lint` and CI share."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
FOLDERS = [name for name in ("src", "tests", "examples", "benchmarks") if (ROOT / name).is_dir()]


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", *FOLDERS),
        ("ruff", "format", "--check", *FOLDERS),
        ("mypy",),
        ("lint-imports",),
    ],
    ids=" ".join,
)
def test_lint(command):
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
