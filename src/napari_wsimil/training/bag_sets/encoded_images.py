"""Folders of patch images as bags of features, by an encoder that stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_wsimil.bags import FeatureBag
from napari_wsimil.inference.devices import choose_device
from napari_wsimil.training.bag_sets.base import NamedBags
from napari_wsimil.training.bag_sets.images import ImageFolderBags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.encoders import Encoder
    from napari_wsimil.training.data.manifest import Case

AT_ONCE = 1 << 20
"""Pixels that are encoded at once: 16 images of 256 px."""


class EncodedImageBags(NamedBags):
    """Features of `ImageFolderBags`, computed in chunks whenever a bag is asked for; they have no places.

    Parameters
    ----------
    cases, targets, mpp
        See `ImageFolderBags`.
    encoder
        Takes images of their size.
    device
        Where to encode: "auto", "cpu", "cuda".
    """

    def __init__(
        self, cases: Sequence[Case], targets: Sequence[int], encoder: Encoder, *, mpp: float, device: str = "auto"
    ) -> None:
        super().__init__([case.name for case in cases], targets)
        self._images = ImageFolderBags(cases, targets, mpp=mpp)
        self._encoder = encoder.to(choose_device(device))
        self.counts = self._images.counts

    def bag(self, row: int) -> FeatureBag:
        """Read and encode the images of a bag; raises as `ImageFolderBags.bag`."""
        height, width = self._images.side
        parts = [self._encoder.encode(part) for part in self._images.parts(row, max(1, AT_ONCE // (height * width)))]
        # the encoder's tensors are for inference only, but a model learns from these
        with torch.inference_mode(mode=False):
            return FeatureBag({self._images.mpps[0]: torch.cat(parts).clone()})
