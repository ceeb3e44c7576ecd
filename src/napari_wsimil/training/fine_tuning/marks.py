"""Whether what was marked on slides says anything of their patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.annotations.coverage import meanings_of
from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from napari_wsimil.training.bag_sets.annotated import AnnotatedBags


def check_marks(bags: AnnotatedBags) -> None:
    """Refuse a slide whose marks say nothing.

    Raises
    ------
    TrainingError
        All marks of a slide are beside its patches, or deny each other; one sentence says which.
    """
    for row, drawn in enumerate(bags.annotations):
        if drawn is None:
            continue
        bag = bags.bag(row)
        if any(not allowed.all() for allowed in bags.instance_classes(row, bag).values()):
            continue
        telling = [
            region
            for region, meaning in zip(drawn.regions, meanings_of(drawn.regions, bags.classes, bags.meanings), strict=True)
            if meaning in bags.classes or meaning.startswith("!")
        ]
        name = bags.names[row]
        if not telling:
            continue
        if any(bags.taught_by(row, region, bag, mpp).any() for region in telling for mpp in bag.mpps):
            raise TrainingError(
                f"The marks on {name} deny each other: each place is marked as different classes, or is to be ignored; remove "
                "those that are wrong."
            )
        raise TrainingError(
            f"The marks on {name} touch no patch of the model: they lie outside the tissue that it looks at; mark tissue."
        )
