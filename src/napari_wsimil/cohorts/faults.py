"""What went wrong with a slide: for good, or only this time."""

from __future__ import annotations

import errno

from napari_wsimil.errors import WsimilError, printable

TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EBUSY", "EINTR", "ENOLCK", "EDEADLK", "EREMOTEIO", "ECOMM", "EPROTO"),
        *("ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EPIPE", "ENOTCONN", "ESHUTDOWN"),
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH"),
        *("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"),
    )
    if hasattr(errno, name)
)
"""Errors of disks in a network, or of a machine that is short of something, that are often gone a moment later."""
FULL = frozenset(getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name))
"""The disk is full: no other slide can be written either."""


class UnfitWorkerError(Exception):
    """The worker can't do any slide of this cohort; the sentence says why."""


def chain(error: BaseException) -> list[BaseException]:
    """An error and what caused it, the last cause last."""
    found: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in found:
        found.append(now)
        now = now.__cause__
    return found


def is_transient(error: BaseException) -> bool:
    """Whether the same slide may well work the next time."""
    from napari_wsimil.encoders.memory import is_out_of_memory

    return any(
        (isinstance(each, OSError) and each.errno in TRANSIENT)
        or isinstance(each, MemoryError | TimeoutError | ConnectionError)
        or is_out_of_memory(each)
        for each in chain(error)
    )


def is_full(error: BaseException) -> bool:
    """Whether the disk is full."""
    return any(isinstance(each, OSError) and each.errno in FULL for each in chain(error))


def sentence(error: BaseException, name: str) -> str:
    """What to tell of an error that a slide ended with."""
    if isinstance(error, WsimilError):
        return str(error)
    if isinstance(error, OSError):
        return printable(f"{error.filename or name} can't be read or written ({error.strerror or error}).")
    text = " ".join(str(error).split())[:300]
    return printable(
        f"{name} could not be done because of a fault in the program or its libraries ({type(error).__name__}: {text})."
    )
