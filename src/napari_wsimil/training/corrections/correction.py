"""What somebody put right on one slide, checked as far as that is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.annotations import read_annotations
from napari_wsimil.annotations.classes import same_name
from napari_wsimil.annotations.coverage import meanings_of
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.feature_folders import plain_name
from napari_wsimil.training.data.manifest import Case

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.packages import Model


@dataclass(frozen=True)
class Correction:
    """What somebody put right on one slide: marks, its label, or both.

    Attributes
    ----------
    slide
        Slide file, or file of its features.
    annotations
        GeoJSON or ASAP XML with the marks: regions of a class of the model ("this is X"), "!X" or "not X" ("this is not X")
        and "ignore"; or None.
    label
        The class that the slide is of; None: not known.
    patient
        Whose slide it is, so that no other slide of theirs judges; None: nobody else's.
    mpp
        µm per pixel of level 0 where the slide does not say or is wrong.
    """

    slide: Path
    annotations: Path | None = None
    label: str | None = None
    patient: str | None = None
    mpp: float | None = None

    def __post_init__(self) -> None:
        # as text, too
        object.__setattr__(self, "slide", Path(self.slide).expanduser())
        if self.annotations is not None:
            object.__setattr__(self, "annotations", Path(self.annotations).expanduser())


def cases_of(corrections: Sequence[Correction], model: Model, names: Mapping[str, str]) -> tuple[Case, ...]:
    """Corrections as slides to learn from, each with a name of its own.

    Parameters
    ----------
    names
        What names of regions stand for.

    Raises
    ------
    WsimilError
        There is none, a file is missing or can't be read, a label is no class, a slide comes twice, or a correction says
        nothing or contradicts itself.
    """
    if not corrections:
        raise TrainingError("There is nothing to correct the model by; mark regions on a slide, or give its label.")
    found: list[Case] = []
    for one in corrections:
        case = _case(one, model, names)
        if any(case.path.resolve() == other.path.resolve() for other in found):
            raise TrainingError(f"{case.path} is corrected twice; put all marks of a slide into one annotation file.")
        found.append(case)
    return tuple(_named(found))


def _case(one: Correction, model: Model, names: Mapping[str, str]) -> Case:
    path = one.slide.expanduser()
    if not path.exists():
        raise TrainingError(f"There is no slide {path}; correct its path.")
    label = _label(one, model)
    marked = _marked(one, model, names)
    if label is None and not marked:
        raise TrainingError(f"{path.name} has neither marks nor a label; mark a region on it, or give its label.")
    positive = model.positive_class
    if label is not None and positive is not None and label != positive and positive in marked:
        raise TrainingError(
            f"{path.name} is given the label {label}, but {positive} is marked on it; change its label or remove the mark."
        )
    if label is None and positive in marked:
        # a slide is of the positive class where anything on it is
        label = positive
    annotation = None if one.annotations is None else one.annotations.expanduser()
    name = plain_name(str(path))
    return Case(name, path, label, one.patient or name, "train", annotation=annotation if marked else None, mpp=one.mpp)


def _label(one: Correction, model: Model) -> str | None:
    if one.label is None or not one.label.strip():
        return None
    fits = [name for name in model.classes if same_name(name) == same_name(one.label)]
    if not fits:
        raise TrainingError(
            f"The label {one.label!r} of {one.slide.name} is none of the model's classes, which are {', '.join(model.classes)}."
        )
    return fits[0]


def _marked(one: Correction, model: Model, names: Mapping[str, str]) -> frozenset[str]:
    """What is marked on a slide: classes, "!" and a class, "ignore", "exclusion"; empty where nothing is."""
    if one.annotations is None:
        return frozenset()
    regions = read_annotations(one.annotations).regions
    meant = frozenset(meanings_of(regions, model.classes, names)) - {""}
    if meant <= {"ignore", "exclusion"} and one.label is None:
        drawn = ", ".join(dict.fromkeys(region.name for region in regions)) or "nothing with a class and an area"
        raise TrainingError(
            f"{one.annotations.name} marks no class of the model ({', '.join(model.classes)}) on {one.slide.name}, but "
            f"{drawn}; mark a region as one of these, or as not one of these."
        )
    return meant


def _named(cases: Sequence[Case]) -> list[Case]:
    """The cases, with a number behind names that several slides of different folders share."""
    from dataclasses import replace

    seen: dict[str, int] = {}
    out = []
    for case in cases:
        seen[case.name] = seen.get(case.name, 0) + 1
        number = seen[case.name]
        name = case.name if number == 1 else f"{case.name} ({number})"
        out.append(replace(case, name=name, patient=name if case.patient == case.name else case.patient))
    return out
