"""The job: one model on one slide."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from copy import deepcopy
from typing import TYPE_CHECKING, Protocol, TypeVar

from napari_wsimil.bags import BatchSize, FeatureStore, SlideBag
from napari_wsimil.bags.prefetch import TICK
from napari_wsimil.errors import CancelledError, SlideError
from napari_wsimil.inference._result import Run, assemble
from napari_wsimil.inference.devices import BATCHES, choose_device
from napari_wsimil.inference.progress import Progress
from napari_wsimil.inference.running import Looked, run_model
from napari_wsimil.packages import load_model
from napari_wsimil.patches import find_tissue
from napari_wsimil.slides import Slide, open_slide

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from napari_wsimil.inference.prediction import SlidePrediction
    from napari_wsimil.mil import MILModel, MILOutput
    from napari_wsimil.packages import Model

SAME_MPP = 1.02
"""A slide this much coarser than the model's mpp is not worth a word."""

LARGEST_ENLARGEMENT = 2.0
"""Beyond this, the slide does not show what the model learned to see."""

RATE_WINDOW_SECONDS = 3.0

Result = TypeVar("Result")


class CancelFlag(Protocol):
    """What `threading.Event` is."""

    def is_set(self) -> bool:
        """Whether to stop."""


def predict(
    slide: Slide | str | Path,
    model: Model | str = "bundled",
    *,
    device: str = "auto",
    on_progress: Callable[[Progress], object] | None = None,
    cancel: CancelFlag | Callable[[], bool] | None = None,
    store: str | Path | None = None,
    mpp: float | None = None,
    batch_size: int | None = None,
) -> SlidePrediction:
    """Predict one slide.

    Parameters
    ----------
    slide
        An open slide, or a path, which is opened and closed again.
    model
        From `load_model`, or its name.
    device
        "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1".
    on_progress
        Called with a `Progress` several times a second.
    cancel
        A `threading.Event` to set, or a function that returns True, to stop the job.
    store
        Folder where features are kept, so that predicting again takes seconds.
    mpp
        µm per pixel of level 0 where the file does not say or is wrong; only with a path.
    batch_size
        Patches at once; None: what suits the device.

    Raises
    ------
    SlideError, ModelError
        The slide or the model can't be used; one sentence says why.
    CancelledError
        The job was stopped; nothing was left half-written.
    """
    steps = predict_steps(slide, model, device=device, store=store, mpp=mpp, batch_size=batch_size)
    stop = _stopper(cancel)
    try:
        while True:
            if stop():
                raise CancelledError("The prediction was cancelled.")
            progress = next(steps)
            if on_progress is not None:
                on_progress(progress)
    except StopIteration as end:
        result: SlidePrediction = end.value
        return result
    finally:
        steps.close()


def predict_steps(
    slide: Slide | str | Path,
    model: Model | str = "bundled",
    *,
    device: str = "auto",
    store: str | Path | None = None,
    mpp: float | None = None,
    batch_size: int | None = None,
) -> Generator[Progress, None, SlidePrediction]:
    """Like `predict`, as a generator that reports several times a second; closing it stops the job.

    It returns the prediction (``result = yield from predict_steps(...)``).
    """
    started = time.perf_counter()
    with ExitStack() as owned:
        chosen = choose_device(device)
        yield Progress("Opening the slide")
        opened = _open(slide, mpp, owned)
        loaded = load_model(model) if isinstance(model, str) else model
        notices = (*opened.notices, *_check_magnification(opened, loaded))
        tissue = yield from _meanwhile(lambda: find_tissue(opened, loaded.spec.tissue_method), Progress("Finding tissue"))
        batch = BatchSize(batch_size, batch_size, adaptive=False) if batch_size else BatchSize(largest=BATCHES[chosen.type])
        kept = FeatureStore(store) if store is not None else None
        bag = SlideBag(opened, loaded.encoder.to(chosen), loaded.spec.patch_specs(), tissue=tissue, store=kept, batch=batch)
        _check_tissue(opened, bag)
        seconds = {"tissue": time.perf_counter() - started}
        output, seconds["encoding"] = yield from _look(deepcopy(loaded.mil).to(chosen), bag)
        seconds["total"] = time.perf_counter() - started
        seconds["model"] = seconds["total"] - seconds["tissue"] - seconds["encoding"]
        return assemble(output, Run(opened, loaded, bag, chosen, seconds, notices))


def _stopper(cancel: CancelFlag | Callable[[], bool] | None) -> Callable[[], bool]:
    if cancel is None:
        return lambda: False
    return cancel if callable(cancel) else cancel.is_set


def _open(slide: Slide | str | Path, mpp: float | None, owned: ExitStack) -> Slide:
    """Open a path for the time of the job, and check that the mpp is known."""
    if isinstance(slide, Slide):
        if mpp is not None:
            raise SlideError(f"{slide.path.name} is open already; give mpp when opening it: open_slide(path, mpp={mpp:g}).")
        opened = slide
    else:
        opened = owned.enter_context(open_slide(slide, mpp=mpp))
    if opened.mpp is None:
        raise SlideError(
            f"{opened.path.name} does not say how many micrometres a pixel measures; give it as mpp, typically 0.25 for a "
            "40x scan and 0.5 for a 20x scan."
        )
    return opened


def _check_magnification(slide: Slide, model: Model) -> tuple[str, ...]:
    """Refuse a slide too coarse for the model; return a notice where patches must be enlarged."""
    finest, measured = model.spec.mpps[-1], max(slide.mpp or (0.0,))
    enlargement = measured / finest
    if enlargement > LARGEST_ENLARGEMENT:
        raise SlideError(
            f"{slide.path.name} was scanned at {measured:.3g} µm per pixel, too coarse for model {model.id}, which looks at "
            f"{finest:g}; use a model for that magnification, or correct the mpp if it is wrong."
        )
    if enlargement > SAME_MPP:
        return (
            f"{slide.path.name} was scanned at {measured:.3g} µm per pixel and model {model.id} looks at {finest:g}: its "
            f"patches were enlarged {enlargement:.2f} times, which may lower the quality of the prediction.",
        )
    return ()


def _meanwhile(work: Callable[[], Result], progress: Progress) -> Generator[Progress, None, Result]:
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


def _check_tissue(slide: Slide, bag: SlideBag) -> None:
    """Refuse a slide without a patch to look at."""
    if any(len(bag.grid(mpp)) == 0 for mpp in bag.mpps):
        raise SlideError(
            f"No tissue was found on {slide.path.name}: it looks like glass only; check the slide, or whether its mpp is right."
        )


def _look(network: MILModel, bag: SlideBag) -> Generator[Progress, None, tuple[MILOutput, float]]:
    """Let the model ask for what it wants, reporting speed and time left; returns its output and the seconds of encoding."""
    meter, state = Meter(), Looked()
    steps = run_model(network, bag)
    try:
        while True:
            state = next(steps)
            if state.encoding:
                yield meter.progress("Reading and encoding patches", state.done, state.wanted)
            else:
                yield Progress("Running the model", state.done, state.wanted, seconds_left=0.0)
    except StopIteration as end:
        return end.value, state.seconds
    finally:
        steps.close()


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

    def progress(self, stage: str, done: int, total: int) -> Progress:
        """Report that `done` patches of `total` are done."""
        now = self._clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= RATE_WINDOW_SECONDS:
            self._seen.popleft()
        then, first = self._seen[0]
        rate = (done - first) / (now - then) if now > then else 0.0
        return Progress(stage, done, total, rate, (total - done) / rate if rate > 0 else None)
