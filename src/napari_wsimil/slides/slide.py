"""`Slide`: one open slide, whatever its format."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_wsimil.errors import SlideError, SlideWarning
from napari_wsimil.slides._associated import AssociatedImages
from napari_wsimil.slides._cache import TileCache
from napari_wsimil.slides._damage import DamageReport
from napari_wsimil.slides._levels import Pyramid
from napari_wsimil.slides._mpp import settle
from napari_wsimil.slides._open import Recipe, open_backend
from napari_wsimil.slides._scaled import Region, read_scaled
from napari_wsimil.slides._window import Box, read_window
from napari_wsimil.slides.backends.base import TileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from napari_wsimil.slides._dask import WindowArray
    from napari_wsimil.slides._mpp import PixelSize
    from napari_wsimil.slides.backends.base import Backend, Level

_RUN = 8
"""Patches that one thread reads in a row; neighbours share tiles."""


def open_slide(path: str | Path, *, mpp: float | tuple[float, float] | None = None, backend: str | None = None) -> Slide:
    """Open a slide; reads what it says of itself and no pixels.

    Parameters
    ----------
    path
        A slide file, or the folder of one DICOM series.
    mpp
        µm per pixel of level 0, one number or (x, y); overrides what the file says.
    backend
        "tiff", "openslide" or "dicom"; by default the one that the content of the file calls for.

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
        pixel_size = settle(path.name, opened.metadata, mpp)
    except BaseException:
        opened.close()
        raise
    return Slide(opened, pixel_size, (*notices, *pixel_size.notices), Recipe(str(path.absolute()), mpp, backend))


