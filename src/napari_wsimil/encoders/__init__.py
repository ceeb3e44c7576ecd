"""Pixels to features: the bundled encoder, encoders in folders, and those that others made."""

from napari_wsimil.encoders._encoder import (
    FILES,
    Encoder,
    EncoderSpec,
    copy_encoder,
    lasting_name,
    load_encoder,
    load_network,
    save_encoder,
    trust_program,
)
from napari_wsimil.encoders._network import CompactCNN
from napari_wsimil.encoders.absent import AbsentEncoder

__all__ = [
    "FILES",
    "AbsentEncoder",
    "CompactCNN",
    "Encoder",
    "EncoderSpec",
    "copy_encoder",
    "lasting_name",
    "load_encoder",
    "load_network",
    "save_encoder",
    "trust_program",
]
