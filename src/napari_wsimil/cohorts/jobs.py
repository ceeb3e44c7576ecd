"""The verbs for many slides: `predict_cohort` and `extract_cohort`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.cohorts.events import CohortEvent
from napari_wsimil.cohorts.folder import CohortFolder
from napari_wsimil.cohorts.request import AskedPrecision, Means, Named, Request, inside_digest, make_request
from napari_wsimil.cohorts.running import CohortRun, Wish
from napari_wsimil.cohorts.slides import find_slides, named_slides
from napari_wsimil.cohorts.where import Where
from napari_wsimil.errors import WsimilError, printable
from napari_wsimil.inference.options import PatchOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_wsimil.cohorts.result import CohortResult
    from napari_wsimil.cohorts.slides import CohortSlide
    from napari_wsimil.inference.steps import CancelFlag
    from napari_wsimil.packages import Model
    from napari_wsimil.slides import Resampling

    Slides = str | Path | Sequence[str | Path | CohortSlide]

USUAL = PatchOptions()


def predict_cohort(
    slides: Slides,
    model: Model | str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    store: str | Path | None = None,
    formats: Sequence[str] = (),
    options: PatchOptions = USUAL,
    mpp: float | None = None,
    device: str = "auto",
    precision: AskedPrecision = "auto",
    compiled: bool = False,
    batch_size: int | None = None,
    trust_code: bool = False,
    retries: int = 2,
    skip_failed: bool = False,
    only: Sequence[str] | None = None,
    on_event: Callable[[CohortEvent], object] | None = None,
    cancel: CancelFlag | Callable[[], bool] | None = None,
) -> CohortResult:
    """Predict many slides, each exactly once; called again, it goes on where it was stopped or killed.

    Parameters
    ----------
    slides
        Slides, folders, lists and manifests, see `find_slides`.
    model
        Its name or folder; or from `load_model`, which workers load again by the name it was loaded by.
    out
        Folder for <name>.prediction.h5 and exports of each slide, `results.csv`, `results.parquet` and `report.html`.
    workers
        Processes on this computer, which share its cores and have one GPU each; None: one for each GPU, or one; 0: none, the
        work is done in this process. A script that asks for processes must run its own work under
        ``if __name__ == "__main__":``.
    scheduler
        Address of a running Dask scheduler, or its scheduler file; its workers do one slide each at a time. They must see the
        slides, `out` and the model under the same paths.
    store
        Folder that keeps features, so that predicting again takes seconds; None: they are kept only until their slide is done.
    formats
        Exports of each prediction: "geojson", "csv".
    options
        Which patches, and how they are prepared.
    mpp
        µm per pixel of level 0 where neither file nor manifest says it.
    device
        "auto", "cpu" or "cuda"; "cuda:1" for one worker here.
    precision
        What encoders compute in: "auto" is measured once on a worker, and the same for all slides, now and when it goes on.
    compiled, batch_size
        See `predict`.
    trust_code
        Allow the encoder to run where it is a program.
    retries
        Further attempts at a slide when a disk in the network hiccups, memory ran out or its worker died.
    skip_failed
        Leave slides that failed in an earlier run; otherwise they are tried again.
    only
        Names of the slides to predict now, as `find_slides` gives them; table and report tell of the others as well.
    on_event
        Called with a `CohortEvent` for whatever happens.
    cancel
        A `threading.Event` to set, or a function that returns True, to stop.

    Returns
    -------
    How each slide ended. A slide that can't be done is recorded with one sentence and stops no other.

    Raises
    ------
    WsimilError
        No slide can be done: one sentence says why.
    CancelledError
        It was stopped; nothing was left half-written.
    """
    from napari_wsimil.exports import FORMATS
    from napari_wsimil.inference import choose_device
    from napari_wsimil.packages import load_model

    for name in formats:
        if name not in FORMATS:
            raise WsimilError(f"There is no export format {name!r}; choose from {', '.join(FORMATS)}.")
    if scheduler is None:
        choose_device(device)
    loaded = load_model(model, trust_code=trust_code) if isinstance(model, str | Path) else model
    request = make_request(
        task="predict",
        model=Named(id=loaded.id, digest=loaded.digest),
        encoder=Named(id=loaded.encoder.id, digest=loaded.encoder.digest),
        classes=loaded.classes,
        mpp=mpp,
        options=options.as_json(),
        inside_digest=inside_digest(options),
        formats=tuple(sorted(dict.fromkeys(formats))),
        precision=precision,
    )
    means = Means(
        model=_lasting(loaded.source),
        trust_code=trust_code,
        device=device,
        store=None if store is None else str(Path(store).expanduser().absolute()),
        batch_size=batch_size,
        compiled=compiled,
    )
    folder = CohortFolder(Path(out).expanduser().absolute())
    where = Where(workers, scheduler, device)
    return _run(
        slides,
        folder,
        request,
        means,
        where,
        retries=retries,
        skip_failed=skip_failed,
        only=only,
        on_event=on_event,
        cancel=cancel,
    )


def extract_cohort(
    slides: Slides,
    out: str | Path,
    *,
    encoder: str = "bundled",
    mpp: float | Sequence[float] | None = None,
    patch_size: int | None = None,
    stride: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    options: PatchOptions = USUAL,
    slide_mpp: float | None = None,
    device: str = "auto",
    precision: AskedPrecision = "auto",
    compiled: bool = False,
    resampling: Resampling = "area",
    batch_size: int | None = None,
    trust_code: bool = False,
    retries: int = 2,
    skip_failed: bool = False,
    on_event: Callable[[CohortEvent], object] | None = None,
    cancel: CancelFlag | Callable[[], bool] | None = None,
) -> CohortResult:
    """Compute and store the features of many slides, each exactly once; see `predict_cohort` for what is said there.

    Parameters
    ----------
    out
        Feature store, one HDF5 file for each slide and magnification. Several extractions may share it: what each of them
        tells of its slides lies in `out`/extractions.
    encoder
        Name that `load_encoder` takes.
    mpp, patch_size, stride, resampling
        See `extract`.
    slide_mpp
        µm per pixel of level 0 where neither file nor manifest says it.
    """
    from napari_wsimil.bags import FeatureStore
    from napari_wsimil.encoders import load_encoder
    from napari_wsimil.inference import choose_device
    from napari_wsimil.inference.extraction import patch_specs

    if scheduler is None:
        choose_device(device)
    loaded = load_encoder(encoder, trust_code=trust_code)
    specs = patch_specs(loaded, mpp, patch_size, stride)
    request = make_request(
        task="extract",
        encoder=Named(id=loaded.id, digest=loaded.digest),
        mpp=slide_mpp,
        mpps=tuple(spec.mpp for spec in specs),
        patch_size=specs[0].size,
        stride=specs[0].stride,
        resampling=resampling,
        options=options.as_json(),
        inside_digest=inside_digest(options),
        precision=precision,
    )
    store = FeatureStore(Path(out).expanduser().absolute()).folder
    means = Means(
        encoder=_lasting(encoder),
        trust_code=trust_code,
        device=device,
        store=str(store),
        batch_size=batch_size,
        compiled=compiled,
    )
    folder = CohortFolder(store / "extractions" / f"{loaded.id}-{request.digest[:8]}")
    where = Where(workers, scheduler, device)
    return _run(
        slides, folder, request, means, where, retries=retries, skip_failed=skip_failed, on_event=on_event, cancel=cancel
    )


def _run(
    slides: Slides,
    folder: CohortFolder,
    request: Request,
    means: Means,
    where: Where,
    *,
    retries: int,
    skip_failed: bool,
    only: Sequence[str] | None = None,
    on_event: Callable[[CohortEvent], object] | None,
    cancel: CancelFlag | Callable[[], bool] | None,
) -> CohortResult:
    if retries < 0:
        raise WsimilError(f"There can't be {retries} retries; give 0 or more.")
    found = find_slides(slides)
    started = time.perf_counter()
    stop = (lambda: False) if cancel is None else cancel if callable(cancel) else cancel.is_set
    tell = on_event or (lambda event: None)
    with folder.held():
        cohort = folder.begin(request)
        named = named_slides(found, folder.names())
        folder.keep_names(named)
        means = means.model_copy(update={"device": where.worker_device})
        run = CohortRun(folder, cohort, Wish(named, request, means, retries, skip_failed, chosen(named, only)), tell, stop)
        try:
            if run.find_done():
                with where.crew(run) as crew:
                    run.go(crew)
        finally:
            run.write_all(time.perf_counter() - started)
        result = run.result()
        tell(CohortEvent("end", len(result.done), len(result.failed), len(named)))
        return result


def chosen(slides: Sequence[CohortSlide], only: Sequence[str] | None) -> frozenset[str] | None:
    """Return the names of the slides that are to be done; None: all.

    Raises
    ------
    WsimilError
        There is no slide of such a name.
    """
    if only is None:
        return None
    names = {slide.name for slide in slides}
    for name in only:
        if name not in names:
            raise WsimilError(f"There is no slide named {printable(name)} among the {len(names):,}; correct the name.")
    return frozenset(only)


def _lasting(name: str) -> str:
    """The name of a model or an encoder as other processes can use it: paths are made absolute."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() and not name.startswith("hf:") else name
