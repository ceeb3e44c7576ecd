"""What the finished runs of the mosaic benchmark say about the aims of the issue."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SINGLE = "abmil", "clam", "transmil", "dsmil"
CHOICES = "zoommil", "zoom-random", "zoom-top", "zoom-single"
PAIRS = ("ABMIL", "abmil", "ainet-abmil"), ("TransMIL", "transmil", "ainet-transmil"), ("ILRA", "ilra", "ainet-ilra")
UNTAUGHT = "lrmil-coarse", "abmil-coarse"
ABLATION = "ainet-none", "ainet-dam", "ainet-arc", "ainet-mha", "ainet"
Told = dict[str, list[dict[str, Any]]]


def values(told: Sequence[Mapping[str, Any]], figure: str, part: str = "test") -> list[float]:
    return [run[part]["figures"][figure]["value"] for run in told]


def mean(told: Sequence[Mapping[str, Any]], figure: str, part: str = "test") -> float:
    return statistics.mean(values(told, figure, part))


def patches(told: Sequence[Mapping[str, Any]]) -> str:
    return f"{statistics.mean(run['test']['patches'] for run in told):.0f}"


def aims(found: Told) -> list[str]:
    """Each aim of the issue with what the finished runs say; figures are means over seeds on the test slides."""
    said = []
    singles = {name: found[name] for name in SINGLE if name in found}
    if "zoommil" in found and singles:
        best = max(singles, key=lambda name: mean(singles[name], "balanced_accuracy"))
        ours, theirs = (mean(told, "balanced_accuracy") for told in (found["zoommil"], singles[best]))
        share = float(patches(found["zoommil"])) / float(patches(singles[best]))
        met = ours >= theirs - 0.01 and share <= 0.1
        said.append(
            "ZoomMIL within 1 point of the best method of one magnification, or above it, with at most a tenth of its patches: "
            f"{_verdict(met)}. Balanced accuracy {100 * ours:.1f} against {100 * theirs:.1f} ({best}), {100 * share:.1f} % of "
            "the patches."
        )
    lifts = [
        (title, mean(found[behind], figure) - mean(found[alone], figure), figure)
        for title, alone, behind in PAIRS
        if alone in found and behind in found
        for figure in ("balanced_accuracy", "roc_auc")
    ]
    if lifts:
        up = sum(lift > 0 for _, lift, figure in lifts if figure == "balanced_accuracy")
        listed = ", ".join(f"{title} {100 * lift:+.1f} ({_short(figure)})" for title, lift, figure in lifts)
        said.append(f"AINet in front lifts at least two of three in balanced accuracy: {_verdict(up >= 2)}. {listed}.")
    untaught = [found[name] for name in UNTAUGHT if name in found]
    if "lrmil" in found and untaught:
        gaps = []
        for figure in ("balanced_accuracy", "roc_auc"):
            coarse = max(mean(told, figure) for told in untaught)
            fine, student = mean([run["teacher"] for run in found["lrmil"]], figure), mean(found["lrmil"], figure)
            gaps.append((fine - coarse, student - coarse, figure))
        gap, gained, _ = gaps[0]
        listed = ", ".join(f"{_short(figure)}: gap {100 * g:.1f}, regained {100 * r:.1f}" for g, r, figure in gaps)
        said.append(
            "LRMIL's student regains at least half of what coarse patches lose (teacher against the better network without "
            f"one): {_verdict(gap > 0 and gained >= gap / 2)}. {listed} points."
        )
    return said


def _verdict(met: bool) -> str:
    return "**reached**" if met else "**not reached**"


def _short(figure: str) -> str:
    return {"balanced_accuracy": "balanced accuracy", "roc_auc": "AUC"}[figure]
