"""What a training shows of its network while it learns, to whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from napari_wsimil.packages import ModelSpec
    from napari_wsimil.patches import PatchGrid
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.data.manifest import Case
    from napari_wsimil.training.evaluation.scoring import Scores


@dataclass(frozen=True)
class Glance:
    """The network as it is now, after an epoch. Whoever gets one may run the network in evaluation, and change nothing.

    Attributes
    ----------
    stage, epoch
        Of which; epoch -1 is the network before a fine-tuning.
    model
        The network; a `MILModel` where it looks at slides.
    train, validation
        Slides that it learns from, and that choose the epoch.
    scores
        What it says of the validation slides, as the epoch was judged by; None where it says nothing of whole slides.
    last
        Whether this was the last epoch of the stage.
    spec
        The package to be.
    cases
        Name -> slide of the manifest.
    places
        Side ("train" or "validation"), row, mpp -> patches, where bags of the stage do not know them.
    """

    stage: str
    epoch: int
    model: nn.Module
    train: BagSet
    validation: BagSet
    scores: Scores | None = None
    last: bool = False
    spec: ModelSpec | None = None
    cases: Mapping[str, Case] = field(default_factory=dict)
    places: Callable[[str, int, float], PatchGrid] | None = None


Watch = Callable[[Glance], object]
"""Called after each epoch, in the thread that trains; the training waits for it."""


def telling(watch: Watch | None, **more: Any) -> Watch | None:
    """`watch` with more to be told of each glance; None stays None."""
    return None if watch is None else lambda glance: watch(replace(glance, **more))
