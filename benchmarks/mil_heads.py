"""What the MIL methods cost: parameters, multiply-accumulates, time and memory, beside the plain form of the same equations.

    python benchmarks/mil_heads.py [--sizes 120 1000 10000 100000] [--rounds 5] [--methods NAME ...] [--quick] [--out FILE]

Ours and the reference (`mil_references.py`: dense one-hot matrices and Kronecker products, attention written out, nothing in
chunks) have the same weights and take turns in one process. *predict* is a forward pass without gradients, and gives all that a
method shows; *step* is forward and backward in training mode from the cross-entropy of the slide. Peak memory is what a fresh
process takes more than before, the bag and the network being there already. ZoomMIL looks at two magnifications: N patches
at the coarser and 4 N at the finer one. A case is repeated for `--seconds` at most, once at least.
"""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING

from mil_bags import usual_parameters
from mil_counts import count
from mil_measure import WAYS, Case, Memory, difference, in_fresh_process, peak_memory, times
from mil_tables import Claim, ainet_table_3, section_7_1, section_7_2
from side_by_side import options, publish, ratio

from napari_wsimil.mil import METHODS

if TYPE_CHECKING:
    import argparse

    from mil_counts import Count
    from side_by_side import Cost

MILLION_METHODS = ("abmil", "clam", "dsmil", "ainet", "acmil")
GIGABYTE = 1e9
HEAD = """# MIL methods: what they cost

`make bench-mil` writes this page; the head of `benchmarks/mil_heads.py` says what is measured."""


def main() -> None:
    chosen = _arguments()
    page: list[str] = [HEAD]
    claims: list[Claim] = []

    def add(title: str, text: str) -> None:
        print(f"{title}: done", file=sys.stderr, flush=True)
        page.append(f"## {title}\n\n{text}")

    counts = {
        (name, n): count(name, chosen.features, n, usual_parameters(name)) for name in chosen.methods for n in chosen.sizes
    }
    add("Parameters and multiply-accumulates", _counts(chosen, counts))
    add("Time and memory", _costs(chosen, counts))
    table, found = _zoommil(chosen)
    claims += found
    add("A training step of ZoomMIL on slides as in CAMELYON16", table)
    table, found = _long_bags(chosen)
    claims += found
    add("Very long bags on a CPU", table)
    add(
        "Section 7.2 of the specification, counted as the papers do",
        section_7_2((120,) if chosen.quick else (120, 1000, 10_000)),
    )
    table, found = ainet_table_3()
    claims += found
    add("AINet in front of another method (its table 3)", table)
    table, found = section_7_1()
    claims += found
    add("Patches encoded (section 7.1)", table)
    page.insert(1, "## What was wanted\n\n" + _verdict(claims))
    publish(chosen, "\n\n".join(page))


def _arguments() -> argparse.Namespace:
    parser = options(__doc__, rounds=5, slide=False)
    parser.add_argument("--sizes", type=int, nargs="+", default=[120, 1000, 10_000, 100_000], help="patches in a bag")
    parser.add_argument("--features", type=int, default=512, help="length of a feature vector")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seconds", type=float, default=30, help="after which a case is not repeated any more")
    parser.add_argument("--tera", type=float, default=2, help="leave out what takes more than so many 10^12 MACs")
    parser.add_argument("--device", default="cpu", help='"cuda" measures the memory of the GPU')
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.sizes, chosen.rounds, chosen.features, chosen.seconds = [120], 1, 64, 1
    return chosen


def _counts(chosen: argparse.Namespace, counts: dict[tuple[str, int], Count]) -> str:
    head = " | ".join(f"N = {n:,}" for n in chosen.sizes)
    lines = [
        f"All products of one prediction, {chosen.features} features, two classes, defaults.\n",
        f"| method | parameters | {head} |",
        "| --- " + "| ---: " * (1 + len(chosen.sizes)) + "|",
    ]
    for name in chosen.methods:
        counted = [counts[name, n] for n in chosen.sizes]
        cells = " | ".join(f"{c.macs / 1e9:.3g} G" for c in counted)
        lines.append(f"| {name} | {counted[0].parameters:,} | {cells} |")
    return "\n".join(lines)


