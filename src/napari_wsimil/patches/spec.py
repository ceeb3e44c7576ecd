"""How patches were cut, frozen and named by a digest, so that features and models made differently are never mixed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


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
        How pixels come from the pyramid: "area" is the area mean of the nearest finer stored level.
    """

    mpp: float
    size: int = 256
    stride: int = 256
    min_tissue: float = 0.25
    tissue_method: str = "hsv-otsu"
    resampling: str = "area"

    @property
    def digest(self) -> str:
        """Short hex SHA-256 of the fields; numbers that are equal give the same digest whatever their type."""
        fields = asdict(self)
        for name in ("mpp", "min_tissue"):
            fields[name] = repr(float(fields[name]))
        for name in ("size", "stride"):
            fields[name] = int(fields[name])
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
