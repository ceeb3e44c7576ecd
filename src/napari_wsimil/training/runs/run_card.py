"""The model card of a training run: data, what it was made from, figures with intervals, settings, limits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_wsimil.mil import METHODS
from napari_wsimil.packages.privacy import private_lines
from napari_wsimil.training.evaluation.figures import TITLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.packages import ModelSpec

TUNED = {"all": "the whole network", "head": "its last layers", "adapter": "a new adapter in front of it"}
SIDES = ("test", "validation")
"""In the order in which their figures are told."""
_PLAIN = re.compile(r"(No|The|All|Polygons|\d+ drawn objects) ")
"""How remarks begin that are about the data as a whole; others begin with the slides or files that they are about."""
_FILES = re.compile(r"/(?!px)|\\|\.[A-Za-z]\w{1,7}\b")
SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def run_card(spec: ModelSpec, notices: Sequence[str] = (), slides: Sequence[str] = ()) -> str:
    """Markdown for the package of a trained model, from what its spec says.

    What names files or slides comes last, in a section that `share_model` and `push_model` leave out.

    Parameters
    ----------
    notices
        What a user should know of the features and slides it learned from.
    slides
        Names of the slides.
    """
    at_home = [notice for notice in notices if not _for_everybody(notice, slides)]
    sides = sorted(spec.metrics, key=lambda side: SIDES.index(side) if side in SIDES else len(SIDES))
    parts = [
        f"# {spec.title or spec.id}",
        _about(spec),
        "**For research, not for diagnosis.**",
        "## Data\n\n" + _data(spec),
        _tuned(spec.training),
        *[_figures(side, spec.metrics[side]) for side in sides],
        "## Calibration\n\n" + _calibration(spec),
        "## Training\n\n" + _training(spec),
        "## Limits\n\n" + _limits(spec, [notice for notice in notices if notice not in at_home]),
        _home(spec.training, at_home),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _for_everybody(notice: str, slides: Sequence[str]) -> bool:
    """Whether a remark names neither slides nor files, as far as can be told: those that begin otherwise stay at home."""
    return bool(_PLAIN.match(notice)) and not _FILES.search(notice) and not any(name in notice for name in slides)


def _about(spec: ModelSpec) -> str:
    method, training = METHODS[spec.method], spec.training
    versions = ", ".join(f"{name} {number}" for name, number in training.get("versions", {}).items())
    made = f" Made on {training['made']} with {versions}." if versions and "made" in training else ""
    return (
        f"{method.title} ({method.source}) over features of the encoder {spec.encoder.id}, {spec.patch_size}-px patches at "
        f"{', '.join(f'{mpp:g}' for mpp in spec.mpps)} µm per pixel. Classes: {', '.join(spec.classes)}.{made}"
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _data(spec: ModelSpec) -> str:
    """Slides and patients of each split and class."""
    slides: Mapping[str, Mapping[str, int]] = spec.training.get("slides", {})
    if not slides:
        return "Not recorded."
    totals: Mapping[str, Mapping[str, Any]] = spec.training.get("totals", {})
    silent = any(about.get("without_label") for about in totals.values())
    patients = any(about.get("patients") is not None for about in totals.values())
    heads = ["split", "slides", *(["patients"] if patients else []), *spec.classes, *(["no label"] if silent else [])]
    rows = []
    for side, counts in slides.items():
        of_classes = [counts.get(name, 0) for name in spec.classes]
        about = totals.get(side, {})
        row = [SPLITS.get(side, side), about.get("slides", sum(of_classes)), *([about.get("patients", 0)] if patients else [])]
        rows.append([*row, *of_classes, *([about.get("without_label", 0)] if silent else [])])
    note = "" if patients else "\n\nThe manifest names no patients: slides of one patient may stand in different splits."
    return _table(heads, rows) + note


def _tuned(training: Mapping[str, Any]) -> str:
    """What a fine-tuned model was before, and what it learned from; "" for a new model."""
    base: Mapping[str, Any] = training.get("fine_tuned_from", {})
    if not base:
        return ""
    regions: Mapping[str, int] = training.get("regions", {})
    marks = ", ".join(f"{name.replace('!', 'not ', 1)} {count}" for name, count in regions.items())
    slides: Mapping[str, Mapping[str, int]] = base.get("training", {}).get("slides", {})
    learned = sum(slides.get("train", {}).values())
    lines = [
        f"- from the model {base.get('id', 'unknown')} ({base.get('digest', 'unknown')})"
        + (f", which had learned from {_count(learned, 'slide')}" if learned else ""),
        f"- what changed: {TUNED.get(training.get('tune', ''), 'unknown')}"
        + (f", {training['numbers_changed']:,} of {training['numbers']:,} numbers" if "numbers_changed" in training else ""),
        f"- from the labels of {_count(training.get('labelled_slides', 0), 'slide')}"
        if training.get("learn_from") != "polygons"
        else "",
        f"- from {_count(sum(regions.values()), 'marked region')} on {_count(training.get('annotated_slides', 0), 'slide')}: "
        f"{marks}"
        if regions
        else "",
        f"- mixed with {_count(training.get('rehearsal_slides', 0), 'slide')} shown again, so that nothing is forgotten"
        if training.get("rehearsal_slides")
        else "- mixed with no old slides: it may do worse on what it knew before",
    ]
    return "## Fine-tuned\n\n" + "\n".join(filter(None, lines))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _figures(side: str, found: Mapping[str, Any]) -> str:
    rows, unknown = [], []
    for name, title in TITLES.items():
        figure = found["figures"].get(name)
        if figure is None:
            continue
        if figure["value"] is None:
            unknown.append(f"{title} is not defined here. {figure.get('reason') or ''}".strip())
            continue
        interval = (
            "" if figure["low"] is None or figure["low"] == figure["high"] else f"{figure['low']:.3f} to {figure['high']:.3f}"
        )
        rows.append([title, f"{figure['value']:.3f}", interval])
    each = ", ".join(f"{count} {name}" for name, count in found.get("counts", {}).items())
    head = f"## Figures on {_count(found['cases'], f'{SPLITS.get(side, side)} slide')}"
    return "\n\n".join(filter(None, [head, each and f"{each}.", _table(["figure", "value", "95 % interval"], rows), *unknown]))


def _calibration(spec: ModelSpec) -> str:
    fit = spec.calibration
    if fit is None or not fit.scales:
        return fit.note if fit is not None and fit.note else "Probabilities are as the network gives them."
    way = "softened" if fit.temperature >= 1 else "sharpened"
    told = f"Probabilities are {way} with a temperature of {fit.temperature:.3g}, fitted on {fit.cases} validation slides"
    if fit.ece_before is not None and fit.ece_after is not None:
        told += f" (expected calibration error there {fit.ece_before:.3f} before, {fit.ece_after:.3f} after)"
    return f"{told}. {fit.note}".strip()


def _training(spec: ModelSpec) -> str:
    about = spec.training
    lines = []
    if "best_epoch" in about:
        lines.append(f"- best of {about['epochs']} epochs by the validation slides: {about['best_epoch']}")
    for given in (spec.parameters, about.get("settings", {})):
        lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in given.items() if value not in ("", None)]
    return "\n".join(lines) or "Not recorded."


def _limits(spec: ModelSpec, notices: Sequence[str]) -> str:
    cases = spec.metrics.get("test", {}).get("cases", 0)
    judged = bool(spec.metrics)
    lines = [
        "Meant for research on slides like those above; other scanners, stains, hospitals and patients may do worse.",
        f"The figures come from {_count(cases, 'test slide')}, looked at once."
        if cases
        else "There were no test slides: these figures flatter."
        if judged
        else "There were no slides to measure it on: how good it is, nobody knows.",
        *notices,
    ]
    return "\n".join(f"- {line}" for line in lines)


def _home(training: Mapping[str, Any], notices: Sequence[str]) -> str:
    """Where everything lies, and what names slides; "" where there is nothing of the kind."""
    rows = {
        "manifest": training.get("manifest", {}).get("path"),
        "run": training.get("run"),
        "fine-tuned from": training.get("fine_tuned_from", {}).get("source"),
        "command": training.get("command") and f"`{training['command']}`",
    }
    lines = [*(f"- {name}: {value}" for name, value in rows.items() if value), *(f"- {notice}" for notice in notices)]
    head = "## On this computer\n\nLeft out when the model is shared."
    return private_lines(f"{head}\n\n" + "\n".join(lines)) if lines else ""
