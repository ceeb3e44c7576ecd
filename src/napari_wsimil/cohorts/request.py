"""What is asked of a cohort (the same for all slides, and for every run that goes on with it), and how it is to be done."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_wsimil.errors import WsimilError
from napari_wsimil.slides import Resampling  # noqa: TC001 - pydantic checks by it

if TYPE_CHECKING:
    from napari_wsimil.cohorts.slides import CohortSlide
    from napari_wsimil.inference.options import PatchOptions


AskedPrecision: TypeAlias = Literal["fp32", "bf16", "fp16", "auto"]


class Named(BaseModel):
    """A model or an encoder: its id and the digest of its weights."""

    model_config = ConfigDict(frozen=True)

    id: str
    digest: str


class Request(BaseModel):
    """Whatever results depend on.

    Attributes
    ----------
    task
        What is done with each slide.
    model, encoder, classes
        Which, by their weights; no model and no classes for an extraction.
    mpp
        µm per pixel of level 0 of all slides, where given.
    mpps, patch_size, stride, resampling
        Of the patches of an extraction.
    options
        Which patches: what `PatchOptions.as_json` gives.
    inside_digest
        Of the annotation files that the options name.
    formats
        Exports of each prediction.
    precision
        As asked for; what "auto" turned out to be is kept beside it.
    """

    model_config = ConfigDict(frozen=True)

    task: Literal["predict", "extract"]
    model: Named | None = None
    encoder: Named
    classes: tuple[str, ...] = ()
    mpp: float | None = None
    mpps: tuple[float, ...] | None = None
    patch_size: int | None = None
    stride: int | None = None
    resampling: Resampling = "area"
    options: dict[str, Any] = Field(default_factory=dict)
    inside_digest: str = ""
    formats: tuple[str, ...] = ()
    precision: AskedPrecision = "auto"

    @property
    def digest(self) -> str:
        """Short sha256 of all of it."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:16]

    def identity(self) -> dict[str, Any]:
        """All of it, as it comes back from a JSON file."""
        found = self.model_dump(mode="json")
        return {name: value for name, value in found.items() if value not in (None, "", [], {})}


def make_request(**facts: Any) -> Request:
    """Put together what is asked for.

    Raises
    ------
    WsimilError
        A choice is none of those that there are.
    """
    try:
        return Request(**facts)
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(map(str, first["loc"])).replace("_", " ")
        raise WsimilError(f"The {where} can't be {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}.") from error


class Means(BaseModel):
    """How it is done: nothing that results depend on.

    Attributes
    ----------
    model, encoder
        Names to load them by, for one of the two.
    store
        Folder of the features; None: they are kept until a slide is done.
    """

    model_config = ConfigDict(frozen=True)

    model: str | None = None
    encoder: str | None = None
    trust_code: bool = False
    device: str = "auto"
    store: str | None = None
    batch_size: int | None = None
    compiled: bool = False


class Job(BaseModel):
    """One slide for a worker.

    Attributes
    ----------
    cohort
        Id of the cohort that the folder must hold, so that a worker knows whether it sees the same folder.
    stamp
        Of the slide file as this computer sees it, or None.
    precision
        What the encoder computes in; the same for all slides.
    """

    model_config = ConfigDict(frozen=True)

    cohort: str
    folder: Path
    name: str
    path: Path
    mpp: float | None
    stamp: tuple[int, int] | None
    request: Request
    means: Means
    precision: AskedPrecision


def make_job(cohort: str, folder: Path, slide: CohortSlide, request: Request, means: Means, precision: AskedPrecision) -> Job:
    """Put together what a worker needs for one slide."""
    from napari_wsimil.cohorts.records import slide_stamp

    return Job(
        cohort=cohort,
        folder=folder,
        name=slide.name,
        path=slide.path,
        mpp=slide.mpp if slide.mpp is not None else request.mpp,
        stamp=slide_stamp(slide.path),
        request=request,
        means=means,
        precision=precision,
    )


def inside_digest(options: PatchOptions) -> str:
    """Short sha256 of the annotation file, or of the files of the folder, that options name; empty where they name none.

    Raises
    ------
    WsimilError
        They can't be read.
    """
    inside = options.inside
    if not isinstance(inside, Path):
        return ""
    try:
        files = sorted(path for path in inside.rglob("*") if path.is_file()) if inside.is_dir() else [inside]
        texts = [(str(path.relative_to(inside)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    except OSError as error:
        raise WsimilError(
            f"{inside} can't be read ({error.strerror}); give a file with outlines, or a folder of them."
        ) from error
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def first_difference(kept: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Say in which setting two requests differ; empty where they do not."""
    for name in dict.fromkeys([*kept, *wanted]):
        there, here = kept.get(name), wanted.get(name)
        if there == here:
            continue
        if isinstance(there, dict) or isinstance(here, dict):
            return f"{name} {first_difference(there or {}, here or {})}"
        return f"{name.replace('_', ' ')}: {_short(there)} then, {_short(here)} now"
    return ""


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
