"""The dock "Training": a model from labelled slides, or a finished one corrected by what is marked on the open slide."""

from __future__ import annotations

from typing import Any

__all__ = ["Training"]


def __getattr__(name: str) -> Any:
    """Import the dock when napari asks for it: that takes a second, during which the window goes on being drawn."""
    if name != "Training":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from napari_wsimil.widgets.warm_up import import_meanwhile

    import_meanwhile(f"{__name__}.dock", "Opening Training")
    from napari_wsimil.widgets.training.dock import Training

    return Training
