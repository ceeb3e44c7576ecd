"""What was drawn on the slides of a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.annotations import read_annotations
from napari_wsimil.annotations.coverage import unmatched
from napari_wsimil.bags.feature_files import read_origin
from napari_wsimil.errors import TrainingError
from napari_wsimil.slides import open_slide
from napari_wsimil.training.bag_sets.kinds import kind_of_cases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.annotations import Annotations
    from napari_wsimil.training.data.manifest import Case


def read_drawn(cases: Sequence[Case]) -> list[Annotations | None]:
    """Read the annotation of each case, None where there is none.

    QuPath counts from the corner of the scanned area, which the slide says, or a feature file of ours; (0, 0) elsewhere.

    Raises
    ------
    WsimilError
        A file, or the slide that it belongs to, can't be read.
    """
    return [None if case.annotation is None else read_annotations(case.annotation, origin=_origin(case)) for case in cases]


def remarks(
    drawn: Sequence[Annotations | None],
    classes: Sequence[str],
    names: Mapping[str, str] | None = None,
    *,
    rest: bool = False,
) -> tuple[str, ...]:
    """Say what of the drawings takes no part, one sentence for each reason.

    Parameters
    ----------
    rest
        Whether what was not drawn is of a class too, so that a file without polygons says something.

    Raises
    ------
    TrainingError
        Nothing takes part.
    """
    found = [one for one in drawn if one is not None]
    regions = [region for one in found for region in one.regions]
    foreign = unmatched(regions, classes, names)
    if found and sum(foreign.values()) == len(regions) and not (rest and not foreign):
        have = f"only {_listed(foreign)}" if foreign else "none with a class and an area"
        which = found[0].path.name + (" and others" if len(found) > 1 else "")
        raise TrainingError(
            f"{which}: there is no polygon of a class of the model ({', '.join(classes)}), {have}; rename the classes in "
            "QuPath or ASAP, or say what their names stand for."
        )
    told = [f"Polygons of the classes {_listed(foreign)} take no part: the model does not know these."] if foreign else []
    skipped: dict[str, int] = {}
    for one in found:
        for why, count in one.skipped.items():
            skipped[why] = skipped.get(why, 0) + count
    told += [f"{count} drawn objects {why} take no part." for why, count in sorted(skipped.items())]
    return tuple(told)


def _listed(names: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} ({count})" for name, count in list(names.items())[:8])
    return shown + (" and others" if len(names) > 8 else "")


def _origin(case: Case) -> tuple[float, float]:
    if kind_of_cases([case]) == "features":
        return read_origin(case.files[0] if case.files else case.path) or (0.0, 0.0)
    with open_slide(case.path) as slide:
        x, y = slide.origin
    return float(x), float(y)
