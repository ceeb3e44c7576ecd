"""What a report says and shows, whichever file it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil import __version__
from napari_wsimil.exports.figures import FigureOptions, draw_figure
from napari_wsimil.exports.looks import RasterLook, default_looks
from napari_wsimil.exports.words import calibration_text, cost_text, decision_mark, decision_text, saving_text, share
from napari_wsimil.inference.progress import Progress
from napari_wsimil.inference.ranking import rank_patches, rankings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_wsimil.exports.figures.options import Region
    from napari_wsimil.exports.figures.rasters import Report as Report_
    from napari_wsimil.inference.prediction import PatchScores, SlidePrediction
    from napari_wsimil.inference.ranking import RankedPatch, Ranking
    from napari_wsimil.slides import Slide

PURPOSE = "For research, not for diagnosis."
MOST_REGIONS = 100
LONGEST = 1000
"""Longer side in px of the pictures of the slide."""
PATCH_SIDE = 256
_MARGIN = 0.03
_TEXT = 1.7
"""The pictures are shown at half their size."""


@dataclass(frozen=True)
class Bar:
    """A class: its probability (0 to 1 and in words), and whether it is the answer."""

    name: str
    value: float
    text: str
    chosen: bool


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture (rows, columns, 3) uint8 with what stands below it."""

    pixels: NDArray[np.uint8]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Content:
    """All of a report.

    Attributes
    ----------
    title, summary
        The slide, and the answer in a line.
    bars, mark
        The classes, and from which probability of two one is the answer.
    result
        Sentences on the answer, the calibration, the cost and the saving.
    notices
        Sentences that the reader must see.
    overview, heatmap
        The tissue, and what the model saw on it.
    top_title, top
        What the regions are ranked by, and each with its picture.
    facts
        Heading -> name -> value: where it all comes from.
    made
        When and by what the report was made.
    """

    title: str
    summary: str
    bars: tuple[Bar, ...]
    mark: float | None
    result: tuple[str, ...]
    notices: tuple[str, ...]
    overview: Shown
    heatmap: Shown
    top_title: str
    top: tuple[Shown, ...]
    facts: Mapping[str, Mapping[str, str]]
    made: str


def report_content(prediction: SlidePrediction, slide: Slide, top: int, report: Report_) -> Content:
    """Gather what a report shows; reads the slide and tells how far it is."""
    about = prediction.provenance
    predicted = prediction.predicted_class
    model = about.get("model", {})
    ranking = next(iter(rankings(prediction)), None)
    ranked = rank_patches(prediction, ranking, count=min(top, MOST_REGIONS)) if ranking and top else []
    overview, heatmap = _pictures(prediction, slide, len(ranked), report)
    shown = []
    for patch in ranked:
        shown.append(_shown(prediction, slide, patch))
        report(Progress("Reading the top regions", len(shown), len(ranked)))
    return Content(
        title=slide.name,
        summary=f"{predicted}, {share(prediction.probabilities[predicted])}, says {model.get('title') or model.get('id', '?')}",
        bars=tuple(Bar(name, value, share(value), name == predicted) for name, value in prediction.probabilities.items()),
        mark=decision_mark(prediction),
        result=tuple(filter(None, _sentences(prediction))),
        notices=tuple(dict.fromkeys([*about.get("notices", ()), *slide.notices])),
        overview=overview,
        heatmap=heatmap,
        top_title=_top_title(ranking) if ranking else "",
        top=tuple(shown),
        facts=_facts(prediction, slide),
        made=f"Made by napari-wsimil {__version__} on {datetime.now(UTC):%d %B %Y, %H:%M} UTC.",
    )


def tissue_region(prediction: SlidePrediction, slide: Slide) -> Region:
    """The part of the slide that the model looked at, with a little around it; all of it where that is not known."""
    tables: Sequence[PatchScores] = [*prediction.attention.values(), *prediction.instances.values()]
    boxes = [table.boxes() for table in tables if len(table)]
    if not boxes:
        return 0.0, 0.0, float(slide.width), float(slide.height)
    every = np.concatenate(boxes)
    low, high = every[:, :2].min(axis=0), every[:, 2:].max(axis=0)
    margin = _MARGIN * (high - low).max()
    x0, y0 = np.maximum(low - margin, 0).tolist()
    x1, y1 = np.minimum(high + margin, (slide.width, slide.height)).tolist()
    return x0, y0, x1, y1


def _pictures(prediction: SlidePrediction, slide: Slide, top: int, report: Report_) -> tuple[Shown, Shown]:
    x0, y0, x1, y1 = region = tissue_region(prediction, slide)
    mx, my = slide.mpp or (1.0, 1.0)
    wide, high = (x1 - x0) * mx, (y1 - y0) * my
    width = max(64, round(LONGEST * min(1.0, wide / high)))
    looks = default_looks(prediction, top)
    alone = FigureOptions(region, width=width, overlays=(), legend=False, text=_TEXT)
    over = FigureOptions(region, width=width, overlays=looks, text=_TEXT)
    size = (
        f"{wide / 1000:.1f} x {high / 1000:.1f} mm of the slide" if slide.mpp else f"{wide:,.0f} x {high:,.0f} px of the slide"
    )
    overview = Shown(draw_figure(prediction, slide, alone), (size,))
    report(Progress("Drawing the slide", 1, 2))
    rasters = [look.name for look in looks if isinstance(look, RasterLook)]
    told = f"{', '.join(rasters)} over the same tissue" if rasters else "The model gives no heatmap"
    heatmap = Shown(draw_figure(prediction, slide, over), (told,))
    report(Progress("Drawing the slide", 2, 2))
    return overview, heatmap


