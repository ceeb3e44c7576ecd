"""The job: one model on one slide."""

from __future__ import annotations

import time
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.bags import FeatureStore
from napari_wsimil.inference.devices import choose_device
from napari_wsimil.inference.making_bags import find_tissue_and_tune, make_bag
from napari_wsimil.inference.options import PatchOptions
from napari_wsimil.inference.progress import Progress
from napari_wsimil.inference.provisional import Preview
from napari_wsimil.inference.result import Run, assemble
from napari_wsimil.inference.running import Looked, run_model
from napari_wsimil.inference.steps import (
    Computing,
    Meter,
    check_magnification,
    opened_slide,
    run_to_end,
)
from napari_wsimil.packages import load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Literal

    from napari_wsimil.bags import Focus, SlideBag
    from napari_wsimil.encoders.precision import Precision
    from napari_wsimil.inference.prediction import SlidePrediction
    from napari_wsimil.inference.steps import CancelFlag
    from napari_wsimil.mil import MILModel, MILOutput
    from napari_wsimil.packages import Model
    from napari_wsimil.slides import Slide

OTHER_MODEL = "use a model for that magnification"
AS_TRAINED = PatchOptions()


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
    precision: Precision | Literal["auto"] = "auto",
    compiled: bool = False,
    options: PatchOptions = AS_TRAINED,
    focus: Focus | None = None,
    provisional: float | None = None,
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
        Folder where features are kept as they come, so that predicting again takes seconds, and a job that was stopped or
        killed goes on where it was.
    mpp
        µm per pixel of level 0 where the file does not say or is wrong; only with a path.
    batch_size
        Patches at once; None: what suits the device, found while encoding.
    precision
        What the encoder computes in: "auto" measures whether half precision is faster here and gives the same features; or
        "fp32", "bf16", "fp16".
    compiled
        Let torch.compile make one program of the encoder: a minute at first, some speed later.
    options
        Which patches, and what is done to them.
    focus
        Where somebody looks: patches there are encoded first.
    provisional
        Seconds between provisional heatmaps (`Progress.provisional`); None: none.

    Raises
    ------
    WsimilError
        The slide, the model or an option can't be used; one sentence says why.
    CancelledError
        The job was stopped; nothing was left half-written.
    """
    steps = predict_steps(
        slide,
        model,
        device=device,
        store=store,
        mpp=mpp,
        batch_size=batch_size,
        precision=precision,
        compiled=compiled,
        options=options,
        focus=focus,
        provisional=provisional,
    )
    return run_to_end(steps, on_progress, cancel, "The prediction")


def predict_steps(
    slide: Slide | str | Path,
    model: Model | str | Path = "bundled",
    *,
    device: str = "auto",
    store: str | Path | None = None,
    mpp: float | None = None,
    batch_size: int | None = None,
    precision: Precision | Literal["auto"] = "auto",
    compiled: bool = False,
    options: PatchOptions = AS_TRAINED,
    focus: Focus | None = None,
    provisional: float | None = None,
) -> Generator[Progress, None, SlidePrediction]:
    """Like `predict`, as a generator that reports several times a second; closing it stops the job.

    It returns the prediction (``result = yield from predict_steps(...)``).
    """
    started = time.perf_counter()
    computing = Computing(device, precision, compiled, batch_size)
    with ExitStack() as owned:
        chosen = choose_device(device)
        yield Progress("Opening the slide")
        opened = opened_slide(slide, mpp, owned)
        loaded = load_model(model) if isinstance(model, str | Path) else model
        specs = options.applied(loaded.spec.patch_specs())
        notices = (*opened.notices, *check_magnification(opened, specs[-1].mpp, f"model {loaded.id}", OTHER_MODEL))
        kept = None if store is None else FeatureStore(store, precision=computing.kept_precision)
        encoder = loaded.encoder.to(chosen)
        tissue = yield from find_tissue_and_tune(opened, encoder, specs, computing, kept)
        bag = owned.enter_context(make_bag(opened, encoder, specs, tissue, computing, options, store=kept, focus=focus))
        seconds = {"tissue": time.perf_counter() - started}
        network, apart = deepcopy(loaded.mil).to(chosen), options.mpps is not None
        preview = None if provisional is None else Preview(network, bag, provisional, apart=apart)
        outputs, seconds["encoding"] = yield from _look(network, bag, apart=apart, preview=preview)
        seconds["total"] = time.perf_counter() - started
        seconds["model"] = seconds["total"] - seconds["tissue"] - seconds["encoding"]
        return assemble(outputs, Run(opened, loaded, bag, chosen, seconds, notices, specs, options, tissue))


def _look(
    network: MILModel, bag: SlideBag, *, apart: bool, preview: Preview | None
) -> Generator[Progress, None, tuple[list[MILOutput], float]]:
    """Let the model ask for what it wants, reporting speed and time left; returns its outputs and the seconds of encoding."""
    meter, state = Meter(), Looked()
    steps = run_model(network, bag, apart=apart, preview=preview)
    try:
        while True:
            state = next(steps)
            if state.encoding:
                yield meter.progress(
                    "Reading and encoding patches", state.done, state.wanted, bag.rates.now(), state.provisional
                )
            else:
                yield Progress("Running the model", state.done, state.wanted, seconds_left=0.0)
    except StopIteration as end:
        return end.value, state.seconds
    finally:
        steps.close()
