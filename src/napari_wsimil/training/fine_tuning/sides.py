"""Which slides of a manifest a fine-tuning learns from, and which judge it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.splits import Split, split_cases

if TYPE_CHECKING:
    from napari_wsimil.training.data.manifest import Case, Manifest

NOBODY_JUDGES = (
    "No slide with a label judges the model, so nothing tells how good it is on other slides: look at its predictions before "
    "you use it."
)


def fine_tuning_split(manifest: Manifest, validation: float, test: float, seed: int) -> tuple[Split, tuple[str, ...]]:
    """Split the slides as `split_cases` does, but let there be slides without label and classes without slides.

    Slides without a label are trained on, unless their patient is of another side. Where no slide is left for validation, those
    trained on choose the epoch, and a notice says so; where none has a label, but polygons, none does.

    Returns
    -------
    The split, and what the user should know of it.

    Raises
    ------
    TrainingError
        A slide without a label is to validate or to test, no slide has a label or polygons, or as `split_cases`.
    """
    labelled = tuple(case for case in manifest.cases if case.label is not None)
    if not labelled and not any(case.annotation for case in manifest.cases):
        raise TrainingError(f"{manifest.path} has no slide with a label or polygons, so there is nothing to learn; give some.")
    split = _split(manifest, labelled, validation, test, seed)
    notices: list[str] = []
    elsewhere = {case.patient for case in split.validation + split.test}
    silent = tuple(case for case in manifest.cases if case.label is None and case not in split.train)
    left_out = [case.name for case in silent if case.patient in elsewhere]
    if left_out:
        notices.append(f"{listed(left_out)} take no part: they have no label, and are of patients who validate or test.")
    train = split.train + tuple(case for case in silent if case.patient not in elsewhere)
    judges = split.validation
    if not judges:
        judges = tuple(case for case in train if case.label is not None)
        notices.append(_without_judges(judges))
    return Split(train, judges, split.test), tuple(notices)


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Some names for a sentence."""
    return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")


def _without_judges(judges: tuple[Case, ...]) -> str:
    if judges:
        return (
            "No slide is left for validation: the slides that were learned from choose the epoch and calibrate, so the figures "
            "say nothing about other slides."
        )
    return NOBODY_JUDGES


def _split(manifest: Manifest, labelled: tuple[Case, ...], validation: float, test: float, seed: int) -> Split:
    if any(case.split for case in manifest.cases):
        return _as_told(manifest)
    return _dealt(manifest, labelled, validation, test, seed) if labelled else Split(manifest.cases, (), ())


def _dealt(manifest: Manifest, labelled: tuple[Case, ...], validation: float, test: float, seed: int) -> Split:
    present = tuple(name for name in manifest.classes if any(case.label == name for case in labelled))
    return split_cases(replace(manifest, cases=labelled, classes=present), validation=validation, test=test, seed=seed)


def _as_told(manifest: Manifest) -> Split:
    sides: dict[str, list[Case]] = {"train": [], "validation": [], "test": []}
    for case in manifest.cases:
        if case.split not in (None, "train") and case.label is None:
            raise TrainingError(f"{manifest.path}: {case.name} has no label, so it can't be in {case.split}; give it one.")
        sides[case.split or "train"].append(case)
    if not sides["train"]:
        raise TrainingError(f"{manifest.path} has no slide in the split train; put some there.")
    return Split(tuple(sides["train"]), tuple(sides["validation"]), tuple(sides["test"]))
