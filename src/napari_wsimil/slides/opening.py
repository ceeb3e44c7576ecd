"""Opening a slide, and opening it again where a pickle of it arrives."""

from __future__ import annotations

import warnings
from pathlib import Path

from napari_wsimil.errors import SlideWarning
from napari_wsimil.slides._mpp import settle
from napari_wsimil.slides._open import Recipe, open_backend
from napari_wsimil.slides.slide import Slide


def open_slide(path: str | Path, *, mpp: float | tuple[float, float] | None = None, backend: str | None = None) -> Slide:
    """Open a slide; reads what it says of itself and no pixels.

    Parameters
    ----------
    path
        A slide file, the folder of one DICOM series, or an OME-Zarr.
    mpp
        µm per pixel of level 0, one number or (x, y); overrides what the file says.
    backend
        "tiff", "openslide", "dicom", "ome-zarr" or "czi"; by default the one that the content of the file calls for.

    Raises
    ------
    SlideError
        It is no slide that can be read; one sentence says why.

    Warns
    -----
    SlideWarning
        The file states a pixel size that can't be true.
    """
    path = Path(path).expanduser()
    opened, notices = open_backend(path, backend)
    try:
        pixel_size = settle(opened.path.name, opened.metadata, mpp)
    except BaseException:
        opened.close()
        raise
    return Slide(opened, pixel_size, (*notices, *pixel_size.notices), Recipe(str(opened.path.absolute()), mpp, backend))


def reopen(recipe: Recipe) -> Slide:
    """Open again where a pickle arrives; the user was warned where it was opened first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlideWarning)
        return open_slide(recipe.path, mpp=recipe.mpp, backend=recipe.backend)
