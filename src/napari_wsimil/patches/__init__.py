"""Where to look: the tissue on a slide, and grids of patches at any magnification."""

from napari_wsimil.patches.detectors import TISSUE_METHODS, tissue_from_image
from napari_wsimil.patches.grid import PatchGrid, patch_grid
from napari_wsimil.patches.patch import Patch
from napari_wsimil.patches.spec import PatchSpec
from napari_wsimil.patches.stain import StainNormaliser
from napari_wsimil.patches.tissue import TissueMask, find_tissue

__all__ = [
    "TISSUE_METHODS",
    "Patch",
    "PatchGrid",
    "PatchSpec",
    "StainNormaliser",
    "TissueMask",
    "find_tissue",
    "patch_grid",
    "tissue_from_image",
]
