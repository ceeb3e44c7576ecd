"""Features of a slide: bags, features on demand, the feature store."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_wsimil.bags.focus import Focus

if TYPE_CHECKING:
    from napari_wsimil.bags.bag import Bag, FeatureBag
    from napari_wsimil.bags.batch_size import BatchSize
    from napari_wsimil.bags.slide_bag import SlideBag
    from napari_wsimil.bags.store import FeatureStore

# What needs torch or h5py comes when asked for: the window makes a `Focus` before the job has loaded them.
_LAZY = {"Bag": "bag", "FeatureBag": "bag", "BatchSize": "batch_size", "SlideBag": "slide_bag", "FeatureStore": "store"}

__all__ = ["Bag", "BatchSize", "FeatureBag", "FeatureStore", "Focus", "SlideBag"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
