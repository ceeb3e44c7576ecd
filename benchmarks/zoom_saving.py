"""What looking closer only where it matters saves: ZoomMIL and LRMIL beside ABMIL on all patches of the same slide.

    python benchmarks/zoom_saving.py [--rounds 3] [--encoders resnet50 bundled] [--device auto] [--quick] [--out FILE]

The slide has the mean size of BRIGHT's (`large_slides.py`), the settings are those of ZoomMIL's paper for it: 1.25x, 2.5x and
10x with K = 12, and 1.25x and 2.5x with K = 8 ("EFF"). LRMIL's student looks at 2.5x, where a patch stands for 16 at 10x, as 5x
does for 20x in its paper. All take the same encoder: ResNet-50 after its third stage, as in the paper, and the bundled one.

*Patches* are those that `predict` encoded. *Encoder* is what the encoder computes for one patch (`torch.utils.flop_counter`:
a multiplication and an addition are two), times the patches; *head* is the MIL network on as many patches at the same places.
*Seconds* are whole predictions from the path of the slide on, models loaded before, nothing stored; the methods take turns.
Weights are random: what is encoded and computed does not depend on what was learned, only on how many patches are chosen.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from large_slides import bright_slide, tiny_slide
from mil_tables import Claim
from side_by_side import options, publish
from torch.utils.flop_counter import FlopCounterMode
from untrained import QUICK, head_flops, package, resnet50

import napari_wsimil as ws
from napari_wsimil.samples import sample_folder

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from napari_wsimil.encoders import Encoder
    from napari_wsimil.packages import Model
    from napari_wsimil.patches import PatchGrid

PLAIN, ZOOM, EFFICIENT, STUDENT = "ABMIL, 10x", "ZoomMIL, 1.25x 2.5x 10x", "ZoomMIL-EFF, 1.25x 2.5x", "LRMIL's student, 2.5x"
PAPER = {PLAIN: 16.45, ZOOM: 1.29, EFFICIENT: 0.40}
"""TFLOP of table 2 of ZoomMIL's paper; it counts a multiplication and its addition as one."""
HEAD = "## What zooming saves"


@dataclass
class Way:
    """One method with one encoder: the model, the patches of the slide at its magnifications, and what was measured."""

    model: Model
    grids: dict[float, PatchGrid]
    encoded: int = 0
    precision: str = ""
    seconds: list[float] = field(default_factory=list)
    encoding: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def main() -> None:
    chosen = _arguments()
    slide = tiny_slide() if chosen.quick else bright_slide()
    zooms = (2.0, 1.0, 0.5) if chosen.quick else (8.0, 4.0, 1.0)
    page, claims = [], []
    for name, encoder in _encoders(chosen).items():
        ways = make_ways(slide, encoder, zooms, sample_folder() / "benchmarks" / f"zoom-{name}{'-quick' * chosen.quick}")
        measure(slide, ways, chosen)
        page.append(f"### {name}\n\n{costs(ways)}")
        if name == "resnet50":
            claims = wanted(ways)
            page += [f"### Beside the paper\n\n{beside_paper(ways)}", f"### The slide\n\n{about(slide, ways)}"]
    publish(chosen, "\n\n".join([HEAD, *([verdict(claims)] if claims else []), *page]))


def _arguments() -> argparse.Namespace:
    parser = options(__doc__, rounds=3, slide=False)
    parser.add_argument("--encoders", nargs="+", choices=("resnet50", "bundled"), default=("resnet50", "bundled"))
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds = 1
    return chosen


def _encoders(chosen: argparse.Namespace) -> dict[str, str]:
    """Name -> what `load_encoder` takes."""
    folder = sample_folder() / "benchmarks" / ("resnet50-quick" if chosen.quick else "resnet50")
    known = {"resnet50": lambda: resnet50(folder, **QUICK if chosen.quick else {}), "bundled": lambda: "bundled"}
    return {name: known[name]() for name in chosen.encoders}


