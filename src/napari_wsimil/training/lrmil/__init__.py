"""LRMIL's five stages: fine features, teacher, encoder for coarse patches, coarse features, student."""

from napari_wsimil.training.lrmil.stages import lrmil_stages

__all__ = ["lrmil_stages"]
