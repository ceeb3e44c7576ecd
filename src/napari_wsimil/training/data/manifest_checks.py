"""What only a whole manifest tells: slides that stand in it twice, patients on two sides, and the classes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_wsimil.training.data.manifest import Case
    from napari_wsimil.training.data.tables import Row


def check_unique(source: Path, cases: Sequence[Case], rows: Sequence[Row]) -> None:
    """Refuse a slide, or a name, that stands in two lines."""
    lines: dict[object, int] = {}
    for case, row in zip(cases, rows, strict=True):
        keys: list[tuple[object, str]] = [(("path", path.resolve()), f"the file {path}") for path in case.files or (case.path,)]
        for key, what in [*keys, (("name", case.name), f"the name {case.name!r}")]:
            if key in lines:
                raise TrainingError(
                    f"{source}, line {row.number}: {what} is in line {lines[key]} already; delete one, or give slides of the "
                    "same name different names in a column 'name'."
                )
            lines[key] = row.number


def check_patients(source: Path, cases: Sequence[Case], rows: Sequence[Row]) -> None:
    """Refuse a patient who is in two splits or folds."""
    seen: dict[str, tuple[Case, int]] = {}
    for case, row in zip(cases, rows, strict=True):
        first, line = seen.setdefault(case.patient, (case, row.number))
        for what, here, there in (("split", case.split, first.split), ("fold", case.fold, first.fold)):
            if here != there:
                raise TrainingError(
                    f"{source}, line {row.number}: patient {case.patient} is in {what} {_or_none(here)} here and in "
                    f"{_or_none(there)} in line {line}; put all slides of a patient into one {what}."
                )


def _or_none(value: object) -> str:
    return "none" if value is None else f"{value}"


def classes_of(
    source: Path, cases: Sequence[Case], rows: Sequence[Row], wanted: Sequence[str] | None, *, labelled: bool
) -> tuple[str, ...]:
    """The classes in their order; refuses labels beyond those wanted, and a single class where slides must have labels."""
    lines: defaultdict[str, list[int]] = defaultdict(list)
    for case, row in zip(cases, rows, strict=True):
        if case.label is not None:
            lines[case.label].append(row.number)
    if wanted is not None:
        for label, numbers in lines.items():
            if label not in wanted:
                raise TrainingError(
                    f"{source}, line {numbers[0]}: the label {label!r} is none of the classes {', '.join(wanted)}; correct it."
                )
        return tuple(wanted)
    if labelled and len(lines) < 2:
        raise TrainingError(
            f"{source}: all slides have the label {next(iter(lines))!r}; a model needs slides of at least two classes."
        )
    return tuple(sorted(lines, key=class_order))


def class_order(label: str) -> tuple[int, float, str]:
    """Key by which classes stand in the order of a model's outputs: numbers by size, then words."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