def make_ways(slide: Path, encoder: str, zooms: tuple[float, ...], folder: Path) -> dict[str, Way]:
    """Packages of all methods for one encoder, and their patches on the slide; `zooms` are three µm per pixel."""
    coarse, middle, fine = zooms
    models = {
        PLAIN: package(folder / "abmil", "abmil", encoder, (fine,)),
        ZOOM: package(folder / "zoommil", "zoommil", encoder, zooms, magnifications=3, selected=12),
        EFFICIENT: package(folder / "zoommil-eff", "zoommil", encoder, (coarse, middle), magnifications=2, selected=8),
        STUDENT: package(folder / "lrmil", "lrmil", encoder, (middle,)),
    }
    with ws.open_slide(slide) as opened:
        tissue = ws.find_tissue(opened)
        grids = {mpp: ws.patch_grid(opened, mpp=mpp, tissue=tissue) for mpp in zooms}
    return {name: Way(model, {mpp: grids[mpp] for mpp in model.spec.mpps}) for name, model in models.items()}


def measure(slide: Path, ways: dict[str, Way], chosen: argparse.Namespace) -> None:
    """Predict with every way in every round, another one first each time; the shortest goes first, not counted."""
    _predict(slide, ways[STUDENT], chosen.device)
    for number in range(chosen.rounds):
        for turn in range(len(ways)):
            name = list(ways)[(turn + number) % len(ways)]
            way = ways[name]
            seconds, about = _predict(slide, way, chosen.device)
            way.seconds.append(seconds)
            way.encoding.append(about["seconds"]["encoding"])
            way.encoded, way.precision = sum(about["patches"]["encoded"].values()), about["encoder"]["precision"]
            print(f"  {name}: {way.encoded} patches, {seconds:.1f} s", file=sys.stderr, flush=True)


def _predict(slide: Path, way: Way, device: str) -> tuple[float, dict[str, Any]]:
    started = time.perf_counter()
    prediction = ws.predict(slide, way.model, device=device)
    return time.perf_counter() - started, prediction.provenance


def encoder_flops(encoder: Encoder, side: int = 256) -> int:
    """Floating-point operations for one patch."""
    patches = torch.zeros((1, side, side, 3), dtype=torch.uint8).numpy()
    with FlopCounterMode(display=False) as counter:
        encoder.encode(patches)
    return int(counter.get_total_flops())


def costs(ways: dict[str, Way]) -> str:
    """The table of one encoder."""
    plain = ways[PLAIN]
    each = encoder_flops(plain.model.encoder)
    lines = [
        f"{plain.model.encoder.id}, {each / 1e9:.2f} GFLOP for a patch of 256 px, computed in {plain.precision}.\n",
        "| method | patches encoded | encoder, TFLOP | head, GFLOP | times fewer FLOPs | seconds | of that not encoding "
        "| times faster |",
        "| --- " + "| ---: " * 7 + "|",
    ]
    for name, way in ways.items():
        rest = statistics.median(a - b for a, b in zip(way.seconds, way.encoding, strict=True))
        lines.append(
            f"| {name} | {way.encoded:,} | {way.encoded * each / 1e12:.3f} | {head_flops(way.model, way.grids) / 1e9:.3f} "
            f"| {plain.encoded / way.encoded:.1f} | {way.median:.2f} | {rest:.2f} | {faster(plain, way):.1f} |"
        )
    return "\n".join(lines)


def faster(plain: Way, way: Way) -> float:
    """Median over the rounds of how many times faster a way was in the same round."""
    return statistics.median(a / b for a, b in zip(plain.seconds, way.seconds, strict=True))


