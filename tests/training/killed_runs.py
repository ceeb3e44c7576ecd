"""Runs a small training in processes that are killed, and one that is not; prints what became of both as JSON.

One process imports everything once and forks the others, so that twenty of them take seconds. `python killed_runs.py FOLDER`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import jinja2  # noqa: F401 - what each process would import by itself
import matplotlib.backends.backend_agg
import matplotlib.backends.backend_svg
import matplotlib.figure  # noqa: F401
import numpy as np
import sklearn.metrics
import sklearn.model_selection  # noqa: F401
import torch
import torch._dynamo

from napari_wsimil.training import events, journal, recipe, trainer
from napari_wsimil.training.evaluation import results
from napari_wsimil.training.runs import run

SETTINGS = {
    "epochs": 16,
    "learning_rate": 3e-3,
    "optimiser": "lookahead-radam",
    "accumulate": 2,
    "schedule": "plateau",
    "schedule_patience": 0,
    "schedule_factor": 0.5,
    "clip": 1.0,
    "patience": 0,
}
PARAMETERS = {"hidden": 16, "attention": 8, "dropout": 0.25}
EARLY_KILLS, RANDOM_KILLS = 2, 7
FURTHEST = 4


def make_data(folder: Path) -> Path:
    """A manifest with 26 feature files of two classes that are hard to tell apart."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(26):
        positive, side = number % 2, "train" if number < 14 else "validation" if number < 20 else "test"
        features = random.normal(size=(random.integers(5, 30), 12)).astype(np.float32)
        features[:2, :3] += positive
        torch.save(torch.from_numpy(features), folder / f"{number}.pt")
        rows.append([f"{number}.pt", ["no", "yes"][positive], side])
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["slide", "label", "split"], *rows])
    return path


def train(manifest: Path, out: Path) -> None:
    run.train(manifest, "clam", out, parameters=PARAMETERS, settings=SETTINGS, resume=True, device="cpu")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killing(function, at: int, *, after: bool):
    """`function`, ending the process before or after its call number `at`."""
    calls = 0

    def called(*arguments, **named):
        nonlocal calls
        calls += 1
        if calls == at and not after:
            kill()
        result = function(*arguments, **named)
        if calls == at:
            kill()
        return result

    return called


def half_written(log, event):
    """What a process leaves that is killed in the midst of a line."""
    with log._path.open("ab") as file:
        file.write(event.line().encode()[:20])
        file.flush()
    kill()


MOMENTS = {
    "journal: between two tensors": (journal, "_padded", 60, False),
    "journal: before the sum": (journal, "_sum", 5, False),
    "journal: before the number": (journal, "_sum", 9, True),
    "weights changed, not kept": (recipe.BagRecipe, "change", 4, True),
    "gradients made, weights not changed": (recipe.BagRecipe, "change", 4, False),
    "best weights written, not in place": (trainer, "save_file", 1, True),
    "epoch judged, not kept": (recipe.Recipe, "end_epoch", 1, True),
    "in a line of the log": (events.EventLog, "append", 3, None),
    "package written, nothing scored": (results, "score", 1, False),
    "scored, figures not written": (results, "write_evaluation", 1, False),
    "figures written, no report": (results, "write_evaluation", 1, True),
}


def attempt(manifest: Path, out: Path, steps: Path, moment: str = "", lines: int | None = None, seconds: float = 0.0) -> bool:
    """Train in a process of its own, killed at a moment, or `seconds` after so many steps: whether it came to its end.

    It is killed `FURTHEST` steps later at the latest: on a quick machine all would be over before the last of the kills.
    """
    begun = count(steps)
    child = os.fork()
    if child == 0:
        count_steps(steps)
        if moment:
            place, name, at, after = MOMENTS[moment]
            hook = half_written if after is None else killing(getattr(place, name), at, after=after)
            setattr(place, name, hook)
        train(manifest, out)
        os._exit(0)
    if lines is not None:
        until = math.inf
        while time.perf_counter() < until and count(steps) < begun + lines + FURTHEST:
            if os.waitpid(child, os.WNOHANG)[0]:
                raise RuntimeError(f"the training ended before it was killed, {count(steps) - begun} steps after it began")
            if until == math.inf and count(steps) >= begun + lines:
                until = time.perf_counter() + seconds
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def count(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.is_file() else 0


def count_steps(path: Path) -> None:
    """Write down each step that is begun, and let the journal keep each: steps as small as these it would leave out."""
    trainer.JOURNAL_SHARE = math.inf
    step = trainer.Trainer._step

    def counted(self, *arguments):
        with path.open("a") as file:
            file.write(f"{self._at.epoch} {self._at.step}\n")
        return step(self, *arguments)

    trainer.Trainer._step = counted


def outcome(out: Path) -> dict[str, str]:
    names = ["metrics.json", "predictions.csv", "model/weights.safetensors", "manifest.csv"]
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names} | {
        "report": str((out / "report.html").is_file()),
        "events": str(sum(event.kind == "epoch" for event in events.read_events(out / "events.jsonl"))),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    # the intervals are not what is looked at here, and drawing them a thousand times takes most of the time
    results.measure = partial(results.measure, draws=20)
    manifest = make_data(folder)
    started = time.perf_counter()
    assert attempt(manifest, folder / "whole", folder / "whole.txt")
    random = np.random.default_rng(1)
    in_training, at_the_end = [*MOMENTS][:8], [*MOMENTS][8:]
    plan = in_training + ["early"] * EARLY_KILLS + ["at random"] * RANDOM_KILLS
    random.shuffle(plan)
    kills = []
    for moment in plan + at_the_end:
        lines = {"early": 0, "at random": int(random.integers(1, 5))}.get(moment)
        seconds = float(random.uniform(0, 0.5 if moment == "early" else 0.02))
        named = "" if lines is not None else moment
        if not attempt(manifest, folder / "broken", folder / "broken.txt", named, lines, seconds):
            kills.append(moment)
    assert attempt(manifest, folder / "broken", folder / "broken.txt")
    steps = [(folder / name).read_text().splitlines() for name in ("whole.txt", "broken.txt")]
    told = {"kills": kills, "whole": outcome(folder / "whole"), "broken": outcome(folder / "broken"), "steps": steps}
    print(json.dumps({**told, "seconds": time.perf_counter() - started}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
