"""What can go wrong, said in one sentence a user can act on.

Every error that bad input can cause derives from `WsimilError`; its text names the file, what is wrong with it and what
to do. The command line prints that sentence and exits with 2, the window shows it in the dock; neither shows a traceback.
"""

from __future__ import annotations


class WsimilError(ValueError):
    """Bad input: the message is one sentence for the user."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def printable(text: str) -> str:
    """Text that any stream can print: file names that are no UTF-8 hold letters that none can."""
    return text.encode("utf-8", "replace").decode()


class SlideError(WsimilError):
    """A slide can't be opened, read or measured."""


class ModelError(WsimilError):
    """A model package or an encoder can't be loaded, or does not fit the slide."""


class AnnotationError(WsimilError):
    """Regions drawn on a slide can't be read, or can't be used as asked."""


class TrainingError(WsimilError):
    """A manifest, features or settings can't be trained on or evaluated."""


class PredictionError(WsimilError):
    """A saved prediction can't be read."""


class ExportError(WsimilError):
    """A prediction can't be written in the format asked for."""


class CancelledError(Exception):
    """The user stopped the job; nothing was left half-written."""


class SlideWarning(UserWarning):
    """A slide opens, but something it says of itself can't be believed."""


class CodeWarning(UserWarning):
    """A file that is a program runs because the user allowed it."""
