"""One sentence for whatever ends a run before its end, with what to do about it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from napari_wsimil.errors import SlideError, TrainingError, WsimilError
from napari_wsimil.training.background.folder import LOG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.training.background.folder import BackgroundFolder

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
FULL_WORDS = ("no space left", "disk quota exceeded", "not enough space on the disk")
MEMORY_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "unable to allocate", "bad_alloc")
DEVICE_WORDS = ("out of memory",)
"""What libraries say in their own exceptions: on GPUs of all makers, on the CPU, and on full disks."""


def unwritable(folder: BackgroundFolder, error: OSError) -> TrainingError:
    """What to say where a file of a run can't be written."""
    if _is_full(error):
        return TrainingError(f"The disk of {folder.run} is full; free some space, then try again: nothing is lost.")
    if not folder.path.is_dir():
        return TrainingError(gone(folder))
    return TrainingError(
        f"{folder.path} can't be written ({error.strerror or error}); check whether it may be, then try again."
    )


def gone(folder: BackgroundFolder) -> str:
    """What to say of a run whose folder is not there any more."""
    return (
        f"{folder.run} is not there any more; bring it back or connect its disk, or open the run where it was moved to: Resume "
        "goes on there."
    )


def sentence_of(error: BaseException, folder: BackgroundFolder) -> str:
    """Say what happened, and the way on.

    Parameters
    ----------
    error
        What ended the run.
    folder
        Of the run.
    """
    chain = list(_chain(error))
    if any(map(_is_full, chain)):
        return (
            f"The disk of {folder.run} is full; free some space, then press Resume: the training goes on where it was, at most "
            "a step is lost."
        )
    if any(map(_is_device_memory, chain)):
        return (
            "The GPU ran out of memory; close other programs that use it, or choose the CPU as the device, then press Resume: "
            "the training goes on where it was. Or start anew with fewer patches or slides in a step (patches_of_bag, "
            "student_batch, accumulate) or lower precision (precision bf16)."
        )
    if any(map(_is_memory, chain)):
        return (
            "The computer ran out of memory; close other programs, then press Resume: the training goes on where it was. Or "
            "start anew with fewer patches or slides in a step (patches_of_bag, student_batch, accumulate)."
        )
    if isinstance(error, WsimilError):
        return _of_input(error, chain)
    files = [one for one in chain if isinstance(one, OSError)]
    if files:
        name, why = files[-1].filename, files[-1].strerror or files[-1]
        return f"{name or 'A file'} can't be read or written ({why}); put that right, then press Resume: {_GOES_ON}."
    return (
        f"The training ended by an error of the program ({type(error).__name__}: {_first_line(error)}); {folder.path / LOG} "
        f"says where. Resume tries again: {_GOES_ON}."
    )


_GOES_ON = "the training goes on where it was"


def _of_input(error: WsimilError, chain: list[BaseException]) -> str:
    """Its own sentence; where files were the cause, they can be put back."""
    sentence = str(error)
    if any(isinstance(one, SlideError | OSError) for one in chain) and "Resume" not in sentence:
        return f"{sentence.rstrip('.')}. When that is put right, press Resume: {_GOES_ON}."
    return sentence


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from, the first cause last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return _says(error, FULL_WORDS)


def _is_device_memory(error: BaseException) -> bool:
    named = type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and not _says(error, MEMORY_WORDS) and _says(error, DEVICE_WORDS))


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError | OSError) and _says(error, MEMORY_WORDS))


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "").strip()[:200] or "no words"
