"""One page that tells how a cohort went: a single HTML file without scripts and without links."""

from __future__ import annotations

import statistics
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil import __version__
from napari_wsimil.cohorts.folder import REPORT, RESULTS, CohortFolder
from napari_wsimil.cohorts.tables import rate_of
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_wsimil.cohorts.records import Record
    from napari_wsimil.cohorts.request import Request
    from napari_wsimil.cohorts.slides import CohortSlide

TEMPLATE = Path(__file__).with_name("report.html.jinja")
MOST_FAILURES, MOST_NOTICES, SLOWEST, LEAST_SURE = 200, 50, 10, 20
"""Rows of the lists of the page; the table of results has all slides."""


def write_report(
    folder: CohortFolder,
    slides: Sequence[CohortSlide],
    records: Mapping[str, Record],
    request: Request,
    new: Iterable[str],
    seconds: float,
) -> Path:
    """Write `report.html`; returns its path.

    Parameters
    ----------
    new
        Names of the slides that the last run worked at.
    seconds
        What that run took.

    Raises
    ------
    ModuleNotFoundError
        jinja2 is not installed.
    """
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(TEMPLATE.read_text(encoding="utf-8"))
    ended = [records[slide.name] for slide in slides if slide.name in records]
    text = page.render(**_content(folder, len(slides), ended, request, set(new), seconds))
    with written_whole(folder.path / REPORT) as part:
        part.write_text(text, encoding="utf-8")
    return folder.path / REPORT


def _content(
    folder: CohortFolder, total: int, records: Sequence[Record], request: Request, new: set[str], seconds: float
) -> dict[str, Any]:
    done = [record for record in records if record.status == "done"]
    failed = [record for record in records if record.status == "failed"]
    about = folder.about() or {}
    noticed = [(record.name, notice) for record in done for notice in record.notices]
    return {
        "title": f"{'Predictions' if request.task == 'predict' else 'Features'} of {_counted(total, 'slide')}",
        "summary": _summary(request),
        "cards": _cards(total, done, failed),
        "failures": [(record.name, record.error, record.attempts) for record in failed[:MOST_FAILURES]],
        "more_failures": _more(len(failed) - MOST_FAILURES, "failures"),
        "classes": _classes(done, request),
        "unsure": _unsure(done, request),
        "speed": _speed(done, new, seconds),
        "slowest": _slowest(done),
        "again": _counted(sum(record.attempts > 1 for record in records), "slide"),
        "any_again": any(record.attempts > 1 for record in records),
        "notices": noticed[:MOST_NOTICES],
        "more_notices": _more(len(noticed) - MOST_NOTICES, "notices"),
        "settings": list(_settings(request, about, done)),
        "results": RESULTS,
        "version": __version__,
        "made": datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
    }


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _more(count: int, what: str) -> str:
    return f"{count:,} more {what} are in {RESULTS}." if count > 0 else ""


def _summary(request: Request) -> str:
    if request.model is None:
        return f"Features of encoder {request.encoder.id}."
    return f"Model {request.model.id}, classes {', '.join(request.classes)}, on features of encoder {request.encoder.id}."


def _cards(total: int, done: Sequence[Record], failed: Sequence[Record]) -> list[dict[str, Any]]:
    waiting = total - len(done) - len(failed)
    patches = sum(record.patch_count for record in done)
    cards: list[dict[str, Any]] = [
        {"title": "Done", "value": f"{len(done):,}", "note": f"of {_counted(total, 'slide')}", "bad": False},
        {"title": "Failed", "value": f"{len(failed):,}", "note": "see below" if failed else "", "bad": bool(failed)},
        {
            "title": "Patches",
            "value": f"{patches:,}",
            "note": f"{patches // len(done):,} for each slide" if done else "",
            "bad": False,
        },
    ]
    if waiting:
        cards.insert(2, {"title": "Waiting", "value": f"{waiting:,}", "note": "repeat the command to go on", "bad": True})
    return cards


