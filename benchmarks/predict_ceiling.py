"""How near our pipeline comes to the encoder alone: from a slide's path to a feature file, and patches that are in memory."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import predict_networks as networks
from predict_ours import EVERYWHERE, alone, box_around, extraction, patches_at, reading
from predict_slides import sample_slide, slide_40x
from predict_turns import Measured, Way, ratio, take_turns

import napari_wsimil as ws
from napari_wsimil.encoders import load_encoder
from napari_wsimil.inference.options import PatchOptions

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.encoders import Encoder

WANTED = {("ResNet-50", "cpu"): 0.95, ("bundled", "cpu"): 0.80, ("ResNet-50", "cuda"): 0.90}
LIMIT, READING = "encoder alone", "reading alone"
PIPELINE, ALL = "pipeline, tissue found first", "pipeline, every patch"


@dataclass(frozen=True)
class Case:
    """One encoder on one slide and device.

    Parameters
    ----------
    options
        Which patches the pipeline takes.
    in_memory
        How many of them the encoder alone encodes; fewer where it is slow.
    everywhere
        Whether the slide's every patch is extracted as well, without looking for tissue.
    rounds
        Times that each way takes its turn.
    """

    network: str
    encoder: Encoder
    slide_name: str
    slide: Path
    device: str
    options: PatchOptions
    in_memory: int
    everywhere: bool
    rounds: int


@dataclass(frozen=True)
class Ceiling:
    """What came of a case: name of a way -> what it took."""

    case: Case
    ways: dict[str, Measured]

    def of_both(self, name: str) -> float:
        """Rate of a way over what is possible: reading, then encoding, where both share the cores; else the slower of them."""
        rounds = zip(*(self.ways[way].rates for way in (name, LIMIT, READING)), strict=True)
        both = max if self.case.device == "cuda" else sum
        return statistics.median(rate * both((1 / encoding, 1 / reading)) for rate, encoding, reading in rounds)

    @property
    def share(self) -> float:
        """Rate of the pipeline, with tissue detection, over that of the encoder alone: median over the rounds."""
        return ratio(self.ways[PIPELINE], self.ways[LIMIT])


def cases(chosen: argparse.Namespace, folder: Path) -> list[Case]:
    """What is measured on the devices that are asked for."""
    quick = chosen.quick
    sample, large = sample_slide(quick=quick), slide_40x(2048 if quick else 16384)
    encoders = {"bundled": load_encoder(), "ResNet-50": networks.resnet("ResNet-50", folder).encoder}
    found = []
    for device in chosen.devices:
        gpu = device == "cuda"
        big = slide_40x(65536) if gpu and not quick else large
        for name, encoder in encoders.items():
            slow = name == "ResNet-50" and not gpu
            around = box_around(_tissue_corners(sample), 4 if quick else 512) if slow else PatchOptions()
            many = 8 if quick else 128 if slow else 1024
            rounds = chosen.rounds if slow or quick else chosen.rounds + 2
            found.append(Case(name, encoder, "sample, 20x", sample, device, around, many, False, rounds))
            found.append(Case(name, encoder, "40x", big, device, PatchOptions(), many, not slow, rounds))
    return found


def _tissue_corners(slide: Path) -> NDArray[np.int64]:
    with ws.open_slide(slide) as opened:
        return ws.patch_grid(opened, networks.MPP, networks.SIZE, ws.find_tissue(opened)).xy


def measure(case: Case) -> Ceiling:
    """Take turns; the first extraction tells which patches there are, and does not count."""
    encoder = case.encoder.to(case.device).tuned("auto")
    run = extraction(case.slide, case.encoder, device=case.device, options=case.options)
    corners = run().corners
    pixels = patches_at(case.slide, corners, case.in_memory)
    read = Way(READING, {"": reading(case.slide, corners)}, len(corners), whole=False, ours=True)
    ways = [alone(LIMIT, encoder, pixels), read]
    ways.append(Way(PIPELINE, {"": run}, len(corners), ours=True, precision=encoder.precision))
    if case.everywhere:
        whole = extraction(case.slide, case.encoder, device=case.device, options=EVERYWHERE)
        ways.append(Way(ALL, {"": whole}, len(whole().corners), ours=True, precision=encoder.precision))
    print(f"{case.network}, {case.slide_name}, {case.device}: {len(corners)} patches")
    return Ceiling(case, take_turns(ways, case.rounds))
