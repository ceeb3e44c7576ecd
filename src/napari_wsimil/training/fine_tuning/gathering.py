"""All slides of a fine-tuning: new ones, old ones that are shown again, and those that judge; none on two sides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_wsimil.training.data.manifest import read_manifest
from napari_wsimil.training.data.splits import Split
from napari_wsimil.training.fine_tuning.generated import is_promised
from napari_wsimil.training.fine_tuning.old_slides import (
    OldSlides,
    judging,
    rehearsed,
    same_slide,
    some_of,
    without_slides,
)
from napari_wsimil.training.fine_tuning.sides import NOBODY_JUDGES, fine_tuning_split, listed

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.training.data.manifest import Case, Manifest
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
    from napari_wsimil.training.fine_tuning.settings import FineTuningSettings


@dataclass(frozen=True)
class Gathered:
    """The slides of a fine-tuning.

    Attributes
    ----------
    manifest
        New slides, and those that judge wherever they are from; names are unique.
    split
        Its sides.
    new
        The new slides alone, as `manifest.cases` has them.
    judges
        Those that judge, where they are from another manifest; None: they are new ones.
    rehearsal
        Old slides.
    notices
        What a user should know of all these.
    """

    manifest: Manifest
    split: Split
    new: Manifest
    judges: OldSlides | None
    rehearsal: tuple[OldSlides, ...]
    notices: tuple[str, ...]


def gather(plan: FineTuningPlan, settings: FineTuningSettings) -> Gathered:
    """Read the manifests of a plan; slides that were generated for it but are not made yet are left out.

    Raises
    ------
    TrainingError
        A manifest can't be used, or its slides teach nothing.
    """
    classes = plan.model.classes
    new = read_manifest(plan.manifest, classes=classes, labelled=False, features=plan.features or None)
    old, gone = rehearsed(there, classes, plan.features) if (there := _made(plan.rehearsal)) else ([], [])
    judges, missing = judging(there, classes, plan.features) if (there := _made(plan.judges)) else (None, [])
    known = [*old, *([] if judges is None else [judges])]
    new = replace(new, cases=tuple(_filled(case, same_slide(known, case)) for case in new.cases))
    notices = [_gone(gone, "shown again"), _gone(missing, "used to judge")]
    if judges is not None:
        judges, told = _other_judges(judges, new.cases)
        notices += told
    split, more = _split(new, judges, plan, settings)
    notices += more
    whole = new if judges is None else replace(new, cases=new.cases + judges.cases)
    old, told = _other_old(old, new.cases, split.validation + split.test)
    kept = tuple(some_of(old, settings.most_old_slides, settings.seed))
    return Gathered(whole, split, new, judges, kept, tuple(filter(None, [*plan.notices, *notices, *told])))


def _made(manifest: Path | None) -> Path | None:
    return None if manifest is None or is_promised(manifest) else manifest


def _filled(case: Case, known: Case | None) -> Case:
    """A new slide with the label and the patient that an older manifest knows, where it has none itself."""
    if known is None:
        return case
    patient = known.patient if case.patient == case.name and known.patient != known.name else case.patient
    return replace(case, label=case.label or known.label, patient=patient)


def _split(
    new: Manifest, judges: OldSlides | None, plan: FineTuningPlan, settings: FineTuningSettings
) -> tuple[Split, tuple[str, ...]]:
    """The sides; slides that are corrected never judge themselves."""
    if judges is not None:
        return Split(new.cases, judges.cases, ()), ()
    if settings.choose == "correction" and not any(case.split == "validation" for case in new.cases):
        return Split(new.cases, (), ()), (NOBODY_JUDGES,)
    return fine_tuning_split(new, plan.validation, plan.test, settings.seed)


def _other_judges(judges: OldSlides, new: tuple[Case, ...]) -> tuple[OldSlides | None, list[str]]:
    """The slides that judge without those that are learned from, under names that no new slide has."""
    left, out = without_slides(judges, new, patients=True)
    notices = []
    if out:
        notices.append(f"{listed([case.name for case in out])} judged the model before; now learned from, no longer.")
    if not left.cases:
        return None, notices
    if len({case.label for case in left.cases}) < 2:
        notices.append("The slides that judge are all of one class, so nothing tells how well classes are told apart.")
    taken = {case.name for case in new}
    cases = tuple(_renamed(case, taken) for case in left.cases)
    return OldSlides(replace(left.manifest, cases=cases), left.store), notices


def _renamed(case: Case, taken: set[str]) -> Case:
    name = f"{case.name} (judges)"
    return replace(case, name=name) if case.name in taken else case


def _other_old(old: list[OldSlides], new: tuple[Case, ...], judges: tuple[Case, ...]) -> tuple[list[OldSlides], list[str]]:
    """The old slides that are neither new ones nor judge."""
    kept: list[OldSlides] = []
    again: list[str] = []
    held: list[str] = []
    for part in old:
        left, out = without_slides(part, new)
        again += [case.name for case in out]
        left, out = without_slides(left, judges, patients=True)
        held += [case.name for case in out]
        kept += [left] if left.cases else []
    notices = []
    if again:
        notices.append(f"{listed(again)} {_are(again)} of the old slides too, and learned from as corrected now.")
    if held:
        notices.append(f"{listed(held)} {_are(held)} not shown again: slides of the same patients judge.")
    return kept, notices


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _gone(names: list[str], use: str) -> str:
    return f"{listed(names)} can't be {use}: the {'file is' if len(names) == 1 else 'files are'} gone." if names else ""
