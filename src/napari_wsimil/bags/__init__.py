"""Features of a slide: bags, features on demand, the feature store."""

from napari_wsimil.bags.bag import Bag, FeatureBag
from napari_wsimil.bags.prefetch import BatchSize
from napari_wsimil.bags.slide_bag import SlideBag
from napari_wsimil.bags.store import FeatureStore

__all__ = ["Bag", "BatchSize", "FeatureBag", "FeatureStore", "SlideBag"]
