"""How long Predict takes with a second model on the same encoder, the features of the slide being stored.

    python benchmarks/second_model.py [--rounds 3] [--methods NAME ...] [--quick] [--out FILE]

The slide is generated, 100,000 x 100,000 px (`large_slides.py`), with some 20,700 patches of 256 px at 0.5 µm per pixel; the
encoder is ResNet-50 after its third stage, 1024 features. What is stored are random numbers in place of features, put there
through `FeatureStore`: a prediction does not take longer or shorter by what they are. Everything else is what a user's second
Predict does in a session: a model that was not loaded before, from its folder; opening the slide; finding tissue; laying the
grids; looking up the features; the MIL network; the result. ZoomMIL looks at 5x, 10x and 20x, LRMIL's student at 5x, all others
at all patches at 20x.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from large_slides import huge_slide, tiny_slide
from side_by_side import options, publish
from untrained import QUICK, head_flops, package, resnet50

import napari_wsimil as ws
from napari_wsimil.bags import FeatureStore
from napari_wsimil.mil import METHODS
from napari_wsimil.patches import PatchSpec
from napari_wsimil.samples import sample_folder

if TYPE_CHECKING:
    import argparse

    from napari_wsimil.encoders import Encoder
    from napari_wsimil.patches import PatchGrid

WANTED = 2.0
MPPS = (2.0, 1.0, 0.5)
HEAD = "## Predict again, with another model"


class Spent(NamedTuple):
    """Seconds: loading the model, up to the patches (slide, tissue, grids), their features, the network, and in all."""

    loading: float
    patches: float
    features: float
    network: float
    all: float


def main() -> None:
    chosen = _arguments()
    slide = tiny_slide() if chosen.quick else huge_slide()
    encoder = resnet50(sample_folder() / "benchmarks" / f"resnet50{'-quick' * chosen.quick}", **QUICK if chosen.quick else {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grids = fill_store(folder / "store", slide, ws.load_encoder(encoder))
        models = {method: make_model(folder / method, method, encoder) for method in chosen.methods}
        spent = measure(slide, models, folder / "store", chosen.rounds)
        rate = matrix_rate()
        operations = {method: operations_of(model, grids) for method, model in models.items()}
    publish(chosen, f"{HEAD}\n\n{report(spent, grids, operations, rate)}")


def _arguments() -> argparse.Namespace:
    parser = options(__doc__, rounds=3, slide=False)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds = 1
    return chosen


def fill_store(folder: Path, path: Path, encoder: Encoder) -> dict[float, PatchGrid]:
    """Put features of all patches at all magnifications into a new store; mpp -> patches."""
    random, store, grids = np.random.default_rng(0), FeatureStore(folder), {}
    with ws.open_slide(path) as slide:
        tissue = ws.find_tissue(slide)
        for mpp in MPPS:
            grid = ws.patch_grid(slide, mpp=mpp, tissue=tissue)
            features = random.standard_normal((len(grid), encoder.dimension), dtype=np.float32)
            store.save(slide, encoder, PatchSpec(mpp), grid, features)
            grids[mpp] = grid
    return grids


def make_model(folder: Path, method: str, encoder: str) -> Path:
    """Write a package of a method with its usual hyper-parameters."""
    if method == "zoommil":
        package(folder, method, encoder, MPPS, magnifications=len(MPPS))
    else:
        package(folder, method, encoder, MPPS[:1] if method == "lrmil" else MPPS[-1:])
    return folder


def measure(slide: Path, models: dict[str, Path], store: Path, rounds: int) -> dict[str, list[Spent]]:
    """Every method in every round, in another order; the first prediction of the session is not counted."""
    spent: dict[str, list[Spent]] = {method: [] for method in models}
    once(slide, next(iter(models.values())), store)
    for number in range(rounds):
        for method in list(models)[:: -1 if number % 2 else 1]:
            # a folder of another name was not loaded before
            fresh = shutil.copytree(models[method], models[method].with_name(f"{method}-{number}"))
            spent[method].append(once(slide, fresh, store))
            print(f"  {method}: {spent[method][-1].all:.2f} s", file=sys.stderr, flush=True)
    return spent


def once(slide: Path, folder: Path, store: Path) -> Spent:
    """Load a model and predict."""
    started = time.perf_counter()
    model = ws.load_model(folder)
    loading = time.perf_counter() - started
    about = ws.predict(slide, model, store=store).provenance
    total = time.perf_counter() - started
    if any(about["patches"]["encoded"].values()):
        raise RuntimeError(f"{model.id} encoded patches whose features are stored")
    seconds = about["seconds"]
    return Spent(loading, seconds["tissue"], seconds["encoding"], seconds["model"], total)


def matrix_rate() -> float:
    """Floating-point operations a second of a plain product of matrices: no network here can be faster."""
    left, right = torch.randn(8192, 1024), torch.randn(1024, 1024)
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        _ = left @ right
        seconds.append(time.perf_counter() - started)
    return 2 * left.numel() * len(right) / min(seconds)


def operations_of(folder: Path, grids: dict[float, PatchGrid]) -> int:
    """Floating-point operations of a package's network on the slide."""
    model = ws.load_model(folder)
    return head_flops(model, {mpp: grids[mpp] for mpp in model.spec.mpps})


def report(spent: dict[str, list[Spent]], grids: dict[float, PatchGrid], operations: dict[str, int], rate: float) -> str:
    """Medians, and whether they are short enough."""
    middle = {method: Spent(*(statistics.median(part) for part in zip(*each, strict=True))) for method, each in spent.items()}
    slow = [method for method, seconds in middle.items() if seconds.all >= WANTED]
    reached = "reached by all methods" if not slow else f"**not reached by {', '.join(slow)}**"
    patches = ", ".join(f"{len(grid):,} at {mpp:g} µm per pixel" for mpp, grid in grids.items())
    lines = [
        f"Wanted: less than {WANTED:g} s; {reached}. Patches: {patches}.",
        f"The last column is the network at the rate of a plain product of matrices, {rate / 1e9:.0f} GFLOP/s here.\n",
        "| model | loading it, s | slide, tissue, patches, s | stored features, s | network, s | in all, s | network, GFLOP "
        "| at least, s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {method} | {' | '.join(f'{part:.2f}' for part in seconds)} | {operations[method] / 1e9:,.1f} "
        f"| {operations[method] / rate:.2f} |"
        for method, seconds in middle.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
