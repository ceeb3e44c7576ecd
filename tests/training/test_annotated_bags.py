"""A set of bags that knows what was drawn on its slides."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from napari_wsimil.annotations import Annotations, Region
from napari_wsimil.bags import FeatureBag
from napari_wsimil.errors import TrainingError
from napari_wsimil.patches.grid import PatchGrid
from napari_wsimil.training.bag_sets import MemoryBags
from napari_wsimil.training.bag_sets.annotated import AnnotatedBags

CLASSES = ("normal", "tumour")
SQUARE = Region("tumour", shapely.box(0, 0, 200, 100))


def row_of_patches(count=4, size=100.0):
    cells = np.stack([np.arange(count), np.zeros(count, np.int64)], axis=1)
    return PatchGrid((cells * size).astype(np.int64), cells, np.ones(count, np.float32), 0.5, 100, 100, size, size)


def annotated(*regions):
    return Annotations(path=None, regions=tuple(regions))


def test_a_set_knows_what_was_drawn_on_its_slides():
    import torch

    places = row_of_patches()
    bags = MemoryBags(
        [FeatureBag({0.5: torch.ones(4, 3)}, {0.5: places}) for _ in range(3)],
        [1, 0, -1],
        instance_labels=[None, np.array([0, -1, 1, 1]), None],
    )
    known = AnnotatedBags(bags, [annotated(SQUARE), None, None], CLASSES)
    assert [known.annotated(row) for row in range(3)] == [True, True, False]
    assert known.instance_labels(0)[0.5].tolist() == [1, 1, -1, -1]
    assert known.instance_labels(1)[0.5].tolist() == [0, -1, 1, 1]
    assert known.instance_labels(2) is None
    assert known.instance_classes(1)[0.5].tolist() == [[True, False], [True, True], [False, True], [False, True]]


def test_features_without_places_are_refused():
    import torch

    bags = AnnotatedBags(MemoryBags([torch.ones(4, 3)], [1]), [annotated(SQUARE)], CLASSES)
    with pytest.raises(TrainingError, match="bag 0 do not say where"):
        bags.instance_labels(0)
