"""Features to predictions: one file per MIL method, shared parts beside them."""

from napari_wsimil.mil.abmil import ABMIL, ABMILParameters
from napari_wsimil.mil.attention import GatedAttention
from napari_wsimil.mil.output import MILModel, MILOutput, Selection
from napari_wsimil.mil.registry import METHODS, Method, build_mil

__all__ = ["ABMIL", "METHODS", "ABMILParameters", "GatedAttention", "MILModel", "MILOutput", "Method", "Selection", "build_mil"]
