"""Take ways of doing the same work in turns, and print what each costs beside the limit of the same run.

Only the standard library is imported here, so that start-up can be measured too.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import platform
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    Run = Callable[[], object]


class Cost(NamedTuple):
    """Seconds for one piece of work: of all cores together, and by the clock on the wall."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Way:
    """One way of doing the work.

    Parameters
    ----------
    start
        From the pieces of work of one round to what does them. Entering the context opens files and makes pools; that is not
        timed. None where a library that it needs is not installed.
    fraction
        Part of the pieces that is enough to measure a slow way.
    """

    name: str
    start: Callable[[Any], AbstractContextManager[Run]] | None
    fraction: float = 1.0


def installed(*modules: str) -> bool:
    """Whether all these can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in modules)


def take_turns(ways: Sequence[Way], rounds: Sequence[Sequence[Any]]) -> dict[str, list[Cost] | None]:
    """Cost per piece of every way in every round; each round has its own pieces, and another way begins it.

    All ways do one piece first, untimed: what they import or build at first use is not what is measured.
    """
    costs: dict[str, list[Cost] | None] = {way.name: [] if way.start else None for way in ways}
    present = [way for way in ways if way.start]
    for way in present:
        _once(way, rounds[0][:1])
    for number, pieces in enumerate(rounds):
        for turn in range(len(present)):
            way = present[(turn + number) % len(present)]
            some = pieces[: max(1, round(len(pieces) * way.fraction))]
            costs[way.name].append(_once(way, some))  # type: ignore[union-attr]
    return costs


def _once(way: Way, pieces: Sequence[Any]) -> Cost:
    with way.start(pieces) as run:  # type: ignore[misc]
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        return Cost((time.process_time() - cpu) / len(pieces), (time.perf_counter() - wall) / len(pieces))


def table(costs: dict[str, list[Cost] | None], limit: str, unit: str) -> str:
    """Medians over the rounds, as Markdown. A ratio is the median of the ratios within each round: 1.00 is the limit."""
    of = costs[limit]
    lines = [
        f"| way | CPU ms per {unit} | wall ms per {unit} | of the limit, CPU | of the limit, wall |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, values in costs.items():
        if values is None:
            lines.append(f"| {name} | not installed | | | |")
            continue
        cpu, wall = (1e3 * statistics.median(value[i] for value in values) for i in (0, 1))
        lines.append(f"| {name} | {cpu:.3f} | {wall:.3f} | {ratio(of, values, 0):.2f} | {ratio(of, values, 1):.2f} |")
    return "\n".join(lines)


def ratio(ours: list[Cost] | None, theirs: list[Cost] | None, field: int) -> float:
    """Median over the rounds of `ours` divided by `theirs` in the same round; field 0 is CPU, 1 the wall clock."""
    pairs = zip(ours or (), theirs or (), strict=True)
    return statistics.median(a[field] / max(b[field], 1e-9) for a, b in pairs)


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keep every thread of this process, those started meanwhile too, on `count` cores."""
    allowed = os.sched_getaffinity(0)
    _pin(set(sorted(allowed)[:count]))
    try:
        yield
    finally:
        _pin(allowed)


def _pin(cores: set[int]) -> None:
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - names are wanted, not paths
        try:
            os.sched_setaffinity(int(task), cores)
        except ProcessLookupError:
            continue  # a thread that has just ended


def core_counts() -> list[int]:
    """1 and all, where threads can be kept on chosen cores; else all."""
    if not hasattr(os, "sched_setaffinity"):
        return [os.cpu_count() or 1]
    return sorted({1, min(8, len(os.sched_getaffinity(0)))})


def options(doc: str | None, rounds: int = 7, *, slide: bool = True) -> argparse.ArgumentParser:
    """The options that all benchmarks share; `slide` for those that read one."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="times that each way takes its turn")
    parser.add_argument("--quick", action="store_true", help="a small slide and two rounds: shows that it runs, not how fast")
    if slide:
        parser.add_argument("--slide", type=Path, help="measure on this SVS instead of the generated one")
    parser.add_argument("--out", type=Path, help="write the tables to this file too")
    return parser


def chosen_slide(chosen: argparse.Namespace) -> Path:
    """The slide to measure on; generated at its first use."""
    if chosen.quick:
        chosen.rounds = min(chosen.rounds, 2)
    if chosen.slide is not None:
        return Path(chosen.slide)
    from big_slide import big_slide, small_slide

    return small_slide() if chosen.quick else big_slide()


def publish(chosen: argparse.Namespace, text: str) -> None:
    """Print a report, with what it was measured on, and keep it where asked."""
    quick = " **A quick run on a small slide: these figures mean nothing.**" if chosen.quick else ""
    where = f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"
    about = f"{platform.machine()}, {where}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}."
    whole = f"{text}\n\nMedian of {chosen.rounds} interleaved rounds; {about}{quick}\n"
    print(whole)
    if chosen.out is not None:
        chosen.out.write_text(whole)
