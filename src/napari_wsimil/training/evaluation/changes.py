"""What a fine-tuning changed, as tables of words for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.training.fine_tuning.before_after import BeforeAfter, SlideChange

Row = list[str]


def changes(folder: Path) -> dict[str, Any] | None:
    """Sentence and tables (heading, column heads, rows; all but the first column numbers) of a run; None where it was none.

    Raises
    ------
    TrainingError
        What the run left is damaged.
    """
    # fine-tuning imports the report
    from napari_wsimil.training.fine_tuning.before_after import read_before_after

    found = read_before_after(folder)
    if found is None:
        return None
    tables = [_figures(found), _slides(found), _regions(found)]
    return {"sentences": found.sentences(), "tables": [table for table in tables if table["rows"]]}


def _figures(found: BeforeAfter) -> dict[str, Any]:
    from napari_wsimil.training.fine_tuning.before_after import FIGURES

    rows = [[title, number(found.metrics_before[name]), number(found.metrics_after[name])] for name, title in FIGURES.items()]
    heading = f"On {found.judged} validation slides"
    return {"heading": heading, "heads": ["Figure", "Before", "After"], "rows": rows if found.judged else []}


def _slides(found: BeforeAfter) -> dict[str, Any]:
    rows = [
        [slide.name, slide.label or "no label", *_answers(found, slide), number(slide.wrong_before), number(slide.wrong_after)]
        for slide in found.corrected
    ]
    shown = found.positive_class or "the most probable class"
    heads = ["Slide", "Label", f"{shown}, before", "After", "Attention on wrong places, before", "After"]
    return {"heading": "On the corrected slides", "heads": heads, "rows": rows}


def _answers(found: BeforeAfter, slide: SlideChange) -> Row:
    """The probability of the positive class, or the most probable class with its own, before and after."""
    if found.positive_class is not None:
        return [number(answer[found.positive_class]) for answer in (slide.before, slide.after)]
    best = [max(answer, key=answer.__getitem__) for answer in (slide.before, slide.after)]
    return [f"{name} {number(answer[name])}" for name, answer in zip(best, (slide.before, slide.after), strict=True)]


def _regions(found: BeforeAfter) -> dict[str, Any]:
    rows = [[one.slide, one.name, str(one.patches), f"{one.before:.0%}", f"{one.after:.0%}"] for one in found.regions]
    heads = ["Slide", "Marked as", "Patches", "Agree, before", "After"]
    return {"heading": "In the marked regions", "heads": heads, "rows": rows}


def number(value: float | None) -> str:
    """A figure in words; a dash for what is not known."""
    return "–" if value is None else f"{value:.3f}"
