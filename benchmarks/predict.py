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
        "memory, bundled": ["memory", slide, "bundled"],
        "memory, ResNet-18": ["memory", slide_40x(2048 if chosen.quick else 8192), resnet],
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
        parts.append(f"## Beside the encoder alone\n\n{TOLD['ceiling']}\n\n{page.ceilings(found)}")
    for network, ways in contests.items():
        parts.append(f"## Beside others: {network}\n\n{page.contest(ways)}")
    if contests:
        parts.append(f"### What was compared\n\n{TOLD['peers']}\n\n{_versions()}")
    if alone:
        parts.append(f"## Memory, and the first heatmap\n\n{_alone(alone)}")
    return "\n\n".join(parts)


def _about(chosen: argparse.Namespace) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    quick = " **A quick run on tiny slides: these figures mean nothing.**" if chosen.quick else ""
    return (
        "`make bench-predict` writes this page. All ways of one table take turns in one process; rates are medians over the rounds "
        f"({chosen.rounds}, more for what is quick), ratios are the medians of the ratios within a round.\n\n"
        f"{page.processor()}, {cores} cores, {torch.get_num_threads()} torch threads, {device}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, {time.strftime('%Y-%m-%d')}.{quick}"
    )


def _alone(alone: dict[str, dict[str, float]]) -> str:
    lines = []
    for name, told in alone.items():
        if name.startswith("memory"):
            lines.append(
                f"- {name.removeprefix('memory, ')}, {told['patches']:.0f} patches of a 40x slide: {told['peak'] / 1e6:.0f} MB at "
                f"most, {told['loaded'] / 1e6:.0f} MB of it before the slide was opened."
            )
    if "first" in alone:
        first = alone["first"]
        lines.append(
            f"- `predict` on the sample slide: the first provisional heatmap after {first['cold']:.2f} s (all after "
            f"{first['cold_end']:.1f} s) in a fresh process, loading the model included; {first['warm']:.2f} s "
            f"({first['warm_end']:.1f} s) in one that has predicted before."
        )
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


TOLD = {
    "ceiling": (
        "The pipeline goes from the slide's path to a finished feature file: opening, tissue detection, reading, encoding, writing. "
        "The encoder alone has patches of the same slide in memory and computes in the same precision, the one that was measured to "
        "be faster (`auto`), in the batch that was best for it. ResNet-50 is Hugging Face's with random weights and its usual "
        "preprocessing (the 224 px in the middle). On the sample slide it takes the patches of a box only, while tissue is found on "
        "the whole slide; the bundled encoder takes all patches with tissue, and in a way of its own every patch there is."
    ),
    "peers": """Everybody extracts every patch of 256 px at 0.5 µm per pixel from one slide at 0.25 (levels 1, 4 and 16, all tissue,
JPEG tiles of 256 px, in the system's memory), from opening the slide to features; nobody looks for tissue. The patches' corners are
the tiles' own, which suits every reader alike. The network has the same weights for all; peers get it as `transformers` hands it
out, one instance for all of them, we load it with `load_encoder`. Preprocessing is torchvision's for peers (to tensor, the middle
224 px for the ResNet, normalised) and ours for us. Batches have 64 patches for peers; torch has the same number of threads for all.
The *setting* of a peer is the faster of 0 and 2 worker processes in a round that does not count.

- **TIAToolbox** `DeepFeatureExtractor.run`, zarr out. **LazySlide** `tl.feature_extraction`, features in memory, not written; also
  with its own `amp=True` in bf16, for which the module returns float32, as otherwise it can't take the result. **WSInfer**
  `run_inference`, CSV out; it reads level 0 and resizes. Its class probabilities are the softmax of the features.
- We write the feature file. In half precision, where the processor is faster with it, we compute by default; no peer does by
  default. The rows *fp32* tell what is left without that: channels-last batches, and reading in threads without PIL.
- *Cosine*: between a way's features and ours in fp32 with exact pixels, of the patch that differs most; *centred*: the median
  after the mean over all patches was taken off. Peers resample differently; 0.999 was asked for.
- Peers' imports were done before. WSInfer 0.6.1 does not import beside zarr 3, and torchvision of PyPI not beside torch for the CPU:
  the benchmark helps both (`predict_peers.make_importable`). WSInfer's `speedup` (compilation in each run) was not used.
- Where peers are better: TIAToolbox and LazySlide hand features on to a great deal that we don't have (segmentation, zero-shot
  models, spatial statistics); WSInfer takes any list of corners.
- **TRIDENT** and **CLAM** are not here: neither is on PyPI (the `trident` there is something else), and this run had no access to
  GitHub. Slides whose pixels are not JPEG, and a cold disk, were not measured.""",
}


if __name__ == "__main__":
    main()
