"""How much of the time a training step computes: ABMIL on bags of 10,000 x 1024 features in HDF5, full precision.

    python benchmarks/training_loader.py [--bags 12] [--patches 10000] [--rounds 3] [--quick] [--out FILE]

The trainer takes its steps on files in our layout (contiguous float32), three ways in turns: each bag read when it is needed,
bags read ahead in a thread (what training does), and bags kept in memory from an earlier epoch. *Computing* is the time
inside the recipe's step (forward, losses, backward, optimiser), *waiting* the time for a bag that is not there yet, the *rest*
the journal, events and the loop. The files were just written, so the system has them in its memory: what is measured is
reading and copying, not a disk.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from side_by_side import options, publish

from napari_wsimil.mil import build_mil
from napari_wsimil.training import trainer
from napari_wsimil.training.bag_sets import FileBags, KeptBags, MemoryBags, load_ahead
from napari_wsimil.training.data.manifest import Case
from napari_wsimil.training.recipes import RECIPES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from napari_wsimil.training.bag_sets import BagSet

WIDTH = 1024
WANTED = 0.9
WAYS = ("read when needed", "read ahead", "kept in memory")


@dataclass
class Spent:
    """Seconds of the steps of one epoch."""

    steps: int = 0
    wall: float = 0.0
    computing: float = 0.0
    waiting: float = 0.0


def write_bags(folder: Path, count: int, patches: int) -> list[Case]:
    """Feature files as our store writes them."""
    random = np.random.default_rng(0)
    cases = []
    side = int(np.ceil(np.sqrt(patches)))
    cells = np.stack(np.divmod(np.arange(patches), side)[::-1], axis=1)
    for number in range(count):
        path = folder / f"slide{number}.h5"
        with h5py.File(path, "w") as file:
            file["features"] = random.standard_normal((patches, WIDTH), dtype=np.float32)
            file["coords"] = (cells * 512).astype(np.int64)
            file["coords"].attrs.update(
                patch_size=256,
                patch_size_level0=512.0,
                level0_magnification=40,
                target_magnification=20.0,
                overlap=0,
                mpp_target=0.5,
            )
        cases.append(Case(path.stem, path, None, path.stem))
    return cases


def epoch(bags: BagSet, folder: Path, *, ahead: bool) -> Spent:
    """Train one epoch and tell where the time of its steps went; validation is left out."""
    spent = Spent()
    spec = RECIPES["abmil"]
    torch.manual_seed(0)
    recipe = spec.make(build_mil("abmil", WIDTH, 2), bags, spec.settings(epochs=1))
    validation = MemoryBags([np.zeros((2, WIDTH), np.float32)] * 2, [0, 1])
    taken = recipe.step

    def step(*given: Any) -> dict[str, float]:
        started = time.perf_counter()
        losses = taken(*given)
        spent.computing += time.perf_counter() - started
        spent.steps += 1
        return losses

    def loaded(bags: BagSet, order: list[int], *usual: int) -> Iterator[Any]:
        pairs = load_ahead(bags, order, *(usual if ahead else (0,)))
        while True:
            started = time.perf_counter()
            pair = next(pairs, None)
            spent.waiting += time.perf_counter() - started
            if pair is None:
                return
            yield pair

    recipe.step = step  # type: ignore[method-assign]
    usual, trainer.load_ahead = trainer.load_ahead, loaded  # type: ignore[assignment]
    try:
        events = trainer.Trainer(recipe, validation, folder).run()
        started = time.perf_counter()
        for event in events:
            if event.kind == "start":
                started = time.perf_counter()
            if event.kind == "step":
                spent.wall = time.perf_counter() - started
    finally:
        trainer.load_ahead = usual
    return spent


def measure(chosen: argparse.Namespace) -> dict[str, list[Spent]]:
    """Every way in every round, another one first each time."""
    spent: dict[str, list[Spent]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = write_bags(folder, chosen.bags, chosen.patches)
        files = FileBags(cases, [number % 2 for number in range(len(cases))])
        kept = KeptBags(files, limit=1 << 40)
        for row in range(len(kept)):
            kept.bag(row)
        sets = {WAYS[0]: (files, False), WAYS[1]: (files, True), WAYS[2]: (kept, True)}
        epoch(kept, folder / "warm", ahead=True)
        for number in range(chosen.rounds):
            for turn in range(len(WAYS)):
                way = WAYS[(turn + number) % len(WAYS)]
                bags, ahead = sets[way]
                spent[way].append(epoch(bags, folder / f"{number}-{turn}", ahead=ahead))
    return spent


def report(spent: dict[str, list[Spent]], chosen: argparse.Namespace) -> str:
    """The table: medians over the rounds."""
    lines = [
        "# The loader of training\n",
        f"ABMIL, full precision, one bag a step: {chosen.patches:,} x {WIDTH} float32 in HDF5, {chosen.bags} bags an epoch, on "
        f"the CPU with {torch.get_num_threads()} thread(s) (`benchmarks/training_loader.py`).\n",
        "| bags | ms per step | computing | waiting for bags | the rest |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for way, epochs in spent.items():

        def middle(name: str, epochs: list[Spent] = epochs) -> float:
            return statistics.median(getattr(one, name) / one.wall for one in epochs)

        step = statistics.median(1e3 * one.wall / one.steps for one in epochs)
        computing, waiting = middle("computing"), middle("waiting")
        lines.append(f"| {way} | {step:.1f} | {computing:.1%} | {waiting:.2%} | {1 - computing - waiting:.2%} |")
    share = statistics.median(one.computing / one.wall for one in spent["read ahead"])
    verdict = "reached" if share >= WANTED else "not reached"
    lines.append(
        f"\nWanted: the step computes at least {WANTED:.0%} of the time when bags are read ahead: {verdict}, {share:.1%}."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, rounds=3, slide=False)
    parser.add_argument("--bags", type=int, default=12, help="slides of an epoch")
    parser.add_argument("--patches", type=int, default=10_000, help="patches of a slide")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.bags, chosen.patches, chosen.rounds = min(chosen.bags, 4), min(chosen.patches, 300), 2
    if chosen.out is not None:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
    publish(chosen, report(measure(chosen), chosen))


if __name__ == "__main__":
    main()
