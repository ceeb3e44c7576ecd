"""Run a command in a process of its own and see how much memory it takes at most."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence

GIGABYTE = 1e9
_INTERVAL = 0.1


@dataclass(frozen=True)
class Watched:
    """What a command printed, the seconds it took from start to end, and the bytes of memory it had at most."""

    printed: str
    seconds: float
    peak: int


def run_watched(command: Sequence[str | Path], limit: float = 3600) -> Watched:
    """Run a command to its end, or for `limit` seconds; its memory is that of all processes that it starts.

    Raises
    ------
    RuntimeError
        It failed or took too long; what it said is in the message.
    """
    started, peak = time.perf_counter(), 0
    parts = [str(part) for part in command]
    with subprocess.Popen(parts, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while True:
            peak = max(peak, memory(process.pid))
            try:
                printed, said = process.communicate(timeout=_INTERVAL)
                break
            except subprocess.TimeoutExpired:
                if time.perf_counter() - started > limit:
                    process.kill()
    if process.returncode:
        raise RuntimeError(f"{' '.join(parts)} failed ({process.returncode}): {said[-2000:]}")
    return Watched(printed, time.perf_counter() - started, peak)


def memory(pid: int | None = None) -> int:
    """Bytes of memory that a process (None: this one) and those it started have now.

    On Linux what the process itself had at most counts, so that nothing between two looks is missed.
    """
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        own, others = process.memory_info().rss, 0
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                others += child.memory_info().rss
        return max(own, _highest(process.pid)) + others
    return 0


def _highest(pid: int) -> int:
    """Most bytes of memory of one process so far; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
