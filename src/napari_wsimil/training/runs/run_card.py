"""The model card of a training run: data, figures with intervals, settings, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_wsimil.mil import METHODS
from napari_wsimil.training.evaluation.figures import TITLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.packages import ModelSpec


def run_card(spec: ModelSpec, notices: Sequence[str] = ()) -> str:
    """Markdown for the package of a trained model, from what its spec says.

    Parameters
    ----------
    notices
        What a user should know of the features it learned from.
    """
    method = METHODS[spec.method]
    parts = [
        f"# {spec.title or spec.id}",
        f"{method.title} ({method.source}) over features of the encoder {spec.encoder.id}, {spec.patch_size}-px patches at "
        f"{', '.join(f'{mpp:g}' for mpp in spec.mpps)} µm per pixel. Classes: {', '.join(spec.classes)}.",
        "**For research, not for diagnosis.**",
        "## Data\n\n" + _table(["split", *spec.classes], _counts(spec)),
        *[_figures(side, found) for side, found in spec.metrics.items()],
        "## Calibration\n\n" + _calibration(spec),
        "## Training\n\n" + _training(spec),
        "## Limits\n\n" + _limits(spec, notices),
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _counts(spec: ModelSpec) -> list[list[Any]]:
    slides: Mapping[str, Mapping[str, int]] = spec.training.get("slides", {})
    return [[side, *(counts.get(name, 0) for name in spec.classes)] for side, counts in slides.items()]


def _figures(side: str, found: Mapping[str, Any]) -> str:
    rows = []
    for name, title in TITLES.items():
        figure = found["figures"].get(name)
        if figure is None or figure["value"] is None:
            continue
        interval = "" if figure["low"] is None else f"{figure['low']:.3f} to {figure['high']:.3f}"
        rows.append([title, f"{figure['value']:.3f}", interval])
    return f"## Figures on {found['cases']} {side} slides\n\n" + _table(["figure", "value", "95 % interval"], rows)


def _calibration(spec: ModelSpec) -> str:
    fit = spec.calibration
    if fit is None or not fit.scales:
        return fit.note if fit is not None and fit.note else "Probabilities are as the network gives them."
    told = f"Probabilities are softened with a temperature of {fit.temperature:.3g}, fitted on {fit.cases} validation slides"
    if fit.ece_before is not None and fit.ece_after is not None:
        told += f" (expected calibration error there {fit.ece_before:.3f} before, {fit.ece_after:.3f} after)"
    return f"{told}. {fit.note}".strip()


def _training(spec: ModelSpec) -> str:
    about = spec.training
    settings: Mapping[str, Any] = about.get("settings", {})
    lines = [f"- {name.replace('_', ' ')}: {value}" for name, value in settings.items()]
    if "best_epoch" in about:
        lines.insert(0, f"- best of {about['epochs']} epochs by the validation slides: {about['best_epoch']}")
    if about.get("command"):
        lines.append(f"- command: `{about['command']}`")
    return "\n".join(lines) or "Not recorded."


def _limits(spec: ModelSpec, notices: Sequence[str]) -> str:
    cases = spec.metrics.get("test", {}).get("cases", 0)
    lines = [
        "The figures hold for slides like those above: other scanners, stains, hospitals and patients may do worse.",
        f"They come from {cases} test slides, looked at once."
        if cases
        else "There were no test slides: these figures flatter.",
        *notices,
    ]
    return "\n".join(f"- {line}" for line in lines)
