"""The list of models that every part of the window shows: told when it changes, and one of it chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.docks import open_dock
from napari_wsimil.widgets.job import Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from psygnal import SignalInstance

    from napari_wsimil.packages import InstalledModel, Removed


class _ModelList:
    """Of the process: all windows have the same models.

    Signals
    -------
    changed
        A model came, went, or is called otherwise.
    """

    changed = Signal()


_LIST = _ModelList()

models_changed: SignalInstance = _LIST.changed
"""Emit it, in the thread of the window, after the library changed; a widget follows it with `parts.follow`."""


def choose_model(viewer: Any, name: str) -> Any:
    """Choose a model in the dock "Slide analysis", which is opened if need be.

    Parameters
    ----------
    viewer
        The napari viewer.
    name
        What `load_model` takes.

    Returns
    -------
    The dock.
    """
    dock = open_dock(viewer, "Slide analysis")
    dock.models.choose(name)
    return dock


def keep(package: str | Path) -> InstalledModel:
    """Put a package into the library; loads torch, so call it in a worker, and emit `models_changed` then."""
    from napari_wsimil.packages import add_to_library

    return add_to_library(package)


def take_out(name: str) -> Removed:
    """Take a model out of the library; loads torch, so call it in a worker, and emit `models_changed` then."""
    from napari_wsimil.packages import remove_from_library

    return remove_from_library(name)


def attempt(deed: Callable[[], Any]) -> Any:
    """What a deed in a worker gives; errors become values, because superqt's worker never ends after some."""
    try:
        return deed()
    except WsimilError as error:
        return Failure(str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the buttons must come back
        return Failure(f"This failed unexpectedly: {error or type(error).__name__}.", error)


def sentence_of(outcome: Any) -> str:
    """Why a deed failed, or "" where it did not."""
    return outcome.sentence if isinstance(outcome, Failure) else ""
