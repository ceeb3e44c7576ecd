"""What stored features are of: what must be the same for them to stand for new ones, and what others want to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

    from napari_wsimil.encoders import Encoder
    from napari_wsimil.patches import PatchGrid, PatchSpec
    from napari_wsimil.slides import Slide


@dataclass(frozen=True)
class Header:
    """What the file of one slide, encoder and patch settings says, its features apart.

    Attributes
    ----------
    xy
        (N, 2) int64 top-left corners in level-0 pixels.
    width
        Numbers for each patch, D.
    identity
        Attributes that must be equal.
    attributes
        Attributes that others read, and that tell how it was made.
    precision
        What the encoder computes in.
    """

    name: str
    encoder: str
    xy: NDArray[np.int64]
    width: int
    identity: dict[str, Any]
    attributes: dict[str, Any]
    precision: str

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self.xy), self.width


def header_of(slide: Slide, encoder: Encoder, spec: PatchSpec, grid: PatchGrid) -> Header:
    """Collect what the file of these features says."""
    return Header(
        slide.name,
        encoder.id,
        grid.xy.astype(np.int64, copy=False),
        encoder.dimension,
        identity_of(slide, encoder, spec),
        _trident(slide, spec, grid) | _how_made(slide, spec),
        getattr(encoder, "precision", "fp32"),
    )


def identity_of(slide: Slide, encoder: Encoder, spec: PatchSpec) -> dict[str, Any]:
    """Say what must be the same for stored features to stand for new ones."""
    return {
        "slide_fingerprint": slide.fingerprint,
        "encoder_digest": encoder.digest,
        "patchspec_digest": spec.digest,
        "mpp_level0": np.asarray(slide.mpp, dtype=np.float64),
    }


def is_same(coords: h5py.Dataset, identity: dict[str, Any]) -> bool:
    """Whether a file is of this slide, encoder and patch settings."""
    return all(np.array_equal(np.asarray(coords.attrs.get(name)), np.asarray(value)) for name, value in identity.items())


def _trident(slide: Slide, spec: PatchSpec, grid: PatchGrid) -> dict[str, Any]:
    """Give what TRIDENT's readers ask for, magnifications being labels (10 µm over the mpp)."""
    finest = min(slide.mpp) if slide.mpp else spec.mpp
    return {
        "patch_size": spec.size,
        "patch_size_level0": float(grid.size_level0),
        "level0_magnification": round(10 / finest),
        "target_magnification": round(10 / spec.mpp, 3),
        "overlap": spec.size - spec.stride,
        "level0_width": slide.width,
        "level0_height": slide.height,
        "name": slide.name,
    }


def _how_made(slide: Slide, spec: PatchSpec) -> dict[str, Any]:
    return {
        "level0_origin": slide.origin,
        "mpp_target": spec.mpp,
        "decoder": slide.backend,
        "resampling": spec.resampling,
        "colour": spec.colour,
        "normalisation": spec.normalisation,
    }
