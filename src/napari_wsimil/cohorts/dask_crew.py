"""Dask's workers, one slide each at a time, whatever their number of threads.

The slides are not left to Dask's queue: when a worker dies, Dask blames every task that waited for it, and after a few deaths
gives up the innocent with the guilty. Here a slide is given to a free worker by name, so that a death costs only the slide in
hand, and workers may come and go.
"""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_wsimil.cohorts.dask_worker import precision_on_worker, slide_on_worker
from napari_wsimil.cohorts.work import Outcome
from napari_wsimil.errors import WsimilError
from napari_wsimil.inference.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client, Future

    from napari_wsimil.cohorts.request import AskedPrecision, Job

LOOK_SECONDS = 0.5
"""How often it is asked which workers are there."""
MOST_DEATHS = 3
"""Of workers that only load the encoder."""


class DaskCrew:
    """Workers of a scheduler.

    Parameters
    ----------
    client
        Connected.
    report
        Called with the name of a slide, where it is done, and how far it is.
    stop
        Asked whether to stop while waiting for a worker.
    """

    def __init__(self, client: Client, report: Callable[[str, str, Progress], object], stop: Callable[[], bool]) -> None:
        self._client, self._report, self._stop = client, report, stop
        self._topic = f"napari-wsimil-{uuid4().hex}"
        self._running: dict[Future[Any], tuple[Job, str]] = {}
        self._ready: SimpleQueue[Future[Any]] = SimpleQueue()
        self._progress: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._workers: dict[str, int] = {}
        self._looked = 0.0
        self._unfit: dict[str, str] = {}
        client.subscribe_topic(self._topic, lambda event: self._progress.put(event[1]))

    def free(self) -> int:
        """See `Crew`."""
        self._look()
        return len(self._idle())

    def start(self, job: Job) -> str:
        """See `Crew`."""
        address = self._idle()[0]
        future = self._submit(slide_on_worker, job, address, self._topic)
        self._running[future] = (job, address)
        future.add_done_callback(self._ready.put)
        return address

    def ended(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """See `Crew`."""
        futures = self._wait(seconds)
        self._tell()
        ended = []
        for future in futures:
            if future in self._running:
                job, address = self._running.pop(future)
                outcome = _outcome(future, address)
                if outcome.kind == "unfit":
                    self._unfit[address] = outcome.error
                ended.append((job, outcome))
        return ended + self._lost()

    def settle_precision(self, job: Job) -> AskedPrecision:
        """See `Crew`."""
        deaths = 0
        while not self._stop():
            self._look()
            idle = self._idle()
            if not idle:
                time.sleep(LOOK_SECONDS)
                continue
            future = self._submit(precision_on_worker, job, idle[0])
            if self._awaited(future, idle[0]):
                found: AskedPrecision = future.result()
                return found
            if future.status == "error" and (outcome := _outcome(future, idle[0])).kind == "unfit":
                self._unfit[idle[0]] = outcome.error
            else:
                deaths += 1
            future.cancel()
            if deaths == MOST_DEATHS:
                raise WsimilError(
                    f"Workers died {deaths} times while they loaded the encoder, probably because it needs more memory than "
                    "they have; use fewer workers, or larger machines."
                )
        return job.request.precision

    def _awaited(self, future: Future[Any], address: str) -> bool:
        """Wait for a future; returns whether it has a result. It has none where its worker is gone or the run is stopped."""
        while not self._stop() and not future.done():
            time.sleep(0.05)
            self._look()
            if address not in self._workers:
                break
        return bool(future.status == "finished")

    def close(self) -> None:
        """See `Crew`."""
        for future in self._running:
            # the worker sees it and stops, see `slide_on_worker`
            future.cancel()
        self._running.clear()
        self._client.unsubscribe_topic(self._topic)

    def _submit(self, function: Callable[..., Any], job: Job, address: str, *rest: str) -> Future[Any]:
        return self._client.submit(
            function,
            job,
            *rest,
            key=f"{job.name}-{uuid4().hex}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )

    def _idle(self) -> list[str]:
        busy = {address for _, address in self._running.values()} | set(self._unfit)
        return [address for address in self._workers if address not in busy]

    def _wait(self, seconds: float) -> list[Future[Any]]:
        """Futures that are done, waiting for the first; what was forgotten here is passed over by the caller."""
        found: list[Future[Any]] = []
        try:
            found.append(self._ready.get(timeout=seconds))
            while True:
                found.append(self._ready.get_nowait())
        except Empty:
            return found

    def _tell(self) -> None:
        try:
            while True:
                told = self._progress.get_nowait()
                progress = Progress(told["stage"], told["done"], told["total"], told["rate"])
                self._report(told["name"], told["worker"], progress)
        except Empty:
            return

    def _look(self) -> None:
        """See which workers are there."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        try:
            self._workers = dict(self._client.nthreads())
        except (OSError, TimeoutError, RuntimeError) as error:
            raise WsimilError(
                f"Dask's scheduler was lost ({error}); what is done is kept: start it again and repeat the command to go on."
            ) from error
        self._looked = time.monotonic()
        self._refuse_unfit()

    def _refuse_unfit(self) -> None:
        """End the run where workers are there and none can do a slide."""
        if self._unfit and self._workers and not self._running and not self._idle():
            raise WsimilError(f"No worker can do the slides: {next(reversed(self._unfit.values()))}")

    def _lost(self) -> list[tuple[Job, Outcome]]:
        """Slides whose worker is gone."""
        self._look()
        ended = []
        for future, (job, address) in list(self._running.items()):
            if address not in self._workers and not future.done():
                del self._running[future]
                future.cancel()
                ended.append((job, Outcome(kind="lost", host=address)))
        return ended


def _outcome(future: Future[Any], address: str) -> Outcome:
    from distributed import KilledWorker

    if future.status == "finished":
        found: Outcome = future.result()
        return found
    error = future.exception() if future.status == "error" else None
    if error is None or isinstance(error, KilledWorker):
        return Outcome(kind="lost", host=address)
    return Outcome(
        kind="unfit",
        error=f"{address} can't run napari-wsimil ({type(error).__name__}: {str(error)[:200]}); install this version there.",
    )
