"""What runs on Dask's workers."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import psutil
from distributed import WorkerPlugin, get_worker

from napari_wsimil.cohorts.work import Outcome, do_slide, settled_precision

if TYPE_CHECKING:
    from napari_wsimil.cohorts.request import AskedPrecision, Job
    from napari_wsimil.inference import Progress

REPORT_SECONDS = 0.5
"""How often a worker reports progress."""


class LocalWorker(WorkerPlugin):
    """Makes a worker on this computer a good neighbour.

    Parameters
    ----------
    cores
        The worker, and all threads that it starts, keep to these; pools of threads ask for them to size themselves. Empty: all.
    """

    name = "napari-wsimil-local"

    def __init__(self, cores: tuple[int, ...]) -> None:
        self.cores = cores

    def setup(self, worker: Any) -> None:
        """Called by Dask in the worker's first thread, before it has others that work."""
        # Ctrl-C in a terminal goes to all its processes, but it is for the one that then stops the others
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process = psutil.Process()
        # macOS has no such thing
        if self.cores and hasattr(process, "cpu_affinity"):
            process.cpu_affinity(list(self.cores))


def slide_on_worker(job: Job, topic: str) -> Outcome:
    """`do_slide`, on a Dask worker: with all its threads, telling how far it is, stopping when nobody wants it any more."""
    worker = get_worker()
    key = worker.get_current_task()
    _use_threads(worker)
    told = 0.0

    def watch(progress: Progress) -> None:
        nonlocal told
        if time.monotonic() - told < REPORT_SECONDS:
            return
        told = time.monotonic()
        about = {"stage": progress.stage, "done": progress.done, "total": progress.total, "rate": progress.rate}
        worker.log_event(topic, {"name": job.name, "worker": worker.address, **about})

    return do_slide(job, watch, lambda: _cancelled(worker, key))


def precision_on_worker(job: Job) -> AskedPrecision:
    """`settled_precision`, on a Dask worker with all its threads."""
    _use_threads(get_worker())
    return settled_precision(job)


def _use_threads(worker: Any) -> None:
    """Let torch use as many threads as the worker was given; Dask sets one for all libraries unless told otherwise."""
    import torch

    if torch.get_num_threads() != worker.state.nthreads:
        torch.set_num_threads(worker.state.nthreads)


def _cancelled(worker: Any, key: Any) -> bool:
    """Whether the task is no longer wanted: it was cancelled, or who asked for it is gone."""
    task = worker.state.tasks.get(key)
    return task is None or task.state == "cancelled"
