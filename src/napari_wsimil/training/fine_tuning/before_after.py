"""What a fine-tuning changed: slides, marked regions and figures, before and after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BEFORE_AFTER = "before_after.json"
FIGURES = {"roc_auc": "ROC AUC", "balanced_accuracy": "Balanced accuracy"}
"""Figure -> its name for people."""


@dataclass(frozen=True)
class SlideChange:
    """One slide.

    Attributes
    ----------
    name, label
        As in the manifest; the label is None where it is not known.
    split
        "corrected": what was learned from; "validation": what judges.
    before, after
        Class -> probability, as a prediction with the package says it.
    wrong_before, wrong_after
        Share of the attention on patches that were marked as not of the slide's class (of the positive class where no label is
        known); None where none is marked so, or the method has no attention.
    """

    name: str
    label: str | None
    split: str
    before: Mapping[str, float]
    after: Mapping[str, float]
    wrong_before: float | None = None
    wrong_after: float | None = None


@dataclass(frozen=True)
class RegionChange:
    """One marked region.

    Attributes
    ----------
    slide
        Its name.
    name
        Of the region, as drawn.
    number
        Which region of the slide's annotation file it is, from 0.
    patches
        How many patches it teaches.
    before, after
        Share of them that agree with the mark: the most probable class is one that they may be of.
    """

    slide: str
    name: str
    number: int
    patches: int
    before: float
    after: float


@dataclass(frozen=True)
class BeforeAfter:
    """All that a fine-tuning changed.

    Attributes
    ----------
    classes, positive_class
        Of the model.
    slides
        The corrected ones first.
    regions
        Marked regions that teach patches; empty where the method says nothing of single patches.
    judged
        How many validation slides `metrics_before` and `metrics_after` come from.
    metrics_before, metrics_after
        "roc_auc" and "balanced_accuracy" of the validation slides; None where they can't tell.
    """

    classes: tuple[str, ...]
    positive_class: str | None
    slides: tuple[SlideChange, ...]
    regions: tuple[RegionChange, ...]
    judged: int
    metrics_before: Mapping[str, float | None]
    metrics_after: Mapping[str, float | None]

    @property
    def corrected(self) -> tuple[SlideChange, ...]:
        """The slides that were learned from."""
        return tuple(slide for slide in self.slides if slide.split == "corrected")

    def sentences(self) -> list[str]:
        """What changed, in plain words."""
        told = []
        agree = self.agreement()
        if agree is not None:
            before, after = agree
            told.append(f"Of the marked patches {before:.0%} agreed with their mark before, {after:.0%} do now.")
        for slide in self.corrected[:5]:
            told.append(f"{slide.name}: {self._answer(slide.before)} before, {self._answer(slide.after)} now.")
        if self.judged:
            figures = [
                f"{title} {self.metrics_before[name]:.3f} before, {self.metrics_after[name]:.3f} now"
                for name, title in FIGURES.items()
                if self.metrics_before[name] is not None and self.metrics_after[name] is not None
            ]
            told.append(f"On {self.judged} validation slides: {'; '.join(figures) or 'no figure can be told'}.")
        else:
            told.append("No other slide judges the model: look at its predictions before you keep it.")
        return told

    def agreement(self) -> tuple[float, float] | None:
        """Share of all marked patches that agree with their mark, before and after; None where none is marked."""
        count = sum(region.patches for region in self.regions)
        if not count:
            return None
        before = sum(region.before * region.patches for region in self.regions)
        return before / count, sum(region.after * region.patches for region in self.regions) / count

    def _answer(self, answer: Mapping[str, float]) -> str:
        shown = self.positive_class or max(answer, key=answer.__getitem__)
        return f"{shown} {answer[shown]:.1%}"

    def save(self, folder: Path) -> Path:
        """Write `before_after.json`, whole or not at all."""
        path = folder / BEFORE_AFTER
        with written_whole(path) as part:
            part.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def read_before_after(folder: Path) -> BeforeAfter | None:
    """Read what `BeforeAfter.save` wrote into the folder of a run; None where there is nothing yet.

    Raises
    ------
    TrainingError
        The file is damaged.
    """
    path = folder / BEFORE_AFTER
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return BeforeAfter(
            **{
                **_known(BeforeAfter, found),
                "classes": tuple(found["classes"]),
                "slides": tuple(SlideChange(**_known(SlideChange, one)) for one in found["slides"]),
                "regions": tuple(RegionChange(**_known(RegionChange, one)) for one in found["regions"]),
            }
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} is damaged ({error}); fine-tune again into a new folder.") from error


def _known(kind: type, found: Mapping[str, Any]) -> dict[str, Any]:
    """Entries that this version knows: a newer one may write more."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in found.items() if name in names}
