"""What a cohort costs on one and two workers, when a worker is killed half-way, and when the whole run is killed repeatedly.

    python benchmarks/cohort.py [--slides 6] [--size 8192] [--rounds 3] [--kills 20] [--out FILE.md]

workers     generated slides through `napari-wsimil predict` with 1 and 2 workers: patches per second, and seconds with the
            start of the processes.
killed      2 workers, one of which gets SIGKILL in the middle of a slide when half of the slides are done: what it costs.
kills       1 worker; the process group gets SIGKILL at random moments, 20 times, and the command is repeated each time. Every
            slide must end with one record and be finished once; results are compared with those of an unbroken run.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np

import napari_wsimil as ws

ENCODED_IN = "fp32"
"""The same in all runs, so that results can be compared to the last digit."""
INTO_SECONDS = 1.0
"""How long features of its slide have been on disk when a worker is killed."""


@dataclass
class Run:
    """A finished cohort: wall seconds of the command, its folder."""

    seconds: float
    out: Path

    @property
    def records(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted((self.out / "records").glob("*.json"))]

    @property
    def done(self) -> int:
        return sum(record["status"] == "done" for record in self.records)

    @property
    def patches(self) -> int:
        return sum(sum(record["patches"].values()) for record in self.records)

    @property
    def encoded(self) -> int:
        """Patches that the attempts which ended well had to encode; the others were in the store already."""
        return sum(record["encoded"] for record in self.records)

    @property
    def working(self) -> float:
        """Seconds from the first slide's begin to the last one's end."""
        lines = [line for name in (self.out / "attempts").glob("*.jsonl") for line in attempts(name)]
        times = [datetime.fromisoformat(line["time"]).timestamp() for line in lines]
        return max(times) - min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=6)
    parser.add_argument("--size", type=int, default=8192, help="side in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="of the runs with 1 and 2 workers, of which the medians are told")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--out", type=Path, help="Markdown to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wsimil-cohort-") as folder:
        slides = make_slides(Path(folder) / "slides", options.slides, options.size)
        text = "\n".join(report(slides, Path(folder), options))
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


def report(slides: Path, folder: Path, options: argparse.Namespace) -> list[str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # one after the other, and again, so that whatever else the machine does meets both
    runs = [
        {count: run(slides, folder / f"workers-{count}-{turn}", count) for count in (1, 2)} for turn in range(options.rounds)
    ]
    whole = {
        count: sorted((turn[count] for turn in runs), key=lambda one: one.working)[options.rounds // 2] for count in (1, 2)
    }
    ratios = sorted(turn[1].working / turn[2].working for turn in runs)
    lines = [
        f"{options.slides} generated slides of {options.size} x {options.size} px, {whole[1].patches} patches, bundled model, "
        f"{cores} cores, medians of {options.rounds} interleaved rounds, {datetime.now().astimezone():%d %B %Y}.",
        "",
        "| run | slides done | seconds | of them working | patches/s while working | against 1 worker |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    killed = worker_killed(slides, folder / "killed")
    rate = whole[1].patches / whole[1].working
    named = {"1 worker": whole[1], "2 workers": whole[2], "2 workers, one killed half-way": killed}
    for name, one in named.items():
        own = one.patches / one.working
        cells = (
            name,
            f"{one.done} of {options.slides}",
            f"{one.seconds:.1f}",
            f"{one.working:.1f}",
            f"{own:.1f}",
            f"{own / rate:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    kept = sum(sum(record["patches"].values()) - record["encoded"] for record in killed.records if record["attempts"] > 1)
    lines += [
        "",
        f"2 workers were {ratios[0]:.2f} to {ratios[-1]:.2f} times as fast as one, round by round, on cores that one uses too. "
        f"The killed worker's slide went on where it was: {kept} patches of it were not encoded again. The kill cost "
        f"{killed.working - whole[2].working:+.1f} s against 2 workers unbroken. Largest difference of a probability between "
        f"the runs: {max(difference(whole[1], other) for other in (whole[2], killed)):.1g}.",
    ]
    return lines + (kills(slides, folder, whole[1], options) if options.kills else [])


def kills(slides: Path, folder: Path, whole: Run, options: argparse.Namespace) -> list[str]:
    """Kill the whole run again and again, and compare with an unbroken one."""
    out, moments = folder / "kills", random.Random(options.seed)
    startup = whole.seconds - whole.working
    started, hit = time.perf_counter(), 0
    share = 1.5 * whole.working / options.kills
    while hit < options.kills:
        process, before = begin(slides, out, 1), count_begun(out)
        # half of the kills at any moment from the first import on, half of them while a slide is in hand
        if hit % 2:
            while process.poll() is None and count_begun(out) == before:
                time.sleep(0.05)
        try:
            process.wait(moments.uniform(0, share if hit % 2 else startup))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hit += 1
            continue
        # all slides were done before it could be killed
        break
    finish(begin(slides, out, 1))
    broken = Run(time.perf_counter() - started, out)
    tries = [attempts(out / "attempts" / f"{record['name']}.jsonl") for record in broken.records]
    finished = [sum(line["event"] == "done" for line in lines) for lines in tries]
    begun = sum(line["event"] == "started" for lines in tries for line in lines)
    again = begun - len(tries)
    kept = sum(sum(record["patches"].values()) - record["encoded"] for record in broken.records)
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    once = all(count <= 1 for count in finished) and broken.done == options.slides == len(rows)
    leftovers = [path for path in out.rglob("*") if path.name.endswith(".part")]
    cells = {
        "whole run killed": f"{hit} times",
        "slides begun again": again,
        "done": f"{broken.done} of {options.slides}",
        "finished more than once": sum(count > 1 for count in finished),
        "half-written files": len(leftovers),
        "patches of unfinished slides not encoded again": kept,
        "largest difference of a probability": f"{difference(whole, broken):.1g}",
        "of an attention": f"{difference(whole, broken, 'attention'):.1g}",
    }
    return [
        "",
        *(f"| {' | '.join(map(str, row))} |" for row in (cells, ["---"] * len(cells), cells.values())),
        "",
        "Every slide ended done exactly once." if once else "NOT every slide ended done exactly once.",
    ]


def worker_killed(slides: Path, out: Path) -> Run:
    """2 workers; SIGKILL for the one at a slide when half of the slides are done."""
    started = time.perf_counter()
    process = begin(slides, out, 2)
    half = len(list(slides.glob("*.tiff"))) // 2
    while process.poll() is None and len(list((out / "records").glob("*.json"))) < half:
        time.sleep(0.05)
    seen: dict[str, float] = {}
    while process.poll() is None:
        for part in (out / ".unfinished").rglob("*.part"):
            seen.setdefault(part.relative_to(out / ".unfinished").parts[0], time.perf_counter())
        # in the middle of a slide, some of whose features are kept already
        for name, since in seen.items():
            last = attempts(out / "attempts" / f"{name}.jsonl")[-1]
            if last["event"] == "started" and time.perf_counter() - since > INTO_SECONDS:
                os.kill(last["process"], signal.SIGKILL)
                finish(process)
                return Run(time.perf_counter() - started, out)
        time.sleep(0.02)
    finish(process)
    raise SystemExit("all slides were done before a worker could be killed: take larger ones (--size)")


def run(slides: Path, out: Path, workers: int) -> Run:
    started = time.perf_counter()
    finish(begin(slides, out, workers))
    return Run(time.perf_counter() - started, out)


def begin(slides: Path, out: Path, workers: int) -> subprocess.Popen:
    program = "import sys; from napari_wsimil.cli import main; main(sys.argv[1:])"
    wish = ["--model", "bundled", "--out", str(out), "--workers", str(workers), "--precision", ENCODED_IN, "--device", "cpu"]
    # a group of its own, so that workers are killed with it
    return subprocess.Popen(
        [sys.executable, "-c", program, "predict", str(slides), *wish],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> None:
    _, told = process.communicate()
    if process.returncode:
        raise SystemExit(f"the cohort ended with {process.returncode}:\n{told}")


def count_begun(out: Path) -> int:
    return sum(line["event"] == "started" for path in (out / "attempts").glob("*.jsonl") for line in attempts(path))


def attempts(path: Path) -> list[dict]:
    """Lines of a slide's attempts; one that a kill cut short is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def difference(one: Run, other: Run, what: str = "probabilities") -> float:
    """The largest difference of saved predictions, slide by slide."""
    worst = 0.0
    for path in sorted(one.out.glob("*.prediction.h5")):
        with h5py.File(path) as left, h5py.File(other.out / path.name) as right:
            names = (
                ["probabilities"] if what == "probabilities" else [f"attention/{level}/values" for level in left["attention"]]
            )
            worst = max(worst, *(float(np.abs(left[name][()] - right[name][()]).max()) for name in names))
    return worst


def make_slides(folder: Path, count: int, size: int) -> Path:
    folder.mkdir(parents=True)
    for seed in range(count):
        ws.make_sample_slide(
            folder / f"slide-{seed:02d}.tiff", kind="normal" if seed % 3 == 1 else "tumour", seed=seed, size=size
        )
    return folder


if __name__ == "__main__":
    main()