def wanted(ways: dict[str, Way]) -> list[Claim]:
    """What issue and paper ask for."""
    plain = ways[PLAIN]

    def fewer(name: str, least: float) -> Claim:
        times = plain.encoded / ways[name].encoded
        return Claim(f"{name}: times fewer FLOPs of the encoder", f"at least {least:g}", f"{times:.1f}", times >= least)

    times = faster(plain, ways[ZOOM])
    return [
        fewer(ZOOM, 12),
        Claim(f"{ZOOM}: times faster end to end", "at least 10", f"{times:.1f}", times >= 10),
        fewer(EFFICIENT, 40),
    ]


def verdict(claims: list[Claim]) -> str:
    lines = ["| | wanted | found | reached |", "| --- | ---: | ---: | --- |"]
    return "\n".join([*lines, *(f"| {c.what} | {c.wanted} | {c.found} | {'yes' if c.met else '**no**'} |" for c in claims)])


def beside_paper(ways: dict[str, Way]) -> str:
    """The same numbers as the paper counts them: a MAC is a FLOP, and all patches are all children of the coarse ones."""
    macs = encoder_flops(ways[PLAIN].model.encoder) / 2
    coarse, middle, fine = ways[ZOOM].model.spec.mpps
    first = len(ways[ZOOM].grids[coarse])
    nested = {
        PLAIN: first * round(coarse / fine) ** 2,
        ZOOM: first + 12 * round(coarse / middle) ** 2 + 12 * round(middle / fine) ** 2,
        EFFICIENT: first + 8 * round(coarse / middle) ** 2,
    }
    lines = [
        "The paper finds tissue at 1.25x only and takes every patch at 10x below it, glass or not: its mean of 3968 patches at",
        f"10x is 64 x 62. Our slide has {first} such patches at 1.25x; counted like that, beside what `predict` encoded:\n",
        "| method | the paper, TFLOP | times fewer | counted like it: patches | TFLOP | times fewer | ours: patches | TFLOP "
        "| times fewer |",
        "| --- " + "| ---: " * 8 + "|",
    ]
    for name, count in nested.items():
        lines.append(
            f"| {name} | {PAPER[name]:.2f} | {PAPER[PLAIN] / PAPER[name]:.1f} | {count:,} | {count * macs / 1e12:.2f} "
            f"| {nested[PLAIN] / count:.1f} | {ways[name].encoded:,} | {ways[name].encoded * macs / 1e12:.2f} "
            f"| {ways[PLAIN].encoded / ways[name].encoded:.1f} |"
        )
    less = 1 - ways[PLAIN].encoded / nested[PLAIN]
    lines.append(
        f"\nOurs leaves out the glass along the edge of the tissue: ABMIL encodes {100 * less:.0f} % fewer patches than with\n"
        "the paper's way of choosing them, and there is less to save. ZoomMIL-EFF encodes all patches at 1.25x and those\n"
        f"below 8 of them: it would save 40 times where ABMIL had {40 * ways[EFFICIENT].encoded:,} patches or more."
    )
    return "\n".join(lines)


def about(path: Path, ways: dict[str, Way]) -> str:
    """Say what the slide is like, beside the paper's."""
    with ws.open_slide(path) as slide:
        share = float(ws.find_tissue(slide).mask.mean())
        size = f"{slide.width:,} x {slide.height:,} px at {slide.mpp[0]:g} µm per pixel, {100 * share:.0f} % of it tissue"  # type: ignore[index]
    grids = {**ways[ZOOM].grids, **ways[PLAIN].grids}
    counts = ", ".join(f"{len(grid):,} at {mpp:g} µm per pixel" for mpp, grid in grids.items())
    return (
        f"{size}. Patches with at least a quarter of tissue: {counts}.\nThe paper's mean slide: 26,009 x 18,234 px at 10x "
        "(104,036 x 72,936 px at 0.25 µm per pixel), 55 % of which is\nits tissue; 62 patches at 1.25x (8 µm per pixel), "
        "3968 at 10x (1 µm per pixel)."
    )


if __name__ == "__main__":
    main()
