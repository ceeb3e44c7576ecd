"""Numbers and progress in the words that the dock shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.exports.words import calibration_text, cost_text, duration, saving_text, share

if TYPE_CHECKING:
    from napari_wsimil.inference import Progress

__all__ = ["calibration_text", "cost_text", "duration", "mpp_text", "progress_text", "saving_text", "share"]


def progress_text(progress: Progress) -> str:
    """For example "Reading and encoding patches: 320 of 1,400 · 95 patches/s · 11 s left"."""
    count = f": {progress.done:,} of {progress.total:,}" if progress.total else ""
    parts = []
    if progress.rate:
        parts.append(f"{progress.rate:.0f} patches/s" if progress.rate >= 1 else f"{progress.rate:.1f} patches/s")
    if progress.seconds_left is not None and progress.done < progress.total:
        parts.append(f"{duration(progress.seconds_left)} left")
    # A line may break between the parts, not between a number and its unit.
    return " · ".join([progress.stage + count, *(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)])


def mpp_text(mpp: tuple[float, float] | None, source: str | None) -> str:
    """The pixel size and where it is from."""
    if mpp is None:
        return "not known"
    size = f"{mpp[0]:.4g} µm" if abs(mpp[0] - mpp[1]) < 1e-3 * mpp[0] else f"{mpp[0]:.4g} x {mpp[1]:.4g} µm"
    return f"{size} (typed in)" if source == "user" else f"{size} (from the file)"


def unbroken(text: str) -> str:
    """The same text, which no line breaks between a number and its unit."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace(" µm/px", "\N{NO-BREAK SPACE}µm/\N{WORD JOINER}px")