def _classes(done: Sequence[Record], request: Request) -> list[dict[str, Any]]:
    """Slides of each predicted class, their share, and the median of its probability."""
    if request.model is None or not done:
        return []
    counts = Counter(record.predicted_class for record in done)
    found = []
    for name in request.classes:
        own = [record.probabilities[name] for record in done if record.predicted_class == name]
        share = counts[name] / len(done)
        median = _probability(statistics.median(own)) if own else "–"
        found.append(
            {
                "name": name,
                "count": f"{counts[name]:,}",
                "share": f"{share:.0%}",
                "width": f"{100 * share:.1f}",
                "median": median,
            }
        )
    return found


def _unsure(done: Sequence[Record], request: Request) -> list[tuple[str, str, str, str]]:
    """The slides with the highest uncertainty: the entropy of their probabilities."""
    if request.model is None:
        return []
    ranked = sorted(done, key=lambda record: record.uncertainty or 0.0, reverse=True)
    return [
        (record.name, str(record.predicted_class), _probability(record.confidence or 0.0), f"{record.uncertainty or 0.0:.2f}")
        for record in ranked[:LEAST_SURE]
    ]


def _speed(done: Sequence[Record], new: set[str], seconds: float) -> list[tuple[str, str]]:
    """Figures of the last run, and of all slides."""
    here = [record for record in done if record.name in new]
    rates = [rate for record in done if (rate := rate_of(record)) is not None]
    found = [("Slides done by the last run", f"{len(here):,}")]
    if here and seconds > 0:
        # what was encoded before it was interrupted is not counted
        encoded = sum(record.patch_count if record.encoded is None else record.encoded for record in here)
        found += [
            ("Time of the last run", _time(seconds)),
            ("Slides per hour, last run", f"{3600 * len(here) / seconds:,.1f}"),
            ("Patches encoded per second, last run", f"{encoded / seconds:,.1f}"),
        ]
    if done:
        found.append(("Time of a slide, median", _time(statistics.median(record.seconds for record in done))))
    if rates:
        found.append(("Patches per second of a slide, median", f"{statistics.median(rates):,.1f}"))
    hosts = sorted({record.host for record in done if record.host})
    if hosts:
        found.append(("Computers", ", ".join(hosts[:20]) + (" ..." if len(hosts) > 20 else "")))
    return found


def _slowest(done: Sequence[Record]) -> list[tuple[str, str, str, str]]:
    ranked = sorted(done, key=lambda record: -record.seconds)[:SLOWEST]
    rates = [rate_of(record) for record in ranked]
    return [
        (record.name, _time(record.seconds), f"{record.patch_count:,}", f"{rate:,.1f}" if rate is not None else "–")
        for record, rate in zip(ranked, rates, strict=True)
    ]


def _probability(value: float) -> str:
    return f"{value:.3f}" if value < 0.9995 else "> 0.999"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _settings(request: Request, about: Mapping[str, Any], done: Sequence[Record]) -> Iterable[tuple[str, str]]:
    if request.model is not None:
        yield "Model", f"{request.model.id} ({request.model.digest})"
    yield "Encoder", f"{request.encoder.id} ({request.encoder.digest})"
    words = {"mpp": "µm per pixel of the slides", "mpps": "µm per pixel of the patches", "formats": "Exports"}
    for name in ("mpp", "mpps", "patch_size", "stride", "formats"):
        value = getattr(request, name)
        if value:
            text = (
                ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
                if isinstance(value, tuple)
                else f"{value:g}"
            )
            yield words.get(name, name.replace("_", " ").capitalize()), text
    for name, value in request.options.items():
        yield name.replace("_", " ").capitalize(), _text(value)
    yield "Precision", str(about.get("precision", request.precision))
    yield "Devices", ", ".join(sorted({record.device for record in done if record.device})) or "–"
    yield "Begun", str(about.get("created", ""))[:16].replace("T", ", ") + " UTC"
    yield (
        "Versions",
        ", ".join(f"napari-wsimil {version}" for version in sorted({record.version for record in done if record.version}))
        or __version__,
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
