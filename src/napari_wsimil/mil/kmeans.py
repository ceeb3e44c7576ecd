"""k-means of places on a slide, quick for a million of them and the same whatever their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from napari_wsimil.mil.hilbert import hilbert_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE = 1 << 14
"""Centres settle on at most so many places, evenly taken along Hilbert's curve; then all places go to the nearest."""

STEPS = 100


def spatial_kmeans(places: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """(N,) cluster of each of (N, 2) places: at most `count`, numbered from 0, none empty, in no special order.

    Lloyd's iterations from the centres of `count` equal runs along Hilbert's curve, instead of from random places as k-means++:
    nothing to seed, and the clusters do not depend on the order of the places.
    """
    along = hilbert_order(places)
    sample = places[along[:: -(-len(places) // SAMPLE)]]
    centres = np.array([run.mean(axis=0) for run in np.array_split(sample, min(count, len(sample)))])
    before: NDArray[np.int64] | None = None
    for _ in range(STEPS):
        nearest = _nearest(centres, sample)
        if before is not None and np.array_equal(nearest, before):
            break
        before, centres = nearest, cluster_means(sample, nearest)
    return _nearest(centres, places)


def _nearest(centres: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N,) nearest centre of each place, renumbered so that each number from 0 on is taken."""
    nearest = cKDTree(centres).query(places)[1]
    renumbered: NDArray[np.int64] = np.unique(nearest, return_inverse=True)[1]
    return renumbered


def cluster_means(places: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """(R, 2) centres of clusters that are numbered from 0 without gaps."""
    sums = [np.bincount(clusters, weights=axis) for axis in places.T]
    means: NDArray[np.float64] = np.stack(sums, axis=1) / np.bincount(clusters)[:, None]
    return means
