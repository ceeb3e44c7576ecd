"""What is done in the gallery, as Python and as a command."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Any

from napari_wsimil.widgets.recipes import Code, following, python_call

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.inference.ranking import RankedPatch
    from napari_wsimil.widgets.recipes import Recipe
    from napari_wsimil.widgets.regions.controls import Choice


def ranking_recipe(prediction: SlidePrediction, choice: Choice, similar_to: RankedPatch | None) -> Recipe:
    """How the regions that are shown were found."""
    lines = [_found(choice, similar_to), "for region in regions:", "    print(region.rank, region.score, region.patch)"]
    return following(_title(choice, similar_to), prediction, lines, "regions", **_options(choice, similar_to))


def saving_recipe(
    prediction: SlidePrediction, choice: Choice, similar_to: RankedPatch | None, slide: str, folder: Path
) -> Recipe:
    """How the regions that are shown were saved as pictures."""
    lines = [
        _found(choice, similar_to),
        f"with {python_call('open_slide', slide)} as slide:",
        indent(python_call("save_regions", Code("slide"), Code("regions"), str(folder)), "    "),
    ]
    options = {**_options(choice, similar_to), "slide": slide, "out": folder}
    return following(f"Save pictures in {folder.name}", prediction, lines, "regions", **options)


def _title(choice: Choice, similar_to: RankedPatch | None) -> str:
    end = "lowest" if choice.lowest else "highest"
    if similar_to is not None:
        return f"Regions similar to ({similar_to.patch.centre[0]:.0f}, {similar_to.patch.centre[1]:.0f})"
    what = choice.ranking.label if choice.ranking is not None else "none"
    return f"Regions: {what}, {end} {choice.count}"


def _found(choice: Choice, similar_to: RankedPatch | None) -> str:
    options: dict[str, Any] = {"count": choice.count, "lowest": choice.lowest or None}
    if similar_to is not None:
        call = python_call("similar_patches", Code("prediction"), similar_to.patch.centre, mpp=similar_to.patch.mpp, **options)
    else:
        label = choice.ranking.label if choice.ranking is not None else None
        call = python_call("rank_patches", Code("prediction"), label, **options)
    return f"regions = {call}"


def _options(choice: Choice, similar_to: RankedPatch | None) -> dict[str, Any]:
    options: dict[str, Any] = {"top": choice.count, "lowest": choice.lowest}
    if similar_to is not None:
        x, y = similar_to.patch.centre
        return {"similar_to": f"{x:g},{y:g}", "mpp": f"{similar_to.patch.mpp:g}", **options}
    ranking = choice.ranking
    if ranking is None:
        return options
    return {"by": ranking.by, "class": ranking.class_name, "mpp": f"{ranking.mpp:g}", **options}
