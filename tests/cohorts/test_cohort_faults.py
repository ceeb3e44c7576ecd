"""Which faults pass."""

from __future__ import annotations

import errno

import pytest

import napari_wsimil as ws
from napari_wsimil.cohorts.faults import is_full, is_transient, sentence


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (caused(ws.SlideError("no"), OSError(errno.ESTALE, "Stale")), True),
        (caused(ws.SlideError("no"), caused(RuntimeError("h5"), OSError(errno.ETIMEDOUT, "late"))), True),
        (MemoryError(), True),
        (ws.SlideError("no"), False),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (caused(ws.SlideError("no"), PermissionError(errno.EACCES, "denied")), False),
        (ZeroDivisionError(), False),
    ],
)
def test_what_passes(error, passes):
    assert is_transient(error) is passes


def test_full_disks():
    assert is_full(caused(ws.SlideError("no"), OSError(errno.ENOSPC, "full")))
    assert not is_full(OSError(errno.EIO, "broken"))


def test_a_sentence_for_each():
    assert sentence(ws.SlideError("a is no slide."), "a") == "a is no slide."
    assert (
        sentence(OSError(errno.EIO, "Input/output error", "/x/a"), "a") == "/x/a can't be read or written (Input/output error)."
    )
    assert sentence(KeyError("k"), "a").startswith("a could not be done because of a fault in the program")
