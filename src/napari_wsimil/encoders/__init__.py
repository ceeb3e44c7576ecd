"""Pixels to features: the bundled encoder, encoders in folders, and those that others made."""

from napari_wsimil.encoders._encoder import Encoder, EncoderSpec
from napari_wsimil.encoders._folders import (
    FILES,
    copy_encoder,
    lasting_name,
    load_encoder,
    load_network,
    save_encoder,
    trust_program,
)
from napari_wsimil.encoders._network import CompactCNN
from napari_wsimil.encoders.absent import AbsentEncoder
from napari_wsimil.encoders.memory import is_out_of_memory
from napari_wsimil.encoders.pending import Pending
from napari_wsimil.encoders.precision import PRECISIONS, Precision
from napari_wsimil.encoders.tuning import Tuning

__all__ = [
    "FILES",
    "PRECISIONS",
    "AbsentEncoder",
    "CompactCNN",
    "Encoder",
    "EncoderSpec",
    "Pending",
    "Precision",
    "Tuning",
    "copy_encoder",
    "is_out_of_memory",
    "lasting_name",
    "load_encoder",
    "load_network",
    "save_encoder",
    "trust_program",
]
