"""What a trainer learns from: bags in memory, in feature files, on slides, or of patch images."""

from napari_wsimil.training.bag_sets.ahead import KeptBags, load_ahead
from napari_wsimil.training.bag_sets.base import BagSet, ChosenBags, MemoryBags, NamedBags, NoBags
from napari_wsimil.training.bag_sets.encoded_images import EncodedImageBags
from napari_wsimil.training.bag_sets.files import FileBags
from napari_wsimil.training.bag_sets.images import ImageFolderBags
from napari_wsimil.training.bag_sets.slides import SlideBags

__all__ = [
    "BagSet",
    "ChosenBags",
    "EncodedImageBags",
    "FileBags",
    "ImageFolderBags",
    "KeptBags",
    "MemoryBags",
    "NamedBags",
    "NoBags",
    "SlideBags",
    "load_ahead",
]
