"""Dask workers on this computer, which share its cores and have one GPU each."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import WsimilError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

EXTRA = "pip install 'napari-wsimil[cluster]'"
CONNECT_SECONDS = 20
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Share:
    """What one worker has of this computer: numbers of its cores, and its GPU as `CUDA_VISIBLE_DEVICES` names it.

    `gpu` is empty where it may use none, None where that is not to be changed.
    """

    cores: tuple[int, ...]
    gpu: str | None = None


def shares(workers: int | None, device: str) -> tuple[list[Share], str]:
    """Divide this computer among workers; None: one for each GPU, or one where there is none.

    Returns
    -------
    One share for each worker, and a sentence for the user or "".
    """
    gpus = _gpus(device)
    count = max(1, len(gpus)) if workers is None else workers
    cores = _cores()
    dealt = [
        tuple(cores[at] for at in range(number, len(cores), count)) or (cores[number % len(cores)],) for number in range(count)
    ]
    said = ""
    if gpus and count > len(gpus):
        said = (
            f"{count} workers share {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}; one worker for each GPU is usually fastest."
        )
    return [Share(own, gpus[number % len(gpus)] if gpus else "") for number, own in enumerate(dealt)], said


def local_device(device: str) -> str:
    """The device as a worker sees it, whose GPU is the only one."""
    return "cuda" if device.startswith("cuda") else device


def _gpus(device: str) -> list[str]:
    """Names of the GPUs that may be used."""
    import torch

    kind, _, index = device.partition(":")
    if kind not in ("auto", "cuda"):
        return []
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = visible or [str(number) for number in range(torch.cuda.device_count())]
    names = names[: torch.cuda.device_count()]
    return [names[int(index)]] if index else names


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextmanager
def local_client(own: list[Share]) -> Iterator[Client]:
    """Start workers, each in a process of its own that is started again when it dies; nothing listens beyond this computer.

    Raises
    ------
    WsimilError
        Dask is not installed, or its workers do not start.
    """
    with _dask():
        import dask
        from distributed import Client, Nanny, Scheduler, SpecCluster
    scheduler = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }
    memory = _memory() // len(own)
    workers = {
        number: {"cls": Nanny, "options": _options(share, memory, alone=len(own) == 1)} for number, share in enumerate(own)
    }
    # what Dask sets for its workers by setting it here is set for each of them instead
    settings = {"distributed.nanny.pre-spawn-environ": {}, "distributed.admin.system-monitor.gil.enabled": False}
    with dask.config.set(settings), _quiet():
        try:
            cluster = SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL, asynchronous=False)
        except (RuntimeError, OSError, TimeoutError) as error:
            raise WsimilError(
                f"Dask's workers do not start on this computer ({str(error)[:200]}); --workers 0 (in Python workers=0) does "
                "without them."
            ) from error
        with cluster, Client(cluster, set_as_default=False) as client:
            yield client


def _options(share: Share, memory: int, *, alone: bool) -> dict[str, Any]:
    from napari_wsimil.cohorts.dask_worker import LocalWorker

    threads = {name: str(len(share.cores)) for name in _THREADS}
    gpu = {} if share.gpu is None else {"CUDA_VISIBLE_DEVICES": share.gpu}
    return {
        "nthreads": len(share.cores),
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "memory_limit": memory,
        "silence_logs": logging.CRITICAL,
        "env": {**threads, **gpu},
        # one that takes more than its share is ended, before the system ends something else; there is nothing to spill
        "config": {
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
        },
        "plugins": (LocalWorker(() if alone else share.cores),),
    }


def _memory() -> int:
    from distributed.system import MEMORY_LIMIT

    return int(MEMORY_LIMIT)


@contextmanager
def remote_client(address: str) -> Iterator[Client]:
    """Connect to a running scheduler: its address, or the file that `dask scheduler --scheduler-file` wrote.

    Raises
    ------
    WsimilError
        Dask is not installed, or nothing answers there.
    """
    with _dask():
        from distributed import Client
    file = address if address.endswith(".json") else None
    with _quiet():
        try:
            client = Client(None if file else address, scheduler_file=file, set_as_default=False, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise WsimilError(
                f"No Dask scheduler answers at {address} ({str(error).splitlines()[0][:200] if str(error) else 'no answer'}); "
                "start it first, or correct the address (such as tcp://10.0.0.1:8786)."
            ) from error
        with client:
            yield client


@contextmanager
def _dask() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise WsimilError(
            f"Cohorts on several processes need {error.name}, which is not installed: {EXTRA}, or do without it in one process "
            "(--workers 0, in Python workers=0)."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own log to itself: what matters to the user is told in the cohort's words."""
    known = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    before = {log: log.level for log in map(logging.getLogger, ["distributed", *known])}
    for log in before:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in before.items():
            log.setLevel(level)
