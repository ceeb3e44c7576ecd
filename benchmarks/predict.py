"""How fast slides are turned into features: our pipeline beside the encoder alone, and beside peers.

    make bench-predict
    python benchmarks/predict.py [--rounds 3] [--devices cpu cuda] [--parts ceiling peers once] [--quick] [--out FILE]

ceiling  from a slide's path to a feature file, tissue detection included, against the encoder alone on patches in memory
peers    TIAToolbox, LazySlide and WSInfer where they are installed, on one slide with one network in one process
once     peak memory, and the time to the first heatmap, in processes of their own
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import predict_peers
import torch

predict_peers.make_importable()  # before anything imports torchvision

import predict_ceiling  # noqa: E402
import predict_contest  # noqa: E402
import predict_networks as networks  # noqa: E402
import predict_page as page  # noqa: E402
import predict_words as words  # noqa: E402
from predict_slides import sample_slide, slide_40x  # noqa: E402
from side_by_side import options  # noqa: E402

if TYPE_CHECKING:
    import argparse

    from predict_ceiling import Ceiling
    from predict_turns import Measured

PARTS = ("ceiling", "peers", "once")
NOISY = 0.85
"""Slowest over fastest round below which a run is said to have been disturbed."""


def main() -> None:
    """Measure what is asked for, and write the page."""
    parser = options(__doc__, rounds=3, slide=False)
    there = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--devices", nargs="+", choices=("cpu", "cuda"), default=there, help="what computes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is measured")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds = min(chosen.rounds, 2)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        text = measure(chosen, Path(name))
    text += f"\n\nThe run took {(time.perf_counter() - begun) / 60:.0f} minutes on a machine with all packages installed.\n"
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text)


def measure(chosen: argparse.Namespace, folder: Path) -> str:
    """Everything that is asked for, as a page."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    found: list[Ceiling] = []
    contests: dict[str, dict[str, Measured]] = {}
    if "ceiling" in chosen.parts:
        found = [predict_ceiling.measure(case) for case in predict_ceiling.cases(chosen, folder)]
    if "peers" in chosen.parts:
        device = "cuda" if "cuda" in chosen.devices else "cpu"
        for network, side in ((networks.resnet("ResNet-18", folder), 8192), (networks.free(folder), 16384)):
            side = 2048 if chosen.quick else side
            contests[network.name] = predict_contest.measure(network, side, chosen.rounds, device)
    alone = once(chosen, folder) if "once" in chosen.parts else {}
    return report(chosen, found, contests, alone)


def once(chosen: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """What is measured in a process of its own."""
    slide = slide_40x(2048 if chosen.quick else 16384)
    resnet = networks.resnet("ResNet-18", folder) and folder / "ResNet-18"
    asked = {
        "bundled": ["memory", slide, "bundled"],
        "ResNet-18": ["memory", slide_40x(2048 if chosen.quick else 8192), resnet],
        "first": ["first", sample_slide(quick=chosen.quick)],
    }
    return {name: _child(arguments) for name, arguments in asked.items()}


def _child(arguments: list[Any]) -> dict[str, float]:
    command = [sys.executable, Path(__file__).with_name("predict_once.py"), *arguments]
    # peers' libraries beside ours are no part of what is measured there
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    parts = [str(part) for part in command]
    done = subprocess.run(parts, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def report(
    chosen: argparse.Namespace,
    found: list[Ceiling],
    contests: dict[str, dict[str, Measured]],
    alone: dict[str, dict[str, float]],
) -> str:
    """The page."""
    parts = [f"# Slides to features: measured beside the encoder alone and beside others\n\n{_about(chosen)}"]
    if found or contests:
        spread = page.quietness(found, contests)
        noise = f"Of each way, the slowest round had {spread:.0%} of the speed of its fastest (median over the ways)"
        noise += "." if spread > NOISY else ": **something else was running, so take the figures as rough**."
        parts.append(f"{noise}\n\n{page.verdicts(found, contests)}")
    if found:
        parts.append(f"## Beside the encoder alone\n\n{words.CEILING}\n\n{page.ceilings(found)}")
    for network, ways in contests.items():
        parts.append(f"## Beside others: {network}\n\n{page.contest(ways)}")
    if contests:
        parts.append(f"### What was compared\n\n{words.PEERS}\n\n{_versions()}")
    if alone:
        parts.append(f"## Memory, and the first heatmap\n\n{_alone(alone)}")
    return "\n\n".join(parts)


def _about(chosen: argparse.Namespace) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    quick = " **A quick run on tiny slides: these figures mean nothing.**" if chosen.quick else ""
    machine = f"{page.processor()}, {cores} cores, {torch.get_num_threads()} torch threads, {device}"
    software = f"Python {platform.python_version()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"
    return f"{words.HEAD.format(rounds=chosen.rounds)}\n\n{machine}; {software}.{quick}"


def _alone(alone: dict[str, dict[str, float]]) -> str:
    lines = [words.MEMORY.format(name=name, **told) for name, told in alone.items() if name != "first"]
    lines += [words.FIRST.format(**alone["first"])] if "first" in alone else []
    return "\n".join(lines)


def _versions() -> str:
    there = predict_peers.installed()
    missing = [name for name in predict_peers.NAMES if name not in there]
    told = ", ".join(f"{name} {version}" for name, version in there.items()) or "no peer"
    libraries = []
    for name in ("openslide-python", "openslide-bin", "torchvision", "transformers"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            libraries.append(f"{name} {importlib.metadata.version(name)}")
    lost = f" Not installed: {', '.join(missing)}." if missing else ""
    return f"Installed: {told}; {', '.join(libraries)}.{lost}"


if __name__ == "__main__":
    main()
