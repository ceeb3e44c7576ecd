"""Numbers and results in the words that people read: in the window, in figures and in reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_wsimil.inference.prediction import SlidePrediction


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


def decision_mark(prediction: SlidePrediction) -> float | None:
    """From which probability a class is the answer: one half of two classes; None of more, where the largest is."""
    return 0.5 if len(prediction.probabilities) == 2 else None


def decision_text(prediction: SlidePrediction) -> str:
    """How the answer follows from the probabilities, in words."""
    mark = decision_mark(prediction)
    if mark is None:
        return f"Answer: {prediction.predicted_class}, the most probable of {len(prediction.probabilities)} classes"
    return f"Answer: {prediction.predicted_class} (above the threshold of {100 * mark:.0f} %)"


def cost_text(prediction: SlidePrediction) -> str:
    """How much was done, for example "1,323 of 1,323 patches encoded in 14 s on the CPU".

    Patches whose features were stored before were not encoded again, and those that the model did not ask for not at all.
    """
    seconds, device = prediction.provenance.get("seconds"), prediction.provenance.get("device")
    if isinstance(seconds, dict):
        seconds = seconds.get("total")
    known, encoded = _counts(prediction, "counts"), _counts(prediction, "encoded")
    count = sum(known.values()) or sum(len(scores) for scores in prediction.attention.values())
    done, looked = sum(encoded.values()), sum(_looked_at(prediction).values())
    patches = f"{count:,} patch{'' if count == 1 else 'es'}"
    text = f"{done:,} of {patches} encoded" if done else patches
    if isinstance(seconds, int | float):
        text += f" in {duration(seconds)}"
    if device:
        text += " on the GPU" if str(device).startswith(("cuda", "mps")) else " on the CPU"
    if encoded and done < looked:
        text += f"; the features of {f'{looked - done:,}' if done else 'all'} were stored before"
    return text


def saving_text(prediction: SlidePrediction) -> str:
    """What a model saved that looks closer only where it must; "" of one that looks at all patches."""
    known, looked = _counts(prediction, "counts"), _looked_at(prediction)
    finest = min(known, default=0.0)
    if not looked or not known or sum(looked.values()) >= sum(known.values()):
        return ""
    all_fine, seen = known[finest], sum(looked.values())
    if seen >= all_fine:
        return ""
    return f"It looked at {seen:,} patches instead of all {all_fine:,} at {finest:g} µm/px: 1 in {all_fine / seen:.3g}"


def _counts(prediction: SlidePrediction, what: str) -> dict[float, int]:
    """Mpp -> number of patches, as the job noted it."""
    found = prediction.provenance.get("patches", {}).get(what)
    return {float(mpp): int(count) for mpp, count in found.items()} if isinstance(found, dict) else {}


def _looked_at(prediction: SlidePrediction) -> dict[float, int]:
    """Mpp -> number of patches that the model looked at."""
    return {mpp: len(scores) for mpp, scores in (prediction.attention or prediction.instances).items()}


def calibration_text(prediction: SlidePrediction) -> str:
    """Whether the probabilities were calibrated, on how much, and what they were before."""
    found = prediction.provenance.get("calibration")
    if not found:
        return "Probabilities not calibrated"
    before = found.get("before", {}).get(prediction.predicted_class)
    was = f"; {share(before)} before" if isinstance(before, int | float) else ""
    return f"Probabilities calibrated on {found['cases']:,} slides{was}"
