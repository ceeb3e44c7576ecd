"""One line about the slides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_wsimil.training.data.drafting.checking import Examination
    from napari_wsimil.training.data.drafting.draft import Draft


def counts_text(draft: Draft) -> str:
    """For example "24 slides · 20 patients · 2 classes · 3 left out · from slides.csv"; "" of an empty draft without a file."""
    used = [row for row in draft.rows if row.used]
    out = len(draft.rows) - len(used)
    parts = [
        _some(len(used), "slide"),
        _some(len({row.who for row in used}), "patient"),
        f"{len(draft.classes):,} class{'es' * (len(draft.classes) != 1)}",
    ]
    parts = parts if draft.rows else []
    if out:
        parts.append(f"{out:,} left out")
    if draft.manifest is not None:
        parts.append(f"from {draft.manifest.name}" + (", changed" if draft.changed else ""))
    return " · ".join(parts)


def checking_text(draft: Draft, found: Examination | None) -> str:
    """What a check is about."""
    if not draft.rows:
        return counts_text(draft)
    if found is None or not found.total:
        return f"Checking {_some(len(draft.rows), 'slide')} …"
    if found.done < found.total:
        return f"Looking at the files: {found.done:,} of {found.total:,} …"
    return f"Dealing {_some(len(draft.rows), 'slide')} out to training, validation and test …"


def _some(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
