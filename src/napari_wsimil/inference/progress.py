"""How far a job is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.inference.prediction import PatchScores


@dataclass(frozen=True)
class Provisional:
    """Attention over the patches that are encoded so far, while the rest is still being encoded.

    Attributes
    ----------
    mpp
        Magnification at which the model looks now, µm per pixel.
    attention
        All patches of that magnification, so that its raster never changes its place: values (N,) float32 are softmaxed over
        those encoded so far, and NaN for the others.
    """

    mpp: float
    attention: PatchScores


@dataclass(frozen=True)
class Progress:
    """One report of a running job.

    Attributes
    ----------
    stage
        What is being done, in words a user reads: "Finding tissue", "Reading and encoding patches", "Running the model".
    done, total
        Patches done, and patches in all (0 while not known).
    rate
        Patches per second so far (0.0 while not known).
    seconds_left
        Estimate of what remains, None while not known.
    rates
        "read", "encode" and "write" -> patches per second that each could do alone, of late; the smallest is what limits.
        Empty while not known, and for jobs that do none of it.
    provisional
        A new provisional heatmap where one was asked for and is there, else None.
    """

    stage: str
    done: int = 0
    total: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    provisional: Provisional | None = None


WORK = ("read", "encode", "write")
"""The parts of a job, in the order of the data."""


def rates_text(rates: Mapping[str, float]) -> str:
    """For example "Read 820/s, encode 33/s (limits), write 5,000/s"; "" where nothing is known."""
    known = {what: rates[what] for what in WORK if rates.get(what, 0) > 0}
    slowest = min(known, key=lambda what: known[what]) if len(known) > 1 else ""
    parts = [f"{what} {_per_second(rate)}{' (limits)' if what == slowest else ''}" for what, rate in known.items()]
    text = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}").replace("/", "/\N{WORD JOINER}") for part in parts)
    return text[:1].upper() + text[1:]


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
