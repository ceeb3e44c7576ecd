"""Tables of the papers, and of section 7 of the specification, counted again."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from mil_bags import pyramid
from mil_counts import count, resnet50_to_layer3

from napari_wsimil.mil import build_mil

AINET_LENGTH = 116_870
"""Patches for which table 3 of AINet was counted: all its rows divide by their MACs per patch to this number."""


class Published(NamedTuple):
    """A row of section 7.2: what thop counted on the official code, 1024 features and two classes."""

    label: str
    name: str
    parameters: dict[str, Any]
    count: int
    macs: tuple[float, float, float]


SECTION_7_2 = (
    Published("mean", "mean", {}, 525_826, (63.0e6, 525.3e6, 5.253e9)),
    Published("max", "max", {}, 525_826, (63.0e6, 525.3e6, 5.253e9)),
    Published("ABMIL, width 128", "abmil", {"attention": 128}, 656_771, (78.7e6, 655.5e6, 6.555e9)),
    Published("CLAM-SB", "clam", {}, 790_791, (94.4e6, 786.7e6, 7.867e9)),
    Published("CLAM-MB", "clam", {"branches": "multi"}, 791_048, (94.4e6, 787.0e6, 7.869e9)),
    Published("DSMIL", "dsmil", {"negative_class": False}, 153_860, (18.2e6, 149.8e6, 1.495e9)),
    Published(
        "DSMIL, learned values", "dsmil", {"negative_class": False, "values": True}, 1_203_460, (144.1e6, 1.198e9, 11.98e9)
    ),
    Published("TransMIL", "transmil", {}, 2_672_146, (614.3e6, 3.302e9, 27.55e9)),
    Published("ILRA, rank 1", "ilra", {}, 3_687_682, (190.0e6, 1.578e9, 15.77e9)),
    Published("ACMIL", "acmil", {}, 662_417, (78.7e6, 656.0e6, 6.560e9)),
    Published("DTFD", "dtfd", {}, 789_254, (78.8e6, 655.6e6, 6.555e9)),
)


class Claim(NamedTuple):
    """A number that was promised: what is wanted, what was found, whether that is enough."""

    what: str
    wanted: str
    found: str
    met: bool


def section_7_2(lengths: tuple[int, ...] = (120, 1000, 10_000)) -> str:
    """Parameters and the papers' MACs beside those of the official code."""
    lines = [
        "| method | parameters | official | " + " | ".join(f"MACs, N = {n:,} | official" for n in lengths) + " |",
        "| --- " + "| ---: " * (2 + 2 * len(lengths)) + "|",
    ]
    for row in SECTION_7_2:
        counted = [count(row.name, 1024, n, row.parameters, training=True) for n in lengths]
        published = dict(zip((120, 1000, 10_000), row.macs, strict=True))
        cells = [
            f"{_short(c.leaf_macs)} | {_short(published[n])} ({100 * (c.leaf_macs / published[n] - 1):+.1f} %)"
            for n, c in zip(lengths, counted, strict=True)
        ]
        lines.append(f"| {row.label} | {counted[0].parameters:,} | {row.count:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ainet_table_3(length: int = AINET_LENGTH) -> tuple[str, list[Claim]]:
    """AINet in front of TransMIL and ILRA, counted as the paper did, and whether it saves what the paper's table says."""
    published = {
        "transmil": ({"hidden": 256}, 84.22, 0.68, 22.30, 0.19),
        "ilra": ({}, 123.05, 1.85, 21.86, 0.19),
    }
    lines = [
        "| | parameters | paper | MACs | paper | MACs, all products |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    claims = []
    for name, (options, macs, millions, with_macs, with_millions) in published.items():
        bare = count(name, 512, length, options, training=True)
        ours = count("ainet", 512, length, {"aggregator": name}, training=True)
        for label, counted, given, size in ((name, bare, macs, millions), (f"AINet + {name}", ours, with_macs, with_millions)):
            lines.append(
                f"| {label} | {counted.leaf_parameters:,} | {size} M | {counted.leaf_macs / 1e9:.2f} G | {given} G "
                f"| {counted.macs / 1e9:.1f} G |"
            )
        for what, wanted, found in (
            ("MACs", macs / with_macs, bare.leaf_macs / ours.leaf_macs),
            ("parameters", millions / with_millions, bare.leaf_parameters / ours.leaf_parameters),
        ):
            claims.append(_at_least(f"AINet in front of {name}: times fewer {what}, the papers' counter", wanted, found))
    alone = count("ainet", 512, length, training=True)
    lines.append(f"| AINet alone | {alone.leaf_parameters:,} | | {alone.leaf_macs / 1e9:.2f} G | | {alone.macs / 1e9:.1f} G |")
    return "\n".join(lines), claims


def section_7_1() -> tuple[str, list[Claim]]:
    """Patches that ZoomMIL and LRMIL have encoded on slides of the papers' mean sizes, and what their encoder costs there."""
    zoom = (
        ("CRC, 5x 10x 20x", 217, (2.0, 1.0, 0.5), 16, 3468, 1.40, 13.63),
        ("CRC, 5x 10x (EFF)", 217, (2.0, 1.0), 12, 3468, 1.06, 13.63),
        ("BRIGHT, 1.25x 2.5x 10x", 62, (8.0, 4.0, 1.0), 12, 3968, 1.29, 16.45),
        ("BRIGHT, 1.25x 2.5x (EFF)", 62, (8.0, 4.0), 8, 3968, 0.40, 16.45),
        ("CAMELYON16, 10x 20x", 2473, (1.0, 0.5), 300, 9892, 14.94, 39.12),
    )
    exact = resnet50_to_layer3() / 1e9
    lines = [
        f"| ZoomMIL | patches encoded | formula | all | TFLOP at 3.93 G | paper | at {exact:.2f} G | times less | paper |",
        "| --- " + "| ---: " * 8 + "|",
    ]
    claims = []
    for label, coarse, mpps, selected, every, paper, paper_all in zoom:
        asked = _asked(coarse, mpps, selected)
        factors = [round(a / b) ** 2 for a, b in pairwise(mpps)]
        formula = coarse + sum(r * selected for r in factors)
        lines.append(
            f"| {label} | {asked:,} | {formula:,} | {every:,} | {asked * 3.93e-3:.2f} | {paper} | {asked * exact / 1e3:.2f} "
            f"| {every / asked:.1f} | {paper_all / paper:.1f} |"
        )
        claims.append(Claim(f"ZoomMIL on {label}: patches encoded", f"{formula:,}", f"{asked:,}", asked == formula))
        claims.append(_at_least(f"ZoomMIL on {label}: times less encoding than all patches", paper_all / paper, every / asked))
    coarse = 217
    network = build_mil("lrmil", 8, 2).eval()
    bag = pyramid(coarse, 8, (2.0,))
    with torch.inference_mode():
        network(bag)
    lines.append(
        f"| LRMIL's student, 5x | {bag.asked:,} | {coarse:,} | {16 * coarse:,} | | | | {16 * coarse / bag.asked:.1f} | |"
    )
    claims.append(Claim("LRMIL: patches encoded, of a slide's 3,472 at 20x", f"{coarse}", f"{bag.asked}", bag.asked == coarse))
    return "\n".join(lines), claims


def _asked(coarse: int, mpps: tuple[float, ...], selected: int) -> int:
    """Patches whose features ZoomMIL asks for when it predicts."""
    torch.manual_seed(0)
    network = build_mil("zoommil", 8, 2, {"magnifications": len(mpps), "selected": selected}).eval()
    bag = pyramid(coarse, 8, mpps)
    with torch.inference_mode():
        network(bag)
    return bag.asked


def _at_least(what: str, wanted: float, found: float) -> Claim:
    return Claim(what, f"at least {wanted:.2f}", f"{found:.2f}", found >= wanted)


def _short(number: float) -> str:
    """Three figures and a letter."""
    power = max(0, min(4, int(math.log10(number)) // 3)) if number >= 1 else 0
    return f"{number / 10 ** (3 * power):.4g} {' kMGT'[power]}".strip()