def _reopen(recipe: Recipe) -> Slide:
    """Open again where a pickle arrives; the user was warned where it was opened first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlideWarning)
        return open_slide(recipe.path, mpp=recipe.mpp, backend=recipe.backend)


class Slide:
    """An open slide; made by `open_slide`.

    All reads may come from many threads at once. A slide can be pickled: it opens the file again where it arrives. Coordinates
    are level-0 pixels (x, y); arrays are (rows, columns, 3) uint8 RGB, white where nothing was scanned.

    Attributes
    ----------
    path, name
        The file or folder, and its name without suffix.
    backend
        "tiff", "openslide" or "dicom".
    levels
        The stored levels, finest first.
    width, height
        Size of level 0 in pixels.
    mpp
        (x, y) µm per pixel of level 0, or None where nobody knows.
    mpp_source
        Who says so: "vendor", "ome", "dicom", "tiff", "user" or None.
    vendor, objective_power, properties
        What the file says of itself.
    associated_images
        name -> (rows, columns, 3) uint8, read when asked for. The label may show a patient's name: ask for it by name only.
    """

    def __init__(self, backend: Backend, pixel_size: PixelSize, notices: tuple[str, ...], recipe: Recipe) -> None:
        self._backend = backend
        self._recipe = recipe
        self._notices = notices
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        self._cache = TileCache()
        self.path = Path(recipe.path)
        self._damage = DamageReport(self.path.name)
        self.name = (
            self.path.name.removesuffix(self.path.suffix).removesuffix(".ome") if self.path.is_file() else self.path.name
        )
        self.backend = backend.name
        self.levels = backend.levels
        self.width, self.height = self.levels[0].width, self.levels[0].height
        self.mpp, self.mpp_source = pixel_size.mpp, pixel_size.source
        self.vendor = backend.metadata.vendor
        self.objective_power = backend.metadata.objective_power
        self.properties = backend.metadata.properties
        self.associated_images: Mapping[str, NDArray[np.uint8]] = AssociatedImages(backend)
        self._shown = Pyramid(self.levels, self._cache, self._read_stored_tile)

    def __repr__(self) -> str:
        mpp = "mpp unknown" if self.mpp is None else f"{self.mpp[0]:.4g} µm/px"
        return f"<Slide {self.path.name}: {self.width} x {self.height} px, {mpp}, {len(self.levels)} levels, {self.backend}>"

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences that the user must see; damaged tiles add to them while the slide is read."""
        return (*self._notices, *self._damage.notices)

    @cached_property
    def fingerprint(self) -> str:
        """Stable id of the pixels, 32 hex digits: the same for a copy under another name, and cheap to find."""
        digest = hashlib.sha256(repr([(level.width, level.height) for level in self.levels]).encode())
        for part in self._backend.identity():
            digest.update(part)
        return digest.hexdigest()[:32]

    def read_region(
        self, x: float, y: float, width: int, height: int, mpp: float | None = None, level: int | None = None
    ) -> NDArray[np.uint8]:
        """Read a rectangle.

        Parameters
        ----------
        x, y
            Top-left corner in level-0 pixels; fractions and places outside the slide are allowed.
        width, height
            Size of the result in pixels of the result.
        mpp
            Magnification of the result in µm per pixel: the area mean of the nearest finer stored level (a level within 2 %
            counts as equal); enlarged only where level 0 itself is coarser.
        level
            Read this stored level as it is. Without `mpp` and `level`: level 0.

        Returns
        -------
        (height, width, 3) uint8, white outside the slide.

        Raises
        ------
        SlideError
            Both or an unknown level given, or `mpp` given for a slide that does not know its own.
        """
        if mpp is not None:
            if level is not None:
                raise SlideError("Give either mpp or level to read a region, not both.")
            return self.read_downsampled(x, y, width, height, self.ratio(mpp))
        about = self._level(level or 0)
        scale_x, scale_y = self.width / about.width, self.height / about.height
        box = Box(int(np.floor(x / scale_x + 0.5)), int(np.floor(y / scale_y + 0.5)), width, height)
        return self.read_level_window(about, box)

    def ratio(self, mpp: float) -> tuple[float, float]:
        """Level-0 pixels per pixel at `mpp`, in x and y.

        Raises
        ------
        SlideError
            The slide does not know its own mpp.
        """
        if self.mpp is None:
            raise SlideError(f"{self.path.name} does not say how many micrometres a pixel measures; open it with mpp=...")
        if not mpp > 0:
            raise SlideError(f"mpp must be a positive number of micrometres per pixel, not {mpp}.")
        return mpp / self.mpp[0], mpp / self.mpp[1]

    def read_downsampled(
        self, x: float, y: float, width: int, height: int, ratio: tuple[float, float], *, keep: bool = True
    ) -> NDArray[np.uint8]:
        """Read like `read_region` at an mpp, for slides without one: `ratio` is level-0 pixels per result pixel, in x and y."""
        return read_scaled(self._shown, self.levels, self._cache, Region(x, y, width, height, ratio), keep=keep)

    def read_patches(self, xy: ArrayLike, size: int, mpp: float, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Read many square patches in a pool of threads; the same pixels as `read_region`.

        Parameters
        ----------
        xy
            (n, 2) top-left corners in level-0 pixels.
        size, mpp
            Side in pixels at `mpp` µm per pixel.
        out
            (n, size, size, 3) uint8 to write to; made where None.
        """
        corners = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        shape = (len(corners), size, size, 3)
        if out is None:
            out = np.empty(shape, np.uint8)
        elif out.shape != shape or out.dtype != np.uint8:
            raise SlideError(f"Patches of shape {shape} uint8 do not fit into an array of {out.shape} {out.dtype}.")
        ratio = self.ratio(mpp)

        def read_run(start: int) -> None:
            for row in range(start, min(start + _RUN, len(corners))):
                region = Region(float(corners[row, 0]), float(corners[row, 1]), size, size, ratio)
                read_scaled(self._shown, self.levels, self._cache, region, out[row], keep=False)

        for _ in self._threads().map(read_run, range(0, len(corners), _RUN)):
            pass
        return out

    def dask(self, level: int) -> WindowArray:
        """A stored level as a Dask array (rows, columns, 3) uint8; slicing it costs what the window costs."""
        return self._array(self._level(level))

    def pyramid(self) -> list[WindowArray]:
        """Arrays for display, finest first: the stored levels completed to steps of about 2, down to <= 1024 px."""
        return [self._array(level) for level in self._shown.levels]

    @property
    def pyramid_downsamples(self) -> list[float]:
        """Level-0 pixels per pixel of each array of `pyramid`."""
        return [level.downsample for level in self._shown.levels]

    def read_level_window(self, level: Level, box: Box) -> NDArray[np.uint8]:
        """A window of a stored or virtual level, in pixels of that level."""
        return read_window(self._shown, level, self._cache, box)

    def close(self) -> None:
        """Release the file; reads under way finish, later ones raise `SlideError`. May be called twice."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        self._backend.close()
        self._cache.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._recipe,)

    def _array(self, level: Level) -> WindowArray:
        from napari_wsimil.slides._dask import level_array

        return level_array(self, level)

    def _level(self, index: int) -> Level:
        if not 0 <= index < len(self.levels):
            raise SlideError(f"{self.path.name} has levels 0 to {len(self.levels) - 1}, not {index}.")
        return self.levels[index]

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._closed:
                raise SlideError(f"{self.path.name} was closed; open the slide again to read from it.")
            if self._pool is None:
                self._pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="wsi-read")
            return self._pool

    def _read_stored_tile(
        self, level: int, column: int, row: int, scratch: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8] | None:
        if self._closed:
            raise SlideError(f"{self.path.name} was closed; open the slide again to read from it.")
        try:
            return self._backend.read_tile(level, column, row, scratch)
        except TileError as error:
            self._damage.add(self.levels[level], column, row, error)
            return None
