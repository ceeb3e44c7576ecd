"""The slide that a prediction is of, for the exports that show its pixels."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.errors import ExportError, SlideError, SlideWarning
from napari_wsimil.slides import Slide, open_slide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.inference.prediction import SlidePrediction


@contextmanager
def slide_of(prediction: SlidePrediction, given: Slide | str | Path | None) -> Iterator[Slide]:
    """The open slide of a prediction; one that is opened here is closed again.

    Parameters
    ----------
    prediction
        Its provenance says which slide, and where it was.
    given
        The slide, or where it is now; None: where it was.

    Raises
    ------
    ExportError
        The slide is gone, or what was given is another one.
    """
    if isinstance(given, Slide):
        _check(prediction, given)
        yield given
        return
    with _opened(prediction, given) as slide:
        _check(prediction, slide)
        yield slide


def _opened(prediction: SlidePrediction, given: str | Path | None) -> Slide:
    about = prediction.provenance.get("slide", {})
    path = given if given is not None else about.get("path")
    if not path:
        raise ExportError("The prediction does not say where its slide is: say it with slide=... (--slide PATH).")
    if given is None and not Path(path).exists():
        raise ExportError(f"The slide is not at {path} any more: say where it is now with slide=... (--slide PATH).")
    # What the user typed in when it was predicted holds on.
    mpp = tuple(about["mpp"]) if about.get("mpp") and about.get("mpp_source") == "user" else None
    try:
        with warnings.catch_warnings():
            # Whoever predicted was told.
            warnings.simplefilter("ignore", SlideWarning)
            return open_slide(path, mpp=mpp)
    except SlideError as error:
        raise ExportError(f"The slide of the prediction can't be shown: {error}") from error


def _check(prediction: SlidePrediction, slide: Slide) -> None:
    expected = prediction.provenance.get("slide", {}).get("fingerprint")
    if expected is not None and slide.fingerprint != expected:
        name = Path(prediction.provenance["slide"].get("path") or "another slide").name
        raise ExportError(f"{slide.path} is not the slide that was predicted, {name}: its pixels differ; give that one.")
