"""The slides of the correction benchmark: generated, with a confounder on the training slides that goes with the label.

Training and validation slides called tumour carry the confounder on a patch of healthy tissue, those called normal do not. All
fresh slides carry it, whatever they are. No two slides are the same, of all seeds and parts.

`hidden` is the share of the training and validation slides called tumour that show none, only the confounder: their label is
the patient's, and the tumour lies in another section.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import napari_wsimil as ws
from napari_wsimil.samples import read_truth, tumour_fraction

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

NORMAL, TUMOUR = CLASSES = ("normal", "tumour")
FIRST_SEED = 60_000
"""Slide seeds from here on: the bundled encoder and model, and the sample slides, were made with others."""

HIDDEN = 500
"""Added to the seed of a slide that is drawn without its tumour."""


@dataclass(frozen=True)
class Amounts:
    """Slides of each class by part, and the side of a slide in px."""

    train: int = 8
    validation: int = 4
    fresh: int = 10
    size: int = 3072

    @property
    def parts(self) -> dict[str, int]:
        """Part -> slides of each class."""
        return {"train": self.train, "validation": self.validation, "fresh": self.fresh}


@dataclass(frozen=True)
class MadeSlide:
    """One slide with its truth.

    Attributes
    ----------
    part
        "train", "validation" or "fresh".
    label
        "tumour" or "normal".
    seed
        That it was drawn with.
    """

    path: Path
    part: str
    label: str
    seed: int = 0

    @property
    def name(self) -> str:
        """Of the file."""
        return self.path.stem

    @cached_property
    def foci(self) -> list[NDArray[np.float64]]:
        """Outlines of the tumour, px."""
        return read_truth(self.path)

    @cached_property
    def confounder(self) -> list[NDArray[np.float64]]:
        """Outlines of what was planted, px."""
        return read_truth(self.path, "Confounder")

    def shares(self, xy: NDArray[np.int64], side: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N,) share of each patch that is tumour, and that is confounder."""
        return tumour_fraction(self.foci, xy, side), tumour_fraction(self.confounder, xy, side)


def make_slides(work: Path, seed: int, confounder: str, amounts: Amounts, hidden: float = 0.0) -> list[MadeSlide]:
    """Make the slides of a seed that are not there yet, and store their features in ``work/features``."""
    folder = work / f"{confounder}-{amounts.size}px-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    made, number = [], FIRST_SEED + 1000 * seed
    for part, each in amounts.parts.items():
        for row in range(2 * each):
            label, drawn = CLASSES[row % 2], number
            planted = confounder if part == "fresh" or label == TUMOUR else None
            shown = label
            if part != "fresh" and label == TUMOUR and row // 2 < round(hidden * each):
                shown, drawn = NORMAL, number + HIDDEN
            path = folder / f"{part}-{label}-{row // 2:02}{'' if shown == label else '-hidden'}.tiff"
            if not path.exists():
                ws.make_sample_slide(path, kind=shown, seed=drawn, size=amounts.size, confounder=planted)  # type: ignore[arg-type]
            ws.extract(path, work / "features")
            made.append(MadeSlide(path, part, label, drawn))
            number += 1
    return made


def without_confounder(slides: list[MadeSlide], work: Path, amounts: Amounts) -> list[MadeSlide]:
    """The fresh slides once more, but for the confounder the same."""
    made = []
    for slide in slides:
        if slide.part == "fresh":
            path = slide.path.with_stem(f"{slide.name}-plain")
            if not path.exists():
                ws.make_sample_slide(path, kind=slide.label, seed=slide.seed, size=amounts.size)  # type: ignore[arg-type]
            ws.extract(path, work / "features")
            made.append(MadeSlide(path, "fresh", slide.label, slide.seed))
    return made


def write_manifest(path: Path, slides: list[MadeSlide]) -> Path:
    """A manifest of the slides for `ws.train`; fresh ones are its test slides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["slide", "label", "split"])
        writer.writerows([slide.path, slide.label, "test" if slide.part == "fresh" else slide.part] for slide in slides)
    return path
