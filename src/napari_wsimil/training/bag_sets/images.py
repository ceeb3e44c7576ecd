"""Bags of small images, for encoders that are trained together with the model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from napari_wsimil.bags.images import ImageBag
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.bag_sets.base import NamedBags
from napari_wsimil.training.data.feature_folders import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.training.data.manifest import Case

LARGEST = 1 << 22
"""Pixels of a patch image: a larger one is a slide in the wrong place."""


class ImageFolderBags(NamedBags):
    """Bags that are folders of patch images, all of one size; folders inside are looked through too.

    Parameters
    ----------
    cases
        Their `path` is a folder.
    targets
        Number of the class for each.
    mpp
        µm per pixel of the images; 1 where nobody knows.

    Attributes
    ----------
    counts
        (n,) images of each bag.

    Raises
    ------
    TrainingError
        A folder is missing or holds no image.
    """

    def __init__(self, cases: Sequence[Case], targets: Sequence[int], *, mpp: float = 1.0) -> None:
        super().__init__([case.name for case in cases], targets)
        self.mpps = (mpp,)
        self._files = [_images(case.path) for case in cases]
        self.counts = np.array([len(files) for files in self._files], dtype=np.int64)
        self.side = _size(self._files[0][0])
        """Height and width in pixels."""

    def bag(self, row: int) -> ImageBag:
        """Read the images of a bag, by their names in natural order.

        Raises
        ------
        TrainingError
            An image is damaged or of another size.
        """
        height, width = self.side
        pixels = np.empty((len(self._files[row]), 3, height, width), np.uint8)
        for number, path in enumerate(self._files[row]):
            pixels[number] = self._read(path).transpose(2, 0, 1)
        return ImageBag(torch.from_numpy(pixels), self.mpps[0])

    def parts(self, row: int, size: int) -> Iterator[NDArray[np.uint8]]:
        """(n, h, w, 3) uint8 pixels of a bag, `size` images at a time; raises as `bag`."""
        files = self._files[row]
        for start in range(0, len(files), size):
            yield np.stack([self._read(path) for path in files[start : start + size]])

    def files(self, row: int) -> tuple[Path, ...]:
        """Image files of a bag, in the order of its instances."""
        return tuple(self._files[row])

    def _read(self, path: Path) -> NDArray[np.uint8]:
        if _size(path) != self.side:
            height, width = _size(path)
            raise TrainingError(
                f"{path} is {width} x {height} px, but other patches are {self.side[1]} x {self.side[0]} px; cut all patches "
                "to one size."
            )
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise TrainingError(f"{path} is a damaged image ({error}); make it again or delete it.") from error


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise TrainingError(f"There is no folder of patch images {folder}; correct the manifest.")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    if not found:
        raise TrainingError(f"{folder} holds no images; give a folder of PNG, JPEG or TIFF patches.")
    return sorted(found, key=lambda path: [_natural(part) for part in path.relative_to(folder).parts])


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which 2.png comes before 10.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", text)]


def _size(path: Path) -> tuple[int, int]:
    """(height, width) of an image, from its heading."""
    try:
        with Image.open(path) as image:
            width, height = image.size
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise TrainingError(f"{path} can't be read as an image; make it again or delete it.") from error
    if width * height > LARGEST:
        raise TrainingError(f"{path} is {width} x {height} px, a slide rather than a patch; name slides themselves.")
    return height, width
