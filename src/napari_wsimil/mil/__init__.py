"""Features to predictions: one file per MIL method in `methods`, shared parts beside it."""

from napari_wsimil.mil.attention import GatedAttention
from napari_wsimil.mil.method import Method
from napari_wsimil.mil.output import Losses, MILModel, MILOutput, Selection
from napari_wsimil.mil.registry import METHODS, build_mil

__all__ = ["METHODS", "GatedAttention", "Losses", "MILModel", "MILOutput", "Method", "Selection", "build_mil"]
