"""How patches were cut, frozen and named by a digest, so that features and models made differently are never mixed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from napari_wsimil.errors import SlideError
from napari_wsimil.slides import Colour, Resampling, check_colour, check_resampling

Normalisation = Literal["none", "macenko", "reinhard"]
NORMALISATIONS: tuple[Normalisation, ...] = ("none", "macenko", "reinhard")


@dataclass(frozen=True)
class PatchSpec:
    """How patches are cut from a slide.

    Parameters
    ----------
    mpp
        µm per pixel of the patches.
    size, stride
        Side and distance in pixels at `mpp`.
    min_tissue
        Least fraction of tissue in a patch.
    tissue_method
        Name of the tissue detector, see `find_tissue`.
    resampling
        How pixels come from the pyramid: "area" is the area mean of the nearest finer stored level, "dct" lets libjpeg decode
        that level at a reduced size first; see `Slide.read_region`.
    colour
        "raw" as stored, or "srgb" by the slide's ICC profile.
    normalisation
        "none", or how the slide's stain is brought to a reference, see `StainNormaliser`.

    area
        Short digest of the regions that patches were kept to, see `annotations.Area`; "" for everywhere.

    Raises
    ------
    SlideError
        There is no such resampling, colour or normalisation.
    """

    mpp: float
    size: int = 256
    stride: int = 256
    min_tissue: float = 0.25
    tissue_method: str = "hsv-otsu"
    resampling: Resampling = "area"
    colour: Colour = "raw"
    normalisation: Normalisation = "none"
    area: str = ""

    def __post_init__(self) -> None:
        check_resampling(self.resampling)
        check_colour(self.colour)
        check_normalisation(self.normalisation)

    @property
    def digest(self) -> str:
        """Short hex SHA-256 of the fields; numbers that are equal give the same digest whatever their type."""
        fields = asdict(self)
        for name in ("mpp", "min_tissue"):
            fields[name] = repr(float(fields[name]))
        for name in ("size", "stride"):
            fields[name] = int(fields[name])
        for name, usual in (("colour", "raw"), ("normalisation", "none"), ("area", "")):
            if fields[name] == usual:
                # as before there was a choice: features and models made then stay valid
                del fields[name]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def check_normalisation(name: str) -> None:
    """Raise `SlideError` for what is no way to normalise a stain."""
    if name not in NORMALISATIONS:
        raise SlideError(f"There is no stain normalisation {name!r}; choose one of {', '.join(NORMALISATIONS)}.")
