"""What a worker does with one slide: read, compute, write the results and, last of all, the record that says so."""

from __future__ import annotations

import os
import platform
import time
import warnings
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from napari_wsimil import __version__
from napari_wsimil.cohorts.faults import UnfitWorkerError, is_full, is_transient, sentence
from napari_wsimil.cohorts.folder import CohortFolder
from napari_wsimil.cohorts.records import Record, count_attempts, note_attempt, now, slide_stamp, write_record
from napari_wsimil.cohorts.slides import CohortSlide
from napari_wsimil.errors import CancelledError, SlideError, SlideWarning, printable
from napari_wsimil.inference.options import PatchOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_wsimil.cohorts.request import AskedPrecision, Job
    from napari_wsimil.inference import Progress
    from napari_wsimil.slides import Slide

    Watch = Callable[[Progress], object]
    Stop = Callable[[], bool]

PREDICTION_SUFFIX = ".prediction.h5"


class Outcome(BaseModel):
    """How an attempt at a slide ended.

    Attributes
    ----------
    kind
        "done" (`record` is on disk), "failed" for good, "transient": worth another attempt, "lost": the worker died, "unfit":
        this worker can do no slide, "full": no disk space, "cancelled".
    error
        One sentence.
    seconds, host
        Of the attempt.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["done", "failed", "transient", "lost", "unfit", "full", "cancelled"]
    record: Record | None = None
    error: str = ""
    seconds: float = 0.0
    host: str = ""


def do_slide(job: Job, watch: Watch | None = None, stop: Stop | None = None) -> Outcome:
    """Do one slide; whatever goes wrong is told, never raised.

    Parameters
    ----------
    watch
        Called with the progress several times a second.
    stop
        Asked as often whether to stop.
    """
    started, host = time.perf_counter(), platform.node()
    try:
        with warnings.catch_warnings():
            # they are in the record, and told where the user sees them
            warnings.simplefilter("ignore", SlideWarning)
            return Outcome(kind="done", record=_done(job, watch, stop), host=host)
    except UnfitWorkerError as error:
        return Outcome(kind="unfit", error=str(error), host=host)
    except CancelledError as error:
        return Outcome(kind="cancelled", error=str(error), host=host)
    except Exception as error:  # noqa: BLE001 - a slide that can't be done must not stop the others
        kind: Literal["full", "transient", "failed"] = (
            "full" if is_full(error) else "transient" if is_transient(error) else "failed"
        )
        if kind != "failed":
            _free_memory()
        return Outcome(kind=kind, error=sentence(error, job.path.name), seconds=time.perf_counter() - started, host=host)


def _done(job: Job, watch: Watch | None, stop: Stop | None) -> Record:
    """Do the slide and write its record, unless a worker that was thought dead has done so."""
    folder = CohortFolder(job.folder)
    _check_folder(folder, job)
    slide = CohortSlide(job.name, job.path, job.mpp)
    there = folder.finished(slide, job.request)
    if there is not None:
        return there
    if job.stamp is not None and slide_stamp(job.path) is None:
        # missing where it was seen by the one who asked: that may be a network file system that comes back
        raise SlideError(
            f"{job.path} can't be seen from {platform.node()}; make the folder of the slides visible there under the same path."
        ) from TimeoutError()
    attempts, began = folder.attempts_path(job.name), now()
    note_attempt(attempts, "started", host=platform.node(), process=os.getpid())
    clock = time.perf_counter()
    facts = _predicted(job, folder, watch, stop) if job.request.task == "predict" else _extracted(job, watch, stop)
    record = Record(
        name=job.name,
        slide=printable(str(job.path)),
        mpp=job.mpp,
        stamp=slide_stamp(job.path),
        request=job.request.digest,
        status="done",
        attempts=count_attempts(attempts),
        seconds=round(time.perf_counter() - clock, 3),
        host=platform.node(),
        precision=job.precision,
        started=began,
        ended=now(),
        version=__version__,
        **facts,
    )
    write_record(folder.record_path(job.name), record)
    note_attempt(attempts, "done", encoded=record.encoded, patches=record.patch_count)
    folder.drop_scratch(job.name)
    return record


def _check_folder(folder: CohortFolder, job: Job) -> None:
    about = folder.about()
    if about is None or about["id"] != job.cohort:
        raise UnfitWorkerError(
            f"{platform.node()} does not see the folder {job.folder}; it must be visible there under the same path."
        )


def _predicted(job: Job, folder: CohortFolder, watch: Watch | None, stop: Stop | None) -> dict[str, Any]:
    from napari_wsimil.bags import FeatureStore
    from napari_wsimil.exports import FORMATS, export
    from napari_wsimil.inference import predict
    from napari_wsimil.inference.uncertainty import slide_disagreement
    from napari_wsimil.packages import load_model
    from napari_wsimil.slides import open_slide

    model = load_model(str(job.means.model), trust_code=job.means.trust_code)
    _check_same(job.request.model.digest if job.request.model else "", model.digest, f"the model {model.id}")
    options = PatchOptions.from_json(job.request.options)
    store = FeatureStore(job.means.store or folder.scratch(job.name))
    with open_slide(job.path, mpp=job.mpp) as slide:
        prediction = predict(slide, model, on_progress=watch, cancel=stop, store=store.folder, **_ways(job))
        specs = options.applied(model.spec.patch_specs())
        _check_read(slide, [store.path(slide, model.encoder, spec) for spec in specs])
    files = [prediction.save(folder.path / f"{job.name}{PREDICTION_SUFFIX}")]
    for name in job.request.formats:
        files.append(export(prediction, folder.path / f"{job.name}{FORMATS[name].suffix}", format=name))
    told = prediction.provenance
    return {
        "fingerprint": told["slide"]["fingerprint"],
        "mpp_level0": told["slide"]["mpp"],
        "patches": {f"{mpp:g}": len(scores) for mpp, scores in prediction.attention.items()},
        "encoded": sum(told["patches"]["encoded"].values()),
        "predicted_class": prediction.predicted_class,
        "probabilities": dict(prediction.probabilities),
        "calibration": told.get("calibration"),
        "disagreement": slide_disagreement(prediction),
        "files": _relative(files, folder.path),
        "notices": tuple(told["notices"]),
        "device": str(told["device"]),
    }


def _extracted(job: Job, watch: Watch | None, stop: Stop | None) -> dict[str, Any]:
    from napari_wsimil.encoders import load_encoder
    from napari_wsimil.inference import choose_device, extract
    from napari_wsimil.slides import open_slide

    encoder = load_encoder(str(job.means.encoder), trust_code=job.means.trust_code)
    _check_same(job.request.encoder.digest, encoder.digest, f"the encoder {encoder.id}")
    request = job.request
    with open_slide(job.path, mpp=job.mpp) as slide:
        extraction = extract(
            slide,
            str(job.means.store),
            encoder=encoder,
            mpp=request.mpps,
            patch_size=request.patch_size,
            stride=request.stride,
            on_progress=watch,
            cancel=stop,
            resampling=request.resampling,
            **_ways(job),
        )
        _check_read(slide, list(extraction.files.values()))
        identity = {"fingerprint": slide.fingerprint, "mpp_level0": slide.mpp}
    return {
        **identity,
        "patches": {f"{mpp:g}": count for mpp, count in extraction.patches.items()},
        "encoded": extraction.encoded,
        "files": _relative(list(extraction.files.values()), job.folder),
        "notices": extraction.notices,
        "device": str(choose_device(job.means.device)),
    }


def _check_read(slide: Slide, features: list[Path]) -> None:
    """Refuse results of pixels that the system could not read, and remove their `features`: background stood in for tissue."""
    if not slide.read_faults:
        return
    for path in features:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.part").unlink(missing_ok=True)
    fault = slide.read_faults[0]
    raise SlideError(
        f"{slide.path.name} could not be read everywhere ({fault.strerror or fault}); see whether its disk is in order."
    ) from fault


def _ways(job: Job) -> dict[str, Any]:
    """What both verbs take alike."""
    return {
        "device": job.means.device,
        "batch_size": job.means.batch_size,
        "precision": job.precision,
        "compiled": job.means.compiled,
        "options": PatchOptions.from_json(job.request.options),
    }


def _check_same(wanted: str, found: str, what: str) -> None:
    if wanted != found:
        raise UnfitWorkerError(
            f"{platform.node()} has another version of {what} ({found}, not {wanted}); make it the same everywhere."
        )


def _relative(files: list[Path], folder: Path) -> tuple[str, ...]:
    return tuple(str(file.relative_to(folder) if file.is_relative_to(folder) else file) for file in files)


def _free_memory() -> None:
    """Give back what a failed attempt left on the GPU, so that the next slide has it."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def settled_precision(job: Job) -> AskedPrecision:
    """Measure, where the work will be done, in which precision the encoder is faster; see `Encoder.tuned`."""
    from napari_wsimil.encoders import load_encoder
    from napari_wsimil.inference import choose_device
    from napari_wsimil.packages import load_model

    means = job.means
    if means.model is not None:
        encoder = load_model(means.model, trust_code=means.trust_code).encoder
    else:
        encoder = load_encoder(str(means.encoder), trust_code=means.trust_code)
    return encoder.to(choose_device(means.device)).tuned(job.request.precision).precision
