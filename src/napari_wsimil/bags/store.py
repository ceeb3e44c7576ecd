"""Features on disk: one HDF5 file per slide in TRIDENT's layout, with the attributes that tell whether it still fits.

``/features`` (N, D) float32 and ``/coords`` (N, 2) int64 level-0 pixels, both contiguous, which TRIDENT, CLAM-style readers
and torchmil read; what they do not know they ignore.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from napari_wsimil.errors import SlideError
from napari_wsimil.files import written_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.encoders import Encoder
    from napari_wsimil.patches import PatchGrid, PatchSpec
    from napari_wsimil.slides import Slide

_BROKEN = (OSError, KeyError, ValueError, TypeError, RuntimeError)
"""What h5py raises for files that are damaged or of another kind."""


class FeatureStore:
    """A folder of feature files, shared by slides, encoders and patch settings.

    Parameters
    ----------
    folder
        Made if missing.

    Raises
    ------
    SlideError
        The folder can't be made: said before any work is done.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SlideError(f"{self.folder} can't be a feature store ({error.strerror}); choose another store.") from error

    def path(self, slide: Slide, encoder: Encoder, spec: PatchSpec) -> Path:
        """Where the features of one slide, encoder and patch settings are kept."""
        overlap = spec.size - spec.stride
        settings = f"{10 / spec.mpp:g}x_{spec.size}px_{overlap}px_overlap-{spec.digest[:8]}"
        name = f"{stored_name(slide.name)}-{stored_name(slide.fingerprint)[-12:]}.h5"
        return self.folder / settings / f"features_{encoder.id}-{encoder.digest[:8]}" / name

    def stored(self, slide: Slide, encoder: Encoder, spec: PatchSpec) -> Path | None:
        """Return the file of exactly these pixels, patch settings and encoder; None where there is none.

        It needs no grid, so no search for tissue; of its numbers only their count is looked at.
        """
        path = self.path(slide, encoder, spec)
        if not path.is_file():
            return None
        with suppress(*_BROKEN), h5py.File(path, "r") as file:
            features, coords = file["features"], file["coords"]
            whole = features.shape == (len(coords), encoder.dimension) and len(coords) > 0
            if whole and _same(coords, slide, encoder, spec):
                return path
        return None

    def load(self, slide: Slide, encoder: Encoder, spec: PatchSpec, grid: PatchGrid) -> NDArray[np.float32] | None:
        """(N, D) features of exactly these pixels, patches and encoder; None where there are none or the file is broken."""
        path = self.path(slide, encoder, spec)
        if not path.is_file():
            return None
        with suppress(*_BROKEN), h5py.File(path, "r") as file:
            features, coords = file["features"], file["coords"]
            same = _same(coords, slide, encoder, spec)
            if not same or features.shape != (len(grid), encoder.dimension) or coords.shape != (len(grid), 2):
                return None
            table = np.asarray(features, dtype=np.float32)
            if np.array_equal(coords[:], grid.xy) and np.isfinite(table).all():
                return table
        return None

    def save(self, slide: Slide, encoder: Encoder, spec: PatchSpec, grid: PatchGrid, features: NDArray[np.float32]) -> Path:
        """Write the features of all patches of `grid`, whole or not at all.

        Raises
        ------
        SlideError
            The file can't be written.
        """
        path = self.path(slide, encoder, spec)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as part, h5py.File(part, "w") as file:
                file["features"] = features.astype(np.float32, copy=False)
                file["features"].attrs.update(encoder=encoder.id, name=slide.name)
                file["coords"] = grid.xy.astype(np.int64, copy=False)
                file["coords"].attrs.update(_trident(slide, spec, grid) | _identity(slide, encoder, spec))
        except OSError as error:
            raise SlideError(
                f"Features of {slide.name} can't be stored in {path.parent} ({error}); choose another store."
            ) from error
        return path


def stored_name(text: str) -> str:
    """Return what a text looks like in the name of a stored file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[-80:]


def _same(coords: h5py.Dataset, slide: Slide, encoder: Encoder, spec: PatchSpec) -> bool:
    return all(_equal(coords.attrs.get(name), value) for name, value in _identity(slide, encoder, spec).items())


def _equal(found: Any, wanted: Any) -> bool:
    return bool(np.array_equal(np.asarray(found), np.asarray(wanted)))


def _identity(slide: Slide, encoder: Encoder, spec: PatchSpec) -> dict[str, Any]:
    """Say what must be the same for stored features to stand for new ones."""
    return {
        "slide_fingerprint": slide.fingerprint,
        "encoder_digest": encoder.digest,
        "patchspec_digest": spec.digest,
        "mpp_level0": np.asarray(slide.mpp, dtype=np.float64),
    }


def _trident(slide: Slide, spec: PatchSpec, grid: PatchGrid) -> dict[str, Any]:
    """Give what TRIDENT's readers ask for, magnifications being labels (10 µm over the mpp), and the true mpp beside them."""
    finest = min(slide.mpp) if slide.mpp else spec.mpp
    return {
        "patch_size": spec.size,
        "patch_size_level0": float(grid.size_level0),
        "level0_magnification": round(10 / finest),
        "target_magnification": round(10 / spec.mpp, 3),
        "overlap": spec.size - spec.stride,
        "level0_width": slide.width,
        "level0_height": slide.height,
        "level0_origin": slide.origin,
        "name": slide.name,
        "mpp_target": spec.mpp,
    }
