"""Reads thousands of damaged slides in worker processes; `python tests/slides/fuzzing.py --seconds 1200` for long.

A damaged slide may be read, with notices, or refused in one sentence (SlideError). Anything else is a finding: another
exception, a crash, a hang, pixels of a wrong shape, more memory than `fuzz_worker.BOUND`. Each is told with the name of its
sample and its seed, from which `--only NAME --seed N --one` makes the same file again, and the file is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path

from fuzz_mutations import damage, dissect
from fuzz_samples import make_samples

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("fuzz_worker.py")
FINE = ("read", "refused")
_TIMEOUT, _SECOND_TIMEOUT = 10, 40


@dataclass
class Finding:
    """What must not happen, and how to see it again."""

    sample: str
    seed: int
    damage: list[str]
    outcome: str
    text: str
    path: Path

    def __str__(self):
        return f"{self.outcome}: {self.sample} seed {self.seed} ({'; '.join(self.damage)}), kept as {self.path}\n{self.text}"


@dataclass
class Report:
    """Outcomes by sample, findings, and what C libraries printed."""

    outcomes: dict[str, Counter] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    warnings: Counter = field(default_factory=Counter)
    printed: int = 0
    most_memory: int = 0
    slowest: tuple[float, str] = (0.0, "")

    @property
    def variants(self):
        return sum(counter.total() for counter in self.outcomes.values())

    def table(self):
        columns = ["read", "notices", "refused", "findings"]
        lines = [f"{'sample':20}{'variants':>10}" + "".join(f"{column:>10}" for column in columns)]
        for name, counter in sorted(self.outcomes.items()):
            bad = counter.total() - counter["read"] - counter["notices"] - counter["refused"]
            cells = (counter.total(), counter["read"], counter["notices"], counter["refused"], bad)
            lines.append(f"{name:20}" + "".join(f"{cell:>10}" for cell in cells))
        lines.append(
            f"{self.variants} variants, {len(self.findings)} findings; at most {self.most_memory >> 20} MB and "
            f"{self.slowest[0]:.1f} s ({self.slowest[1]}) for one; for {self.printed} of them something was printed to stderr"
        )
        return "\n".join(lines + [f"{number:6} x {text}" for text, number in self.warnings.most_common(20)])


class Worker:
    """A process that reads slides one after the other; replaced when it dies or hangs."""

    def __init__(self, folder, script=WORKER):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._script = script
        self._process = None
        self._errors = folder / "stderr.txt"

    def read(self, path, backend, timeout):
        """The answer of the process, and whether it printed anything."""
        self._start()
        before = self._errors.stat().st_size
        self._process.stdin.write(json.dumps({"path": str(path), "backend": backend}) + "\n")
        self._process.stdin.flush()
        line = self._line(timeout)
        if not line:
            hung = self._process.poll() is None and line is None
            self.close()
            code = self._process_code
            said = self._errors.read_text(errors="replace")[before:]
            text = said[-3000:]
            return {
                "outcome": "hang" if hung else "crash",
                "text": f"exit status {code}\n{text}",
                "taken": 0,
                "warnings": [],
            }, bool(said)
        return json.loads(line), self._errors.stat().st_size > before

    def _start(self):
        if self._process is not None:
            return
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = os.environ | limits | {"MALLOC_ARENA_MAX": "2", "PYTHONPATH": str(ROOT / "src")}
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, self._script],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
            )  # fmt: skip
        if self._line(120) != "ready\n":
            raise RuntimeError(f"the worker did not start: {self._errors.read_text()[-2000:]}")

    def _line(self, timeout):
        """A line, "" at the end of the process, None if nothing came in time."""
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        return self._process.stdout.readline() if ready else None

    def close(self):
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        self._process_code = process.wait()
        process.stdin.close()
        process.stdout.close()


class Variants:
    """Damaged copies of samples in a folder of one worker."""

    def __init__(self, folder):
        self.folder = folder

    def make(self, sample, seed):
        """Path of the damaged slide, the file that was damaged, and what was done."""
        chance = random.Random(f"{sample.name}/{seed}")
        name = chance.choice(sample.files)
        place = self.folder / sample.name
        if sample.path.is_dir():
            if not place.exists():
                shutil.copytree(sample.path, place)
                for file in place.rglob("*"):
                    file.chmod(0o755)
            slide = place
        else:
            place.mkdir(parents=True, exist_ok=True)
            slide = place / sample.path.name
        original = sample.path / name if name else sample.path
        content, anatomy = _original(original)
        data, done = damage(content, anatomy, chance)
        target = slide / name if name else slide
        target.write_bytes(data)
        return slide, target, [f"{name}: {what}" if name else what for what in done]

    def repair(self, sample, target):
        """Put the file of a folder back as it was."""
        if sample.path.is_dir():
            shutil.copyfile(sample.path / target.relative_to(self.folder / sample.name), target)


@cache
def _original(path):
    return path.read_bytes(), dissect(path)


def try_one(worker, variants, sample, seed, keep):
    """Make and read one variant. Returns the answer and a `Finding` or None."""
    slide, target, done = variants.make(sample, seed)
    answer, printed = worker.read(slide, sample.backend, _TIMEOUT)
    if answer["outcome"] == "hang":
        # a busy machine is no finding
        answer, printed = worker.read(slide, sample.backend, _SECOND_TIMEOUT)
    finding = None
    if answer["outcome"] not in FINE:
        kept = keep / f"{sample.name}-{seed}{target.suffix}"
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target, kept)
        finding = Finding(sample.name, seed, done, answer["outcome"], answer.get("text", ""), kept)
        kept.with_name(f"{kept.name}.txt").write_text(f"{finding}\n", encoding="utf-8", errors="replace")
    variants.repair(sample, target)
    return answer | {"printed": printed}, finding


def fuzz(samples, *, seconds, work, first_seed=0, seeds=None, workers=2, most_findings=1000):
    """Read damaged variants of all samples in turn until the time is over; returns a `Report`."""
    report = Report()
    until = time.monotonic() + seconds
    each = count(first_seed) if seeds is None else range(first_seed, first_seed + seeds)
    turns = ((sample, seed) for seed in each for sample in samples)
    # a generator can't be asked by two threads at once
    todo = iter(list(zip(turns, range(int(seconds * 400)), strict=False)))

    def run(number):
        worker = Worker(work / f"worker{number}")
        variants = Variants(worker.folder)
        try:
            while time.monotonic() < until and len(report.findings) < most_findings:
                item = next(todo, None)
                if item is None:
                    return
                (sample, seed), _ = item
                began = time.monotonic()
                answer, finding = try_one(worker, variants, sample, seed, work / "findings")
                _note(report, (sample.name, seed), answer, finding, time.monotonic() - began)
        finally:
            worker.close()

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(run, range(workers)):
            pass
    return report


def _note(report, variant, answer, finding, took):
    name, seed = variant
    outcome = "notices" if answer.get("notices") else answer["outcome"]
    report.outcomes.setdefault(name, Counter())[outcome] += 1
    report.warnings.update(answer["warnings"])
    report.printed += answer["printed"]
    report.most_memory = max(report.most_memory, answer["taken"])
    report.slowest = max(report.slowest, (took, f"{name} seed {seed}"))
    if finding is not None:
        report.findings.append(finding)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--only", nargs="+", help="names of samples")
    parser.add_argument("--one", action="store_true", help="read just the variant of --seed")
    parser.add_argument("--work", type=Path, help="folder for files and findings; a temporary one by default")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="wsimil-fuzz-"))
    data = Path(os.environ.get("WSIMIL_DATA", ROOT.parent / "shared" / "data"))
    samples = [one for name, one in make_samples(work / "samples", data).items() if not given.only or name in given.only]
    if given.one:
        worker = Worker(work / "worker0")
        for sample in samples:
            answer, finding = try_one(worker, Variants(worker.folder), sample, given.seed, work / "findings")
            sys.stdout.write(f"{finding or answer}\n")
        worker.close()
        return 0
    report = fuzz(samples, seconds=given.seconds, work=work, first_seed=given.seed, workers=given.workers)
    for finding in report.findings:
        sys.stdout.write(f"{finding}\n\n")
    sys.stdout.write(f"{report.table()}\n")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
