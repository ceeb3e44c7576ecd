"""Time and peak memory of one MIL method on one bag, beside the reference form, each case in a process of its own."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from mil_bags import make_bag, usual_parameters
from mil_references import REFERENCES, prepared, tables
from side_by_side import Cost
from torch.nn import functional

from napari_wsimil.mil import build_mil

if TYPE_CHECKING:
    from collections.abc import Callable

Mode = Literal["predict", "step"]
WAYS = ("ours", "reference")
LARGEST = 16 << 30
"""Bytes of address space that a case may take on a CPU: what needs more is not measured, and nobody else's work suffers."""


@dataclass(frozen=True)
class Case:
    """One method on one bag: `predict` is a forward pass without gradients, `step` forward and backward from cross-entropy."""

    name: str
    length: int
    features: int
    mode: Mode
    parameters: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"


class Memory(NamedTuple):
    """Bytes `more` than before the work (network, bag and libraries were there), of the `whole` process; how long it took."""

    more: int
    whole: int
    seconds: float


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a process in which nothing else happened; None where it ran out of memory."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" and "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        # what takes seconds to import; the server does not know this folder
        context.set_forkserver_preload(["napari_wsimil.mil", "torch.utils.flop_counter", "torch._subclasses"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except (BrokenProcessPool, MemoryError):
            return None
        except RuntimeError as error:
            if "allocate" in str(error) or "out of memory" in str(error):
                return None
            raise


def peak_memory(case: Case, way: str) -> Memory:
    """Run a case once."""
    _limit_memory(case)
    work = _works(case)[way]
    _works(replace(case, length=17))[way]()
    gc.collect()
    if case.device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        seconds = _timed(work, case.device).wall
        highest = torch.cuda.max_memory_allocated()
    else:
        before = _start_watching()
        seconds = _timed(work, case.device).wall
        highest = _highest()
    return Memory(max(0, highest - before), highest, seconds)


def times(case: Case, rounds: int, seconds: float) -> dict[str, list[Cost]]:
    """Both ways take turns, `rounds` times or until `seconds` are over; a small bag goes first, untimed."""
    _limit_memory(case)
    small, works = _works(replace(case, length=17)), _works(case)
    for way in WAYS:
        small[way]()
        if case.length <= 3000:
            works[way]()
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    started = time.perf_counter()
    for number in range(rounds):
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            costs[way].append(_timed(works[way], case.device))
        if time.perf_counter() - started > seconds:
            break
    return costs


def difference(case: Case) -> float:
    """Largest difference of our logits from the reference's in evaluation, of the size of the largest."""
    network, bag = _network(case), make_bag(case.name, case.length, case.features, case.device)
    network.eval()
    with torch.inference_mode():
        ours = network(bag).logits
        theirs = REFERENCES[case.name](network, tables(bag), prepared(case.name, network, bag))
    return float((ours - theirs).abs().max() / theirs.abs().max())


def _works(case: Case) -> dict[str, Callable[[], object]]:
    """What each way does, ready to run."""
    network = _network(case).train(case.mode == "step")
    bag = make_bag(case.name, case.length, case.features, case.device)
    known = prepared(case.name, network, bag)
    # a single magnification needs no copy, and both ways read the same numbers
    features = tables(bag)
    target = torch.zeros(1, dtype=torch.int64, device=case.device)
    forward = {"ours": lambda: network(bag).logits, "reference": lambda: REFERENCES[case.name](network, features, known)}

    def work(way: str) -> None:
        if case.mode == "predict":
            with torch.inference_mode():
                forward[way]()
            return
        network.zero_grad(set_to_none=True)
        functional.cross_entropy(forward[way]()[None].float(), target).backward()

    return {way: lambda way=way: work(way) for way in WAYS}  # type: ignore[misc]


def _network(case: Case) -> Any:
    torch.manual_seed(0)
    return build_mil(case.name, case.features, 2, {**usual_parameters(case.name), **case.parameters}).to(case.device)


def _timed(work: Callable[[], object], device: str) -> Cost:
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def _limit_memory(case: Case) -> None:
    """Refuse more than `LARGEST`; a GPU's driver reserves far more address space than it uses."""
    if sys.platform == "linux" and case.device == "cpu":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (LARGEST, LARGEST))


def _start_watching() -> int:
    """Forget the highest memory so far where the system can, and give what is in use now."""
    if sys.platform != "linux":
        return _highest()
    # a process inherits the mark of the one that it came from; some containers do not let it forget
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _highest() -> int:
    if sys.platform == "linux":
        return _status("VmHWM")
    import resource

    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise LookupError(key)
