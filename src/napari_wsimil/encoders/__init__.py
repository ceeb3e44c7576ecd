"""Pixels to features: the bundled encoder, and encoders in folders."""

from napari_wsimil.encoders._encoder import Encoder, EncoderSpec, load_encoder, save_encoder
from napari_wsimil.encoders._network import CompactCNN

__all__ = ["CompactCNN", "Encoder", "EncoderSpec", "load_encoder", "save_encoder"]
