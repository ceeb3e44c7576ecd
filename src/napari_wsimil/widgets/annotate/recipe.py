"""The comparison as Python and as a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wsimil.widgets.recipes import Code, following, python_call

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.agreement import Agreement
    from napari_wsimil.widgets.recipes import Recipe


def agreement_recipe(
    result: Agreement, prediction: SlidePrediction, path: Path, origin: tuple[int, int], rest: bool | None
) -> Recipe:
    """How `result` was found, with the regions in the file that Save writes."""
    options = {"class_name": result.class_name, "by": result.by, "threshold": result.threshold, "rest": rest}
    read = python_call("read_annotations", path, origin=origin if any(origin) else None)
    compare = python_call("agreement", Code("prediction"), Code("annotations"), **options)
    lines = [f"annotations = {read}  # what Save wrote", f"print({compare})"]
    told = {"class": result.class_name, "by": result.by, "threshold": result.threshold}
    told |= {} if rest is None else {"rest" if rest else "no-rest": True}
    return following(f"Compare with {path.name}", prediction, lines, "agreement", path, **told)
