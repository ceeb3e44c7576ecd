"""What a user may choose when a slide is predicted: which patches, and what is done to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Point = tuple[float, float]


class PatchOptions(BaseModel):
    """Which patches of a slide a model looks at, and how they are prepared; the defaults are as the model was trained.

    Attributes
    ----------
    overlap
        Share of its side that a patch has in common with the next: 0.5 puts patches half a side apart. Heatmaps are averaged
        where patches overlap.
    mpps
        µm per pixel at which a model of one magnification looks at the slide, each by itself; probabilities are averaged. None:
        the model's own. A model of several magnifications refuses it.
    tissue_only
        Look at tissue only, as the model does; otherwise wherever there is slide.
    inside
        Look only at patches whose centre lies in these regions: an annotation file (QuPath's GeoJSON, ASAP's XML), or outlines
        as lists of (x, y) in level-0 pixels. None: everywhere.
    stain
        Bring the slide's stain to a reference before encoding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    overlap: Annotated[float, Field(ge=0, lt=0.95)] = 0.0
    mpps: tuple[Annotated[float, Field(ge=0.01, le=100)], ...] | None = None
    tissue_only: bool = True
    inside: Path | tuple[tuple[Point, ...], ...] | None = None
    stain: Literal["none", "macenko", "reinhard"] = "none"
