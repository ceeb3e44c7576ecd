"""A network behind a small adapter of its features: what fine-tuning changes where network and encoder must stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.bags.bag import BagView
from napari_wsimil.mil.chunks import in_chunks
from napari_wsimil.mil.cross_resolution import FeatureAdapter
from napari_wsimil.mil.output import Losses, MILModel, MILOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags import Bag


class AdaptedBag(BagView):
    """A bag whose features went through an adapter; only those that are asked for."""

    def __init__(self, bag: Bag, adapter: FeatureAdapter) -> None:
        super().__init__(bag)
        self._adapter = adapter

    def features(self, mpp: float, rows: NDArray[np.int64] | Tensor | None = None) -> Tensor:
        """(n, D) adapted features of `rows`, or of all patches, on the device of the adapter."""
        features = self._bag.features(mpp, rows)
        return in_chunks(self._adapter, features.to(next(self._adapter.parameters()).device))


class Adapted(MILModel):
    """`network` behind an adapter h + W2 ReLU(W1 h), the same for all magnifications; at first the same answers as `network`.

    Parameters
    ----------
    network
        Of any method.
    in_features
        Length D of a feature vector.
    """

    def __init__(self, network: MILModel, in_features: int) -> None:
        super().__init__()
        self.adapter = FeatureAdapter(in_features)
        self.network = network

    def forward(self, bag: Bag) -> MILOutput:
        """What the network says of the adapted features."""
        return self.network(AdaptedBag(bag, self.adapter))

    def probabilities(self, logits: Tensor) -> Tensor:
        """(C,) probabilities, as the network makes them."""
        return self.network.probabilities(logits)

    def evidence(self, bag: Bag) -> Mapping[float, Tensor] | None:
        """See `MILModel`."""
        return self.network.evidence(AdaptedBag(bag, self.adapter))

    def provisional(self, bag: Bag, step: int) -> Tensor | None:
        """See `MILModel`."""
        return self.network.provisional(AdaptedBag(bag, self.adapter), step)

    def losses(self, bag: Bag, target: Tensor, class_weights: Tensor | None = None) -> Losses:
        """The network's own."""
        return self.network.losses(AdaptedBag(bag, self.adapter), target, class_weights)
