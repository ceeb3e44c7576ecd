"""The job: one model on one slide."""

from __future__ import annotations

import time
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.bags import BatchSize, FeatureStore, SlideBag
from napari_wsimil.inference._result import Run, assemble
from napari_wsimil.inference.devices import BATCHES, choose_device
from napari_wsimil.inference.progress import Progress
from napari_wsimil.inference.running import Looked, run_model
from napari_wsimil.inference.steps import Meter, check_magnification, check_tissue, meanwhile, opened_slide, run_to_end
from napari_wsimil.packages import load_model
from napari_wsimil.patches import find_tissue

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_wsimil.inference.prediction import SlidePrediction
    from napari_wsimil.inference.steps import CancelFlag
    from napari_wsimil.mil import MILModel, MILOutput
    from napari_wsimil.packages import Model
    from napari_wsimil.slides import Slide

OTHER_MODEL = "use a model for that magnification"


def predict(
    slide: Slide | str | Path,
    model: Model | str | Path = "bundled",
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
        From `load_model`, or its name or folder.
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
    return run_to_end(steps, on_progress, cancel, "The prediction")


def predict_steps(
    slide: Slide | str | Path,
    model: Model | str | Path = "bundled",
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
        opened = opened_slide(slide, mpp, owned)
        loaded = load_model(model) if isinstance(model, str | Path) else model
        encoder = loaded.encoder.to(chosen)
        notices = (*opened.notices, *check_magnification(opened, loaded.spec.mpps[-1], f"model {loaded.id}", OTHER_MODEL))
        tissue = yield from meanwhile(lambda: find_tissue(opened, loaded.spec.tissue_method), Progress("Finding tissue"))
        batch = BatchSize(batch_size, batch_size, adaptive=False) if batch_size else BatchSize(largest=BATCHES[chosen.type])
        kept = FeatureStore(store) if store is not None else None
        bag = SlideBag(opened, encoder, loaded.spec.patch_specs(), tissue=tissue, store=kept, batch=batch)
        check_tissue(opened, bag)
        seconds = {"tissue": time.perf_counter() - started}
        output, seconds["encoding"] = yield from _look(deepcopy(loaded.mil).to(chosen), bag)
        seconds["total"] = time.perf_counter() - started
        seconds["model"] = seconds["total"] - seconds["tissue"] - seconds["encoding"]
        return assemble(output, Run(opened, loaded, bag, chosen, seconds, notices))


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
