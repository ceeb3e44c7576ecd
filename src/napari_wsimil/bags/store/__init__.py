"""The feature store: one HDF5 file for each slide, encoder and patch settings, resumable inside a slide."""

from napari_wsimil.bags.store.cache import default_store_folder
from napari_wsimil.bags.store.feature_store import FeatureStore, stored_name
from napari_wsimil.bags.store.links import read_parents
from napari_wsimil.bags.store.stored import StoredFeatures

__all__ = ["FeatureStore", "StoredFeatures", "default_store_folder", "read_parents", "stored_name"]
