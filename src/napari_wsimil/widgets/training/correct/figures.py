"""Before and after in a small table and few sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.widgets.words import share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.training.fine_tuning.before_after import BeforeAfter, RegionChange, SlideChange

Line = tuple[str, str, str]
UNKNOWN = "–"


def table_of(before: Mapping[str, float], after: Mapping[str, float], found: BeforeAfter | None) -> list[Line]:
    """What, before, after.

    Parameters
    ----------
    before, after
        Class -> probability of the open slide; empty where it was not predicted.
    found
        What the fine-tuning wrote, or None.
    """
    lines = [(f"This slide: {name}", share(value), share(after[name])) for name, value in before.items() if name in after]
    if found is None:
        return lines
    if found.regions:
        lines.append(("Marked patches that agree", *_agreeing(found.regions)))
    wrong = [one for one in found.corrected if one.wrong_before is not None and one.wrong_after is not None]
    if wrong:
        means = [sum(getattr(one, side) for one in wrong) / len(wrong) for side in ("wrong_before", "wrong_after")]
        lines.append(("Attention where it was marked wrong", share(means[0]), share(means[1])))
    for name, words in (("roc_auc", "AUC"), ("balanced_accuracy", "Balanced accuracy")):
        values = [metrics.get(name) for metrics in (found.metrics_before, found.metrics_after)]
        if any(value is not None for value in values):
            first, second = (UNKNOWN if value is None else f"{value:.3f}" for value in values)
            lines.append((f"{words}, {found.judged:,} other slides", first, second))
    return lines


def words_of(found: BeforeAfter | None) -> str:
    """Which slides are of another class now, and what could not be judged."""
    if found is None:
        return "The run left no comparison of other slides behind."
    turned = [text for one in found.slides if (text := _turned(one))]
    parts = ["Changed class: " + "; ".join(turned) + "." if turned else "No slide changed its class."]
    if not found.judged:
        parts.append("No other slides judged: look at some yourself before you keep it.")
    return " ".join(parts)


def _agreeing(regions: Sequence[RegionChange]) -> tuple[str, str]:
    count = sum(one.patches for one in regions)
    shares = [sum(one.patches * getattr(one, side) for one in regions) / max(count, 1) for side in ("before", "after")]
    return share(shares[0]), share(shares[1])


def _turned(one: SlideChange) -> str:
    before, after = (max(side, key=lambda name: side[name]) for side in (one.before, one.after))
    if before == after:
        return ""
    verdict = (
        "" if one.label is None else " (now right)" if after == one.label else " (now wrong)" if before == one.label else ""
    )
    return f"{one.name} from {before} to {after}{verdict}"
