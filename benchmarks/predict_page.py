"""The page that the prediction benchmark writes."""

from __future__ import annotations

import platform
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import predict_ceiling as ceiling
from predict_turns import agreement, ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from predict_ceiling import Ceiling
    from predict_turns import Measured

EXACT, SCALED, PLAIN = "ours, exact pixels", 'ours, resampling="dct"', "ours, exact pixels, fp32"
PEERS_WANTED = {"ResNet-18": 1.4, "global mean": 5.0}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a column whose head ends in ">" is aligned to the right."""
    titles = [title.removesuffix(">") for title in head]
    rules = ["---:" if title.endswith(">") else "---" for title in head]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rules, *rows))


def ceilings(found: Sequence[Ceiling]) -> str:
    """Section: the pipeline beside the encoder alone."""
    rows = []
    for one in found:
        limit = one.ways[ceiling.LIMIT]
        for name, measured in one.ways.items():
            where = f"{one.case.network}, {limit.way.precision}, {one.case.device}"
            cells = [where, one.case.slide_name, f"{name}, {measured.setting}" if measured.setting else name]
            cells += [str(measured.way.patches), f"{measured.rate:.1f}", f"{measured.cpu_ms:.2f}"]
            shares = [f"**{ratio(measured, limit):.2f}**", f"{one.of_both(name):.2f}"] if measured.way.whole else ["", ""]
            rows.append([*cells, *shares])
    head = ["encoder", "slide", "way", "patches>", "patches/s>", "CPU ms per patch>", "of the encoder alone>"]
    return table([*head, "of reading, then encoding>"], rows)


def contest(ways: Mapping[str, Measured]) -> str:
    """Section: one network, all contestants."""
    best, rows = ways[EXACT], []
    for name, one in ways.items():
        limits = [other.rate for other in ways.values() if not other.way.whole and other.way.precision == one.way.precision]
        share = f"{one.rate / max(limits):.2f}" if limits else ""
        cells = [name, one.way.precision, one.setting, f"{one.rate:.1f}", share, f"{one.cpu_ms:.1f}"]
        cells += [f"{ratio(best, one):.2f}" if one.way.whole else "", *_agreement(ways, one)]
        rows.append(cells)
    head = ["way", "computes in", "setting", "patches/s>", "of the encoder alone>", "CPU ms per patch>"]
    return table([*head, "ours is ... times as fast>", "patches>", "lowest cosine>", "centred>"], rows)


def _agreement(ways: Mapping[str, Measured], one: Measured) -> list[str]:
    reference = ways[PLAIN].features
    if not one.way.whole or one.features is None or reference is None:
        return ["", "", ""]
    same = agreement(one.features, reference, softmax=one.way.softmax)
    return [str(same.patches), f"{same.lowest:.4f}", f"{same.centred:.3f}"]


def against_peers(ways: Mapping[str, Measured], ours: str) -> float | None:
    """How many times as fast `ours` is as the peer that comes nearest; None without peers."""
    ratios = [ratio(ways[ours], one) for one in ways.values() if one.way.whole and not one.way.ours]
    return min(ratios) if ratios else None


def verdicts(found: Sequence[Ceiling], contests: Mapping[str, Mapping[str, Measured]]) -> str:
    """Table: what was wanted, and what came out."""
    rows = []
    for one in found:
        wanted = ceiling.WANTED.get((one.case.network, one.case.device))
        if wanted is not None:
            precision = one.ways[ceiling.LIMIT].way.precision
            what = f"{one.case.network} in {precision} on {one.case.device}, slide {one.case.slide_name}: of the encoder alone"
            rows.append([what, f"{wanted:.2f}", _said(one.share, wanted)])
    for network, ways in contests.items():
        for ours in (EXACT, SCALED, PLAIN):
            times = against_peers(ways, ours) if ours in ways else None
            if times is not None:
                wanted = PEERS_WANTED[network]
                rows.append([f"{network}, {ours}: times the fastest peer", f"{wanted:.1f}", _said(times, wanted)])
    return table(["", "wanted>", "found>"], rows)


def _said(found: float, wanted: float) -> str:
    return f"{found:.2f}" + ("" if found >= wanted else ": **missed**")


def spread(measured: Measured) -> float:
    """Slowest over fastest round: 1 on a quiet machine."""
    return min(measured.rates) / max(measured.rates)


def quietness(found: Sequence[Ceiling], contests: Mapping[str, Mapping[str, Measured]]) -> float:
    """Median of all ways' `spread`."""
    measured = [one for case in found for one in case.ways.values()]
    measured += [one for ways in contests.values() for one in ways.values()]
    return statistics.median(spread(one) for one in measured)


def processor() -> str:
    """The processor's name, where the system tells."""
    told = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in told.read_text().splitlines() if line.startswith("model name")]
        if told.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()