def _costs(chosen: argparse.Namespace, counts: dict[tuple[str, int], Count]) -> str:
    lines = [
        "Wall-clock milliseconds and megabytes of ours; in brackets the reference's, as a multiple of ours. Last: the largest",
        f"difference of the logits, relative. Left out: more than {chosen.tera:g} x 10^12 MACs.\n",
        "| method | N | predict ms | step ms | predict MB | step MB | difference |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in chosen.methods:
        for length in chosen.sizes:
            work = counts[name, length].macs / 1e12
            cases = [
                Case(name, length, chosen.features, mode, device=chosen.device) if factor * work <= chosen.tera else None
                for mode, factor in (("predict", 1), ("step", 3))
            ]
            spent = [case and in_fresh_process(times, case, chosen.rounds, chosen.seconds) for case in cases]
            taken = [case and {way: in_fresh_process(peak_memory, case, way) for way in WAYS} for case in cases]
            apart = in_fresh_process(difference, cases[0]) if cases[0] and length <= 10_000 else None
            cells = [_milliseconds(part) if case else "left out" for case, part in zip(cases, spent, strict=True)]
            cells += [_megabytes(part) if part else "left out" for part in taken]
            lines.append(f"| {name} | {length:,} | {' | '.join(cells)} | {'' if apart is None else f'{apart:.0e}'} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def _milliseconds(costs: dict[str, list[Cost]] | None) -> str:
    if costs is None:
        return "too large"
    wall = 1e3 * statistics.median(cost.wall for cost in costs["ours"])
    return f"{wall:,.3g} ({ratio(costs['reference'], costs['ours'], 1):.2f})"


def _megabytes(taken: dict[str, Memory | None]) -> str:
    ours, theirs = taken["ours"], taken["reference"]
    if ours is None:
        return "too large"
    if theirs is None:
        return f"{ours.more / 1e6:,.0f} (too large)"
    # below some megabytes the allocator's pages decide
    return f"{ours.more / 1e6:,.0f}" + (
        f" ({theirs.more / ours.more:.1f})" if ours.more > 5e6 else f" ({theirs.more / 1e6:,.0f} MB)"
    )


def _zoommil(chosen: argparse.Namespace) -> tuple[str, list[Claim]]:
    length, selected, features = (200, 30, 64) if chosen.quick else (2473, 300, 1024)
    case = Case("zoommil", length, features, "step", {"selected": selected}, chosen.device)
    costs = in_fresh_process(times, case, chosen.rounds, 4 * chosen.seconds)
    memory = {way: in_fresh_process(peak_memory, case, way) for way in WAYS}
    lines = [
        f"N = {length:,} and four times as many finer patches, K = {selected}, S = 100, D = {features}.\n",
        "| way | CPU ms | wall ms | peak MB |",
        "| --- | ---: | ---: | ---: |",
    ]
    for way, label in (("ours", "ours: sparse"), ("reference", "one-hot and Kronecker product")):
        cpu, wall = (1e3 * statistics.median(cost[i] for cost in costs[way]) for i in (0, 1))
        lines.append(f"| {label} | {cpu:,.0f} | {wall:,.0f} | {memory[way].more / 1e6:,.0f} |")
    faster = [ratio(costs["reference"], costs["ours"], i) for i in (0, 1)]
    less = memory["reference"].more / memory["ours"].more
    lines.append(f"| times more | {faster[0]:.1f} | {faster[1]:.1f} | {less:.1f} |")
    claims = [
        Claim("ZoomMIL, training step: times less peak memory", "at least 5", f"{less:.1f}", less >= 5),
        Claim("ZoomMIL, training step: times faster, wall", "at least 3", f"{faster[1]:.1f}", faster[1] >= 3),
        Claim("ZoomMIL, training step: times faster, CPU", "at least 3", f"{faster[0]:.1f}", faster[0] >= 3),
    ]
    return "\n".join(lines), claims


def _long_bags(chosen: argparse.Namespace) -> tuple[str, list[Claim]]:
    length, features = (20_000, 64) if chosen.quick else (1_000_000, 512)
    lines = [
        f"One prediction for {length:,} patches of {features} numbers, which alone take {4e-9 * length * features:.2f} GB.\n",
        "| method | seconds | more than before, GB | whole process at most, GB |",
        "| --- | ---: | ---: | ---: |",
    ]
    claims = []
    for name in MILLION_METHODS:
        print(f"  {name} {length}", file=sys.stderr, flush=True)
        case = Case(name, length, features, "predict")
        memory = in_fresh_process(peak_memory, case, "ours")
        more, whole = memory.more / GIGABYTE, memory.whole / GIGABYTE
        lines.append(f"| {name} | {memory.seconds:.1f} | {more:.2f} | {whole:.2f} |")
        claims.append(Claim(f"{name}: GB for {length:,} patches", "at most 6", f"{whole:.2f}", whole <= 6))
    return "\n".join(lines), claims


def _verdict(claims: list[Claim]) -> str:
    rows = [f"| {c.what} | {c.wanted} | {c.found} | {'yes' if c.met else '**no**'} |" for c in claims]
    return "\n".join(["| what | wanted | found | met |", "| --- | ---: | ---: | --- |", *rows])


if __name__ == "__main__":
    main()
