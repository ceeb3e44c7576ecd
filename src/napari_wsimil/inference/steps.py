"""What jobs on slides share: opening and checking a slide, work in threads, progress, stopping."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from napari_wsimil.bags.prefetch import TICK
from napari_wsimil.errors import CancelledError, SlideError
from napari_wsimil.inference.progress import Progress
from napari_wsimil.slides import Slide, open_slide

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from napari_wsimil.encoders.precision import Precision
    from napari_wsimil.inference.progress import Provisional

SAME_MPP = 1.02
"""A slide this much coarser than the model's mpp is not worth a word."""

LARGEST_ENLARGEMENT = 2.0
"""Beyond this, the slide does not show what the model learned to see."""

RATE_WINDOW_SECONDS = 3.0

_NONE: Mapping[str, float] = MappingProxyType({})

Result = TypeVar("Result")


class CancelFlag(Protocol):
    """What `threading.Event` is."""

    def is_set(self) -> bool:
        """Whether to stop."""


def run_to_end(
    steps: Generator[Progress, None, Result],
    on_progress: Callable[[Progress], object] | None,
    cancel: CancelFlag | Callable[[], bool] | None,
    what: str,
) -> Result:
    """Run a job's steps, telling of each and asking before each whether to stop.

    Raises
    ------
    CancelledError
        It was stopped; the steps are closed, so nothing is left half-written. The sentence says `what` was.
    """
    stop = _stopper(cancel)
    try:
        while True:
            if stop():
                raise CancelledError(f"{what} was cancelled.")
            progress = next(steps)
            if on_progress is not None:
                on_progress(progress)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


def _stopper(cancel: CancelFlag | Callable[[], bool] | None) -> Callable[[], bool]:
    if cancel is None:
        return lambda: False
    return cancel if callable(cancel) else cancel.is_set


def opened_slide(slide: Slide | str | Path, mpp: float | None, owned: ExitStack, told: str = "mpp") -> Slide:
    """Open a path for the time of the job, and check that the mpp is known; `told` is where a user may tell it."""
    if isinstance(slide, Slide):
        if mpp is not None:
            raise SlideError(f"{slide.path.name} is open already; give mpp when opening it: open_slide(path, mpp={mpp:g}).")
        opened = slide
    else:
        opened = owned.enter_context(open_slide(slide, mpp=mpp))
    if opened.mpp is None:
        raise SlideError(
            f"{opened.path.name} does not say how many micrometres a pixel measures; give it as {told}, typically 0.25 for a "
            "40x scan and 0.5 for a 20x scan."
        )
    return opened


def check_magnification(slide: Slide, mpp: float, what: str, instead: str) -> tuple[str, ...]:
    """Refuse a slide too coarse for `what`, which looks at `mpp`; return a notice where patches must be enlarged.

    Parameters
    ----------
    instead
        What the user may do, beside correcting the mpp.
    """
    measured = max(slide.mpp or (0.0,))
    enlargement = measured / mpp
    if enlargement > LARGEST_ENLARGEMENT:
        raise SlideError(
            f"{slide.path.name} was scanned at {measured:.3g} µm per pixel, too coarse for {what}, which looks at "
            f"{mpp:g}; {instead}, or correct the mpp if it is wrong."
        )
    if enlargement > SAME_MPP:
        return (
            f"{slide.path.name} was scanned at {measured:.3g} µm per pixel and {what} looks at {mpp:g}: its "
            f"patches were enlarged {enlargement:.2f} times, which may lower the quality of the prediction.",
        )
    return ()


def meanwhile(work: Callable[[], Result], progress: Progress) -> Generator[Progress, None, Result]:
    """Report while `work` runs in a thread; when closed, leave the thread to end by itself."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="wsimil-job")
    try:
        future = pool.submit(work)
        yield progress
        while wait([future], TICK).not_done:
            yield progress
        return future.result()
    finally:
        pool.shutdown(wait=False)


@dataclass(frozen=True)
class Computing:
    """How features are computed; none of it changes what they mean.

    Attributes
    ----------
    device
        "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1".
    precision
        "auto" (half precision where the device is faster with it and the features agree, which is measured), "fp32", "bf16" or
        "fp16".
    compiled
        Let torch.compile make one program of the encoder: a minute at first, some speed later.
    batch_size
        Patches at once; None: what suits the device, found while computing.
    """

    device: str = "auto"
    precision: Precision | Literal["auto"] = "auto"
    compiled: bool = False
    batch_size: int | None = None

    @property
    def kept_precision(self) -> str | None:
        """The precision that stored features must have; None for any."""
        return None if self.precision == "auto" else self.precision


class Meter:
    """Speed over the last seconds, so that it follows a job that gets faster or slower.

    Parameters
    ----------
    clock
        Seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def progress(
        self,
        stage: str,
        done: int,
        total: int,
        rates: Mapping[str, float] = _NONE,
        provisional: Provisional | None = None,
    ) -> Progress:
        """Report that `done` patches of `total` are done, and what else there is to report."""
        now = self._clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= RATE_WINDOW_SECONDS:
            self._seen.popleft()
        then, first = self._seen[0]
        rate = (done - first) / (now - then) if now > then else 0.0
        return Progress(stage, done, total, rate, (total - done) / rate if rate > 0 else None, rates, provisional)
