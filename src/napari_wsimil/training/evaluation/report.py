"""One page that tells how an evaluation or a training ended: a single HTML file without scripts and without links."""

from __future__ import annotations

import base64
import csv
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil import __version__
from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_whole
from napari_wsimil.training.evaluation.changes import changes
from napari_wsimil.training.evaluation.figures import TITLES
from napari_wsimil.training.runs.run_folder import MANIFEST, METRICS, MODEL, PLOTS, PREDICTIONS, REPORT, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TEMPLATE = Path(__file__).with_name("report.html.jinja")
SLIDES_SHOWN = 200
CARDS = ("roc_auc", "balanced_accuracy", "sensitivity", "specificity", "f1_macro", "accuracy")
"""Figures in large type; there are four at most."""
CURVES = {
    "roc": "ROC curve",
    "precision_recall": "Precision-recall curve",
    "confusion_matrix": "Confusion matrix",
    "reliability": "Reliability diagram",
}
_PATCH_TITLES = {
    "roc_auc": "ROC AUC, all patches together",
    "average_precision": "Average precision, all patches together",
    "slide_roc_auc": "ROC AUC, mean of the slides",
}
_SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def write_report(folder: Path) -> Path:
    """Write `report.html` from what `write_evaluation` and the run left in `folder`; returns its path.

    Raises
    ------
    TrainingError
        There is no evaluation in the folder, a file of it is damaged, or the page can't be written.
    """
    from jinja2 import Environment, StrictUndefined, TemplateError

    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(TEMPLATE.read_text(encoding="utf-8"))
    try:
        text = page.render(**_content(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TemplateError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(f"The evaluation in {folder} is damaged ({error}); evaluate the model again.") from error
    try:
        with written_whole(folder / REPORT) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TrainingError(
            f"{folder / REPORT} can't be written ({error.strerror or error}); free it and try again."
        ) from error
    return folder / REPORT


def _content(folder: Path) -> dict[str, Any]:
    """What the template shows, in words."""
    if not (folder / METRICS).is_file():
        raise TrainingError(
            f"There is no evaluation in {folder}: {METRICS} is missing; evaluate a model into this folder first."
        )
    metrics = _json(folder / METRICS)
    settings = _json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    settings = {**settings.pop("identity", {}), **settings}
    versions, notices = settings.pop("versions", {}), settings.pop("notices", [])
    if settings.get("parameters") == settings.get("hyper-parameters"):
        settings.pop("parameters", None)
    if not metrics["cases"]:
        return {**_unjudged(folder, settings, metrics), "changes": changes(folder), "notices": notices, **_when()}
    cards = [_row(TITLES[name], metrics["figures"][name]) for name in CARDS if name in metrics["figures"]]
    heads, slides, left_out = _slides(folder / PREDICTIONS)
    described = {**CURVES, "confusion_matrix": _in_words(metrics)}
    pictures = [_picture(folder, name, alt) for name, alt in described.items()]
    tables = [("Settings", list(_flat(settings))), ("Versions", list(_flat(versions)))]
    return {
        "title": _title(folder, settings, metrics),
        "judged": True,
        "changes": changes(folder),
        "summary": _summary(metrics),
        "notices": notices,
        "level": f"{metrics['interval']['level']:.0%}".replace("%", " %"),
        "cards": cards[:4],
        "figures": _table(metrics["figures"], TITLES, metrics.get("validation", {}).get("figures", {})),
        "how": f"Intervals: {metrics['interval']['method']}, {metrics['interval']['draws']:,} draws.",
        "pictures": [picture for picture in pictures if picture],
        "class_heads": ["Class", "Slides", "Predicted", "Precision", "Sensitivity", "F1", "ROC AUC", "Average precision"],
        "class_rows": [_class_row(about) for about in metrics["per_class"]],
        "calibration": _calibration(metrics["calibration"]),
        "instances": _instances(metrics.get("instances")),
        "slide_heads": heads,
        "slides": slides,
        "left_out": left_out,
        "trained": _trained(metrics.get("training")),
        "training": _picture(folder, "training", "Losses and validation figures of every epoch"),
        "data": _data(folder / MANIFEST),
        "tables": [table for table in tables if table[1]],
        **_when(),
    }


def _when() -> dict[str, str]:
    return {"version": __version__, "made": datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")}


def _unjudged(folder: Path, settings: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Of a model that no slide with a label judges."""
    return {
        "title": _title(folder, settings, metrics),
        "judged": False,
        "summary": "No slide with a label judges this model: nothing here says how good it is.",
        "trained": _trained(metrics.get("training")),
        "training": None,
        "data": _data(folder / MANIFEST),
        "tables": [("Settings", list(_flat(settings)))],
    }


def _title(folder: Path, settings: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """What people call the model that was trained here or, from elsewhere, measured here."""
    own = folder / MODEL / "model.json"
    spec = _json(own) if own.is_file() else {}
    measured = metrics.get("model", {}).get("id")
    named = settings.get("title") or spec.get("title") or spec.get("id")
    return str(named or f"Evaluation of {measured or folder.resolve().name}")


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise TypeError(f"{path.name} holds no table")
    return found


def _summary(metrics: Mapping[str, Any]) -> str:
    split = _SPLITS.get(metrics["split"], metrics["split"])
    each = ", ".join(f"{count} {name}" for name, count in metrics["counts"].items())
    patients = "" if metrics["patients"] is None else f" of {metrics['patients']} patients"
    about = "" if metrics["positive_class"] is None else f" The positive class is {metrics['positive_class']}."
    return f"{metrics['cases']} {split} slides{patients}: {each}.{about}"


def _row(title: str, figure: Mapping[str, Any]) -> dict[str, str]:
    """A figure in words; a dash stands for what is not defined."""
    if figure["value"] is None:
        return {"title": title, "value": "–", "interval": "", "note": figure["reason"] or ""}
    told = figure["low"] is not None and figure["low"] < figure["high"]
    interval = f"{figure['low']:.3f} to {figure['high']:.3f}" if told else ""
    return {"title": title, "value": f"{figure['value']:.3f}", "interval": interval, "note": figure["reason"] or ""}


def _table(
    figures: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str], beside: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Rows in words, what is said of some of them as numbered notes, and the same figures of other slides beside them."""
    rows = [_row(titles[name], figure) for name, figure in figures.items()]
    notes = list(dict.fromkeys(row["note"] for row in rows if row["note"]))
    for name, row in zip(figures, rows, strict=True):
        row["mark"] = str(notes.index(row["note"]) + 1) if row["note"] else ""
        row["beside"] = _row("", beside[name])["value"] if name in beside else ""
    return {"rows": rows, "notes": notes, "beside": bool(beside)}


def _class_row(about: Mapping[str, Any]) -> list[str]:
    figures = (about[name] for name in ("precision", "recall", "f1", "roc_auc", "average_precision"))
    numbers = ("–" if figure is None else f"{figure:.3f}" for figure in figures)
    return [about["class"], str(about["cases"]), str(about["predicted"]), *numbers]


def _in_words(metrics: Mapping[str, Any]) -> str:
    """The confusion matrix for those who can't see it."""
    rows = [
        f"of {sum(counts)} {name} "
        + ", ".join(f"{count} predicted {told}" for count, told in zip(counts, metrics["classes"], strict=True))
        for name, counts in zip(metrics["classes"], metrics["confusion_matrix"], strict=True)
    ]
    return "Confusion matrix: " + "; ".join(rows)


def _calibration(about: Mapping[str, Any]) -> list[str]:
    """Sentences on the fit, and on what it did for these slides."""
    fit, told = about["fit"], about["figures"]
    if fit is None:
        sentences = ["The probabilities are as the model gives them: it was not calibrated."]
    elif fit["method"] == "none":
        sentences = [f"The probabilities are as the model gives them: it could not be calibrated. {fit['note']}"]
    else:
        way = "too sure of itself" if fit["temperature"] > 1 else "not sure enough"
        sentences = [
            f"Calibrated on {fit['cases']} validation slides with a temperature of {fit['temperature']:.2f}: the model was "
            f"{way}. {fit['note']}".strip()
        ]
    for name, found in told.items():
        sentences.append(
            f"Expected calibration error, {name}: {found['ece']:.3f} in {found['bins']} bins of equal width, "
            f"{found['ece_equal_mass']:.3f} in bins of as many slides each."
        )
    first = next(iter(told.values()))
    sentences.append(
        f"Few slides show an error even where every probability is right: with perfect calibration these {first['cases']} "
        f"slides would show {first['chance']:.3f} on average, and more than {first['chance_high']:.3f} in one of twenty sets."
    )
    return sentences


def _trained(about: Mapping[str, Any] | None) -> str:
    """How long it was trained, and which epoch was taken."""
    if not about or "best_epoch" not in about:
        return ""
    ended = ", when later ones had brought no gain for long" if about.get("stopped") == "patience" else ""
    return f"The model is that of epoch {about['best_epoch']} of {about['epochs']}{ended}, the best on the validation slides."


def _instances(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not found:
        return None
    summary = f"{found['patches']:,} labelled patches of {found['slides']} slides, {found['positive']:,} of them positive."
    return {"summary": summary, "table": _table(found["figures"], _PATCH_TITLES, {})}


def _slides(path: Path) -> tuple[list[str], list[dict[str, Any]], str]:
    """Headings, rows with the least probability of the true class first, and what is said of those left out."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(float(row[f"prob_{row['label']}"]), row) for row in csv.DictReader(file)]
    rows.sort(key=lambda pair: pair[0])
    columns = [name for name in ("slide", "patient", "label", "predicted") if not rows or name in rows[0][1]]
    words = {"slide": "Slide", "patient": "Patient", "label": "True class", "predicted": "Predicted"}
    shown = [
        {"texts": [row[name] for name in columns], "probability": f"{value:.3f}", "wrong": row["correct"] == "0"}
        for value, row in rows[:SLIDES_SHOWN]
    ]
    more = len(rows) - len(shown)
    left_out = f"{more:,} more slides, all with a higher probability of the true class, are in {PREDICTIONS}." if more else ""
    return [*(words[name] for name in columns), "Probability of the true class"], shown, left_out


def _data(path: Path) -> dict[str, Any] | None:
    """Slides of each class and patients, split by split, from the manifest with the split that was used."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["label"] for row in rows})
    table = []
    for split in dict.fromkeys([name for name in _SPLITS if any(row["split"] == name for row in rows)]):
        own = [row for row in rows if row["split"] == split]
        counts = Counter(row["label"] for row in own)
        patients = {row["patient"] for row in own}
        table.append([_SPLITS[split], len(own), len(patients), *(counts[name] for name in classes)])
    return (
        {"heads": ["Split", "Slides", "Patients", *(name or "no label" for name in classes)], "rows": table} if table else None
    )


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, str]]:
    """Name -> text, tables within tables with their names joined."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}: ")
        elif isinstance(value, list) and not any(isinstance(item, dict) for item in value):
            yield f"{above}{name}", _joined(value)
        else:
            yield f"{above}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _joined(values: Sequence[Any]) -> str:
    return ", ".join(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values)


def _picture(folder: Path, name: str, alt: str) -> dict[str, str] | None:
    """A plot as a data address; None where there is no such plot."""
    path = folder / PLOTS / f"{name}.svg"
    if not path.is_file():
        return None
    return {"data": f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}", "alt": alt}