def _shown(prediction: SlidePrediction, slide: Slide, ranked: RankedPatch) -> Shown:
    patch = ranked.patch
    mx, my = slide.mpp or (1.0, 1.0)
    side = patch.size_level0 / PATCH_SIDE
    # A patch is square in µm, so that it is in its picture.
    pixels = slide.read_downsampled(patch.x, patch.y, PATCH_SIDE, PATCH_SIDE, (side, side * mx / my), keep=False)
    where = (
        f"x {patch.x * mx / 1000:.2f}, y {patch.y * my / 1000:.2f} mm"
        if slide.mpp
        else f"x {patch.x:,.0f}, y {patch.y:,.0f} px"
    )
    lines = [f"{ranked.rank}", f"{_short(ranked.ranking.by)} {ranked.score:.3g}"]
    probability = _probability(prediction, ranked)
    if probability is not None and ranked.ranking.by != "instances":
        lines.append(f"{prediction.positive_class} {share(probability)}")
    return Shown(pixels, (*lines, where))


def _top_title(ranking: Ranking) -> str:
    """For example "Top regions by attention, at 0.5 µm/px"."""
    by = f"Top regions by {ranking.label[:1].lower()}{ranking.label[1:]}"
    return by if "µm/px" in by else f"{by}, at {ranking.mpp:g} µm/px"


def _short(by: str) -> str:
    return "probability" if by == "instances" else by


def _probability(prediction: SlidePrediction, ranked: RankedPatch) -> float | None:
    """Of the positive class in a patch, where the model says."""
    table = prediction.instances.get(ranked.patch.mpp)
    if table is None:
        return None
    if table.values.ndim == 2:
        table = table.column(prediction.classes.index(prediction.positive_class))
    rows = np.flatnonzero((table.xy == (ranked.patch.x, ranked.patch.y)).all(axis=1))
    return float(table.values[rows[0]]) if len(rows) and np.isfinite(table.values[rows[0]]) else None


def _sentences(prediction: SlidePrediction) -> Iterator[str]:
    for text in (decision_text(prediction), calibration_text(prediction), cost_text(prediction), saving_text(prediction)):
        yield f"{text}." if text and not text.endswith(".") else text


def _facts(prediction: SlidePrediction, slide: Slide) -> dict[str, dict[str, str]]:
    about = prediction.provenance
    told, model, encoder, patches = (about.get(name) or {} for name in ("slide", "model", "encoder", "patches"))
    mpp = f"{slide.mpp[0]:.4g} x {slide.mpp[1]:.4g} µm per pixel" if slide.mpp else ""
    facts = {
        "Slide": {
            # Folders say where and whose it is; a report leaves the house.
            "File": PurePath(told.get("path") or slide.path.name).name,
            "Size": f"{slide.width:,} x {slide.height:,} px",
            "Pixel": mpp + (" (typed in)" if told.get("mpp_source") == "user" else ""),
            "Fingerprint": slide.fingerprint,
        },
        "Model": {
            "Name": _text(model.get("id")),
            "Method": _text(model.get("method")),
            "Digest": _text(model.get("digest")),
            "Encoder": _text(encoder.get("id")),
            "Encoder digest": _text(encoder.get("digest")),
            "Precision": _text(encoder.get("precision")),
        },
        "Patches": _about_patches(patches),
        "Run": {
            "Predicted": _text(about.get("created", ""))[:16].replace("T", ", ") + (" UTC" if about.get("created") else ""),
            "Device": _text(about.get("device")),
            "Time": ", ".join(f"{name} {value:.3g} s" for name, value in _seconds(about).items()),
            "Versions": ", ".join(f"{name} {version}" for name, version in (about.get("versions") or {}).items()),
        },
    }
    return {heading: {name: text for name, text in rows.items() if text} for heading, rows in facts.items()}


def _about_patches(patches: Mapping[str, Any]) -> dict[str, str]:
    counts, encoded = patches.get("counts") or {}, patches.get("encoded") or {}
    numbers = [
        f"{count:,} at {mpp} µm/px" + (f" ({encoded[mpp]:,} encoded)" if mpp in encoded else "")
        for mpp, count in counts.items()
    ]
    size, stride = patches.get("size"), patches.get("stride")
    apart = f", {stride} px apart" if stride and stride != size else ""
    return {
        "Side": f"{size} px{apart}" if size else "",
        "Number": ", ".join(numbers),
        "Resampling": _text(patches.get("resampling")),
        "Stain": "" if patches.get("normalisation") in (None, "none") else _text(patches["normalisation"]),
        "Options": ", ".join(
            f"{name.replace('_', ' ')} {_text(value)}" for name, value in (patches.get("options") or {}).items()
        ),
        "Digest": ", ".join(f"{digest} ({mpp} µm/px)" for mpp, digest in (patches.get("digest") or {}).items()),
    }


def _seconds(about: Mapping[str, Any]) -> dict[str, float]:
    found = about.get("seconds")
    if isinstance(found, int | float):
        return {"total": float(found)}
    return {name: value for name, value in (found or {}).items() if isinstance(value, int | float)}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
