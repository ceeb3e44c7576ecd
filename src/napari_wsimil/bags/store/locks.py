"""Who writes a file, and who has it open."""

from __future__ import annotations

import errno
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from napari_wsimil.bags.store.raw_file import RawFile

fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None
"""Windows has none: it refuses by itself to delete a file that is open."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EINVAL, getattr(errno, "ENOTSUP", errno.ENOSYS), errno.EOPNOTSUPP})
"""What file systems without locks answer."""


class WriterLock:
    """The right to write one file, for one process and one thread's work; the system takes it back when its holder dies."""

    def __init__(self, lock: FileLock) -> None:
        self._lock: Any = lock

    @classmethod
    def taken(cls, part: Path) -> WriterLock | None:
        """The lock of `part`; None where another has it, or the file system has no locks.

        Raises
        ------
        OSError
            The folder can't be written.
        """
        lock = FileLock(f"{part}.lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except (Timeout, NotImplementedError):
            return None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return None
            raise
        return cls(lock)

    def release(self) -> None:
        """Let others write; the lock's file goes while it is held, so that nobody holds one without a name for long."""
        with suppress(OSError):
            Path(self._lock.lock_file).unlink()
        self._lock.release()


def mark_open(file: RawFile) -> None:
    """Let `is_open` see that somebody reads the file."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file.file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_open(file: RawFile) -> bool:
    """Whether somebody else has the file open, with `mark_open` or with HDF5, which marks likewise."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file.file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
