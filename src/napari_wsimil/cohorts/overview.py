"""Many slides as one table: what is known of each, how it was predicted, and how sure the model is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import ValidationError

from napari_wsimil.cohorts.folder import ABOUT, CohortFolder
from napari_wsimil.cohorts.records import uncertainty
from napari_wsimil.cohorts.request import Request
from napari_wsimil.cohorts.slides import CohortSlide, find_slides, named_slides
from napari_wsimil.cohorts.work import PREDICTION_SUFFIX
from napari_wsimil.errors import PredictionError, WsimilError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_wsimil.cohorts.records import Record

Status: TypeAlias = Literal["not predicted", "waiting", "running", "done", "failed"]

USUAL_RESULTS = "predictions"
"""Folder beside the slides."""


@dataclass(frozen=True)
class SlideRow:
    """What is known of one slide.

    Attributes
    ----------
    name, path, mpp, label, patient
        See `CohortSlide`.
    status
        "waiting" and "running" are of a run that goes on.
    told
        More of the status: why it failed, or how far it is.
    predicted_class, probabilities
        Of a slide that is done.
    disagreement
        How far teacher and student are apart on it, 0 to 1; None for models without such two.
    prediction
        Its saved prediction.
    """

    name: str
    path: Path
    mpp: float | None = None
    label: str | None = None
    patient: str | None = None
    status: Status = "not predicted"
    told: str = ""
    predicted_class: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    prediction: Path | None = None
    disagreement: float | None = None

    @property
    def slide(self) -> CohortSlide:
        """As the cohort engine takes it."""
        return CohortSlide(self.name, self.path, self.mpp, self.label, self.patient)

    @property
    def confidence(self) -> float | None:
        """Probability of the predicted class."""
        return max(self.probabilities.values(), default=None)

    @property
    def uncertainty(self) -> float | None:
        """Entropy of the probabilities, 0 (sure) to 1 (all classes equally probable)."""
        return uncertainty(self.probabilities)

    @property
    def agrees(self) -> bool | None:
        """Whether the predicted class is the label, capitals aside; None without either, or if the model has no such class."""
        label = (self.label or "").casefold()
        if label not in (name.casefold() for name in self.probabilities):
            return None
        return label == (self.predicted_class or "").casefold()

    def ended(self, record: Record, folder: Path) -> SlideRow:
        """The same slide after it was done, or failed."""
        files = [path for path in record.paths(folder) if path.name.endswith(PREDICTION_SUFFIX)]
        return replace(
            self,
            mpp=record.mpp if self.mpp is None else self.mpp,
            status=record.status,
            told=record.error,
            predicted_class=record.predicted_class,
            probabilities=dict(record.probabilities),
            disagreement=record.disagreement,
            prediction=files[0] if files else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON and for tables; what is not known is None."""
        return {
            "name": self.name,
            "slide": str(self.path),
            "label": self.label,
            "patient": self.patient,
            "status": self.status,
            "error": self.told if self.status == "failed" else None,
            "predicted": self.predicted_class,
            "confidence": self.confidence,
            "uncertainty": self.uncertainty,
            "disagreement": self.disagreement,
            "agrees": self.agrees,
            "probabilities": dict(self.probabilities),
            "prediction": None if self.prediction is None else str(self.prediction),
        }


def usual_results(slides: str | Path | Sequence[str | Path | CohortSlide]) -> Path:
    """Folder where the predictions of these slides are looked for, and kept, unless another is named."""
    from napari_wsimil.slides import slide_kind

    first = slides if isinstance(slides, str | Path) else slides[0]
    path = first.path if isinstance(first, CohortSlide) else Path(first).expanduser().absolute()
    inside = path.is_dir() and slide_kind(path) != "ome-zarr"
    return (path if inside else path.parent) / USUAL_RESULTS


def slide_table(
    slides: str | Path | Sequence[str | Path | CohortSlide],
    results: str | Path | None = None,
    *,
    sort: str | None = None,
    watch: Callable[[int], object] | None = None,
) -> list[SlideRow]:
    """List slides with what was predicted of each.

    Parameters
    ----------
    slides
        What `find_slides` takes: a folder, a manifest, a list or slides.
    results
        Folder that `predict_cohort` was given as `out`; None: "predictions" beside the slides. It need not exist.
    sort
        One of `SORTS`, see `sorted_rows`; None: in the order that the slides were found.
    watch
        See `find_slides`.

    Raises
    ------
    WsimilError
        The slides can't be listed, or the folder of the results is damaged; one sentence says why.
    """
    check_sort(sort)
    found = find_slides(slides, watch=watch)
    if not found:
        return []
    folder = CohortFolder(Path(results).expanduser().absolute() if results is not None else usual_results(slides))
    request = _request(folder)
    rows = [_row(slide, folder, request) for slide in (named_slides(found, folder.names()) if request is not None else found)]
    return rows if sort is None else sorted_rows(rows, sort)


