"""Numbers and progress in the words that the dock shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wsimil.inference import Progress, SlidePrediction


def share(value: float) -> str:
    """A probability as a percentage that never rounds to certainty."""
    percent = 100 * value
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "11 s", "2 min 5 s", "1 h 4 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


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


def cost_text(prediction: SlidePrediction) -> str:
    """How much was done, for example "1,400 patches in 14 s on the CPU"."""
    count = sum(len(scores) for scores in prediction.attention.values())
    text = f"{count:,} patch{'' if count == 1 else 'es'}"
    seconds, device = prediction.provenance.get("seconds"), prediction.provenance.get("device")
    if isinstance(seconds, dict):
        seconds = seconds.get("total")
    if isinstance(seconds, int | float):
        text += f" in {duration(seconds)}"
    if device:
        text += " on the GPU" if str(device).startswith(("cuda", "mps")) else " on the CPU"
    return text


def calibration_text(prediction: SlidePrediction) -> list[str]:
    """A line that says so where the probabilities were calibrated; none where they are as the model gave them."""
    found = prediction.provenance.get("calibration")
    return [f"Probabilities calibrated on {found['cases']:,} slides"] if found else []


def mpp_text(mpp: tuple[float, float] | None, source: str | None) -> str:
    """The pixel size and where it is from."""
    if mpp is None:
        return "not known"
    size = f"{mpp[0]:.4g} µm" if abs(mpp[0] - mpp[1]) < 1e-3 * mpp[0] else f"{mpp[0]:.4g} x {mpp[1]:.4g} µm"
    return f"{size} (typed in)" if source == "user" else f"{size} (from the file)"
