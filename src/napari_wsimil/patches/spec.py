"""How patches were cut, frozen and named by a digest, so that features and models made differently are never mixed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from napari_wsimil.slides import Colour, Resampling, check_colour, check_resampling


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

    Raises
    ------
    SlideError
        There is no such resampling or colour.
    """

    mpp: float
    size: int = 256
    stride: int = 256
    min_tissue: float = 0.25
    tissue_method: str = "hsv-otsu"
    resampling: Resampling = "area"
    colour: Colour = "raw"

    def __post_init__(self) -> None:
        check_resampling(self.resampling)
        check_colour(self.colour)

    @property
    def digest(self) -> str:
        """Short hex SHA-256 of the fields; numbers that are equal give the same digest whatever their type."""
        fields = asdict(self)
        for name in ("mpp", "min_tissue"):
            fields[name] = repr(float(fields[name]))
        for name in ("size", "stride"):
            fields[name] = int(fields[name])
        if self.colour == "raw":
            # as before colours could be chosen: features and models made then stay valid
            del fields["colour"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
