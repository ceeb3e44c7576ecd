"""One line of a list of slides that is not finished yet."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_wsimil.training.data.manifest import Case

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class DraftRow:
    """What is known of one slide so far.

    Attributes
    ----------
    name
        As it will be called in the manifest.
    path
        Slide, feature file or folder of patch images; it need not exist.
    label, patient
        "" where it is not known; a slide without a patient is one of its own.
    split
        "train", "validation", "test", or "".
    annotation
        File with regions drawn on the slide, or None.
    mpp
        µm per pixel of level 0 where the slide does not say, or None.
    fold
        Of a cross-validation, where the manifest says, or None.
    files
        Feature files of one slide, one for each magnification, where there are several.
    used
        Whether the slide takes part; one that is left out stays in the list.
    key
        By which the draft knows the row, wherever it stands; given by the draft.
    """

    name: str
    path: Path
    label: str = ""
    patient: str = ""
    split: str = ""
    annotation: Path | None = None
    mpp: float | None = None
    fold: int | None = None
    files: tuple[Path, ...] = ()
    used: bool = True
    key: int = -1

    @property
    def sources(self) -> tuple[Path, ...]:
        """All files that features or pixels are read from."""
        return self.files or (self.path,)

    @property
    def who(self) -> str:
        """The patient; the slide itself where none is named."""
        return self.patient or self.name

    @property
    def part(self) -> str:
        """The split, or the fold, in words; "" where it has neither."""
        return self.split or ("" if self.fold is None else f"fold {self.fold}")

    def case(self) -> Case:
        """As a manifest has it."""
        return Case(
            self.name,
            self.path,
            self.label or None,
            self.who,
            split=self.split or None,
            fold=self.fold,
            annotation=self.annotation,
            mpp=self.mpp,
            files=self.files,
        )


def place(path: Path) -> str:
    """By which two ways of writing a path are seen to be one, without asking the disk."""
    return os.path.normpath(path.absolute())


def renamed(rows: Iterable[DraftRow], taken: set[str]) -> list[DraftRow]:
    """Number rows whose name is `taken`, whatever the case of its letters; their names are added to it."""
    found = []
    for row in rows:
        name, number = row.name, 2
        while name.casefold() in taken:
            name, number = f"{row.name}-{number}", number + 1
        taken.add(name.casefold())
        found.append(row if name == row.name else replace(row, name=name))
    return found
