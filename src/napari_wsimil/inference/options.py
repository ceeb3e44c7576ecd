"""What a user may choose when a slide is predicted: which patches, and what is done to them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from napari_wsimil.annotations.inside import checked_outlines
from napari_wsimil.errors import WsimilError
from napari_wsimil.patches.spec import Normalisation, check_normalisation
from napari_wsimil.patches.tissue import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.patches import PatchSpec

Outlines: TypeAlias = "tuple[tuple[tuple[float, float], ...], ...]"

MOST_OVERLAP = 0.95
"""Beyond, each place is encoded more than 400 times."""
FINEST_MPP, COARSEST_MPP = 0.01, 100.0


@dataclass(frozen=True)
class PatchOptions:
    """Which patches of a slide a model looks at, and how they are prepared; the defaults are as the model was trained.

    Parameters
    ----------
    overlap
        Share of its side that a patch has in common with the next, up to below 0.95: 0.5 puts patches half a side apart, and 0
        as far apart as the model was trained. Heatmaps are averaged where patches overlap.
    mpps
        µm per pixel at which a model of one magnification looks at the slide, each by itself; probabilities are averaged. None:
        the model's own. A model of several magnifications refuses it.
    tissue_only
        Look at tissue only, as the model does; otherwise wherever there is slide.
    inside
        Look only at patches whose centre lies in these regions: an annotation file (QuPath's GeoJSON, ASAP's XML), a folder of
        such files named as the slides, or outlines as lists of (x, y) in level-0 pixels. None: everywhere.
    stain
        Bring the slide's stain to a reference before encoding: "none", "macenko" or "reinhard", see `StainNormaliser`.

    Raises
    ------
    WsimilError
        A choice makes no sense; one sentence says which and why.
    """

    overlap: float = 0.0
    mpps: tuple[float, ...] | None = None
    tissue_only: bool = True
    inside: Path | Outlines | None = None
    stain: Normalisation = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "overlap", _overlap(self.overlap))
        object.__setattr__(self, "mpps", _mpps(self.mpps))
        if not isinstance(self.tissue_only, bool):
            raise WsimilError(f"tissue_only is either true or false, not {self.tissue_only!r}.")
        if isinstance(self.inside, str | Path):
            object.__setattr__(self, "inside", Path(self.inside))
        elif self.inside is not None:
            object.__setattr__(self, "inside", checked_outlines(self.inside))
        check_normalisation(self.stain)

    def stride(self, size: int) -> int:
        """Distance in pixels of patches with a side of `size` pixels; the same at every magnification, so that patches nest."""
        return max(1, round(size * (1 - self.overlap)))

    def applied(self, specs: Sequence[PatchSpec]) -> tuple[PatchSpec, ...]:
        """Patches as these options want them, coarse to fine.

        Parameters
        ----------
        specs
            As the model was trained, one for each of its magnifications.

        Returns
        -------
        One for each magnification. With `mpps` each is for a look of its own, not for one that takes them together.

        Raises
        ------
        WsimilError
            `mpps` was given for a model that looks at several magnifications together.
        """
        changes: dict[str, Any] = {}
        if not self.tissue_only:
            # a patch at the edge may lie outside the slide by more than half of itself, and is looked at all the same
            changes |= {"tissue_method": EVERYWHERE, "min_tissue": 0.0}
        if self.stain != "none":
            changes["normalisation"] = self.stain
        changed = [
            replace(spec, **changes, stride=self.stride(spec.size) if self.overlap else spec.stride)
            for spec in self._at_mpps(specs)
        ]
        return tuple(sorted(changed, key=lambda spec: -spec.mpp))

    def _at_mpps(self, specs: Sequence[PatchSpec]) -> Sequence[PatchSpec]:
        if self.mpps is None:
            return specs
        if len(specs) != 1:
            own = ", ".join(f"{spec.mpp:g}" for spec in specs)
            raise WsimilError(
                f"The model looks at {own} µm per pixel together, so it can't be given other magnifications; leave them out."
            )
        return [replace(specs[0], mpp=mpp) for mpp in self.mpps]

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults, JSON-able."""
        choices = asdict(self)
        if isinstance(self.inside, Path):
            choices["inside"] = str(self.inside)
        return {field.name: choices[field.name] for field in fields(self) if getattr(self, field.name) != field.default}

    @classmethod
    def from_json(cls, choices: Mapping[str, Any]) -> Self:
        """Read what `as_json` wrote, perhaps written by hand.

        Raises
        ------
        WsimilError
            There is no such option, or its value makes no sense.
        """
        known = [field.name for field in fields(cls)]
        for name in choices:
            if name not in known:
                raise WsimilError(f"There is no option {name!r}; there are {', '.join(known)}.")
        return cls(**choices)


def _overlap(overlap: object) -> float:
    share = _number(overlap)
    if share is None or not 0 <= share < MOST_OVERLAP:
        raise WsimilError(
            f"The overlap is a share of a patch's side, from 0 to below {MOST_OVERLAP:g} (0.5: half a patch), not {overlap!r}."
        )
    return share


def _mpps(mpps: object) -> tuple[float, ...] | None:
    if mpps is None:
        return None
    given = list(mpps) if isinstance(mpps, list | tuple) else [mpps]
    found = [mpp for mpp in map(_number, given) if mpp is not None and FINEST_MPP <= mpp <= COARSEST_MPP]
    if not given or len(set(found)) < len(given):
        raise WsimilError(
            f"Give one magnification or several different ones from {FINEST_MPP:g} to {COARSEST_MPP:g} µm per pixel, "
            f"not {mpps!r}."
        )
    return tuple(sorted(found, reverse=True))


def _number(value: object) -> float | None:
    """A finite number, else None; true and false are none."""
    number = float(value) if isinstance(value, int | float | np.number) and not isinstance(value, bool) else math.nan
    return number if math.isfinite(number) else None