def _request(folder: CohortFolder) -> Request | None:
    about = folder.about()
    if about is None:
        return None
    try:
        request = Request.model_validate(about["request"])
    except ValidationError as error:
        raise WsimilError(f"{folder.path / ABOUT} is damaged; choose another folder, or delete that file.") from error
    if request.task != "predict":
        raise WsimilError(f"{folder.path} holds features, not predictions; choose the folder of the predictions.")
    return request


def _row(slide: CohortSlide, folder: CohortFolder, request: Request | None) -> SlideRow:
    row = SlideRow(slide.name, slide.path, slide.mpp, slide.label, slide.patient)
    if request is None:
        return _saved_alone(row, folder.path)
    record = folder.finished(slide, request) or folder.failed(slide, request)
    return row if record is None else row.ended(record, folder.path)


def _saved_alone(row: SlideRow, folder: Path) -> SlideRow:
    """The slide with a prediction that was saved there by itself, outside a run over many."""
    from napari_wsimil.inference import load_prediction
    from napari_wsimil.inference.uncertainty import slide_disagreement

    path = folder / f"{row.name}{PREDICTION_SUFFIX}"
    if not path.is_file():
        return row
    try:
        prediction = load_prediction(path)
    except PredictionError as error:
        return replace(row, status="failed", told=str(error))
    if prediction.provenance.get("slide", {}).get("path") != printable(str(row.path)):
        return row  # of another slide of that name
    return replace(
        row,
        status="done",
        predicted_class=prediction.predicted_class,
        probabilities=dict(prediction.probabilities),
        prediction=path,
        disagreement=slide_disagreement(prediction),
    )


_STATUSES = ("failed", "running", "waiting", "not predicted", "done")

SORTS: dict[str, tuple[Callable[[SlideRow], Any], bool]] = {
    "name": (lambda row: natural(row.name), False),
    "label": (lambda row: row.label and natural(row.label), False),
    "patient": (lambda row: row.patient and natural(row.patient), False),
    "status": (lambda row: _STATUSES.index(row.status), False),
    "predicted": (lambda row: row.predicted_class and natural(row.predicted_class), False),
    "confidence": (lambda row: row.confidence, False),
    "uncertainty": (lambda row: row.uncertainty, True),
    "disagreement": (lambda row: row.disagreement, True),
    "agrees": (lambda row: row.agrees, False),
}
"""By what slides can be sorted -> its value, and whether the largest comes first."""


def check_sort(sort: str | None) -> None:
    """Refuse what slides can't be sorted by."""
    if sort is not None and sort not in SORTS:
        raise WsimilError(f"Slides can't be sorted by {sort!r}; choose from {', '.join(SORTS)}.")


def sorted_rows(rows: Iterable[SlideRow], by: str, *, backwards: bool = False) -> list[SlideRow]:
    """Sort slides: those to look at first come first, those of which it is not known last, either way.

    Parameters
    ----------
    by
        One of `SORTS`: uncertainty and disagreement fall, all else rises.
    backwards
        The other way round.
    """
    value, falls = SORTS[by]
    valued = [(value(row), row) for row in rows]
    known = sorted((pair for pair in valued if pair[0] is not None), key=lambda pair: pair[0], reverse=falls != backwards)
    return [row for _, row in known] + [row for found, row in valued if found is None]


def label_next(rows: Iterable[SlideRow]) -> list[SlideRow]:
    """Slides that a person should label next, the most useful first: predicted, without a label, and the model is not sure.

    How unsure it is, is the larger of the entropy of its probabilities and the disagreement of teacher and student. Slides
    whose label the prediction does not agree with come after those, the most certain mistake first.
    """
    done = [row for row in rows if row.status == "done" and row.uncertainty is not None]
    open_ones = [row for row in done if row.label is None]
    mistaken = [row for row in done if row.agrees is False]
    open_ones.sort(key=lambda row: -max(row.uncertainty or 0.0, row.disagreement or 0.0))
    mistaken.sort(key=lambda row: row.uncertainty or 0.0)
    return open_ones + mistaken


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key by which slide-2 comes before slide-10."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return tuple((0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts if part)


def as_text(rows: Iterable[SlideRow]) -> str:
    """Slides as lines with tabs, for a spreadsheet."""
    cells = [{**row.as_dict(), **{f"prob_{name}": value for name, value in row.probabilities.items()}} for row in rows]
    columns = list(dict.fromkeys(name for row in cells for name in row if name != "probabilities"))
    lines = [columns, *([_cell(row.get(name)) for name in columns] for row in cells)]
    return "\n".join("\t".join(line) for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())


def matches(row: SlideRow, text: str) -> bool:
    """Whether each word of a text is in the name, label, patient, class or status of a slide, whatever the case."""
    said = " ".join(filter(None, (row.name, row.label, row.patient, row.predicted_class, row.status))).casefold()
    return all(word in said for word in text.casefold().split())
