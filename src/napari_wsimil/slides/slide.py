"""`Slide`: one open slide, whatever its format."""

from __future__ import annotations

import hashlib
import weakref
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_wsimil.errors import SlideError, printable
from napari_wsimil.slides._associated import AssociatedImages
from napari_wsimil.slides._cache import SHARED, SlideTiles
from napari_wsimil.slides._colour import Colour, ToSRGB, check_colour
from napari_wsimil.slides._damage import DamageReport
from napari_wsimil.slides._reader import Reader, Resampling, check_resampling, checked_out
from napari_wsimil.slides._stored import StoredTiles, stamp
from napari_wsimil.slides._window import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from napari_wsimil.slides._dask import WindowArray
    from napari_wsimil.slides._mpp import PixelSize
    from napari_wsimil.slides._open import Recipe
    from napari_wsimil.slides.backends.base import Backend, Level


class Slide:
    """An open slide; made by `open_slide`.

    All reads may come from many threads at once. A slide can be pickled: it opens the file again where it arrives. Coordinates
    are level-0 pixels (x, y); arrays are (rows, columns, 3) uint8 RGB, white where nothing was scanned.

    Attributes
    ----------
    path, name
        The file or folder, and its name without suffix.
    backend
        "tiff", "openslide", "dicom", "ome-zarr" or "czi".
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
    icc_profile
        What the colours mean, as the bytes of an ICC profile; None where the file does not say.
    associated_images
        name -> (rows, columns, 3) uint8, read when asked for. The label may show a patient's name: ask for it by name only.
    """

    def __init__(self, backend: Backend, pixel_size: PixelSize, notices: tuple[str, ...], recipe: Recipe) -> None:
        self._backend = backend
        self._recipe = recipe
        self._notices = notices
        self.path = Path(recipe.path)
        self._damage = DamageReport(printable(self.path.name))
        whole_name = self.path.is_dir() and self.path.suffix.lower() != ".zarr"
        name = self.path.name if whole_name else self.path.name.removesuffix(self.path.suffix).removesuffix(".ome")
        self.name = printable(name)
        self.backend = backend.name
        self.levels = backend.levels
        self.width, self.height = self.levels[0].width, self.levels[0].height
        self.mpp, self.mpp_source = pixel_size.mpp, pixel_size.source
        self.vendor = backend.metadata.vendor
        self.objective_power = backend.metadata.objective_power
        self.properties = backend.metadata.properties
        self.associated_images: Mapping[str, NDArray[np.uint8]] = AssociatedImages(backend)
        self.icc_profile = backend.metadata.icc_profile
        # two openings share their tiles if they are of the same pixels, decoded by the same code, in a file that did not change
        self._cache = SlideTiles(SHARED, f"{self.fingerprint} {backend.name} {type(backend).__name__} {stamp(self.path)}")
        self._reader = Reader(StoredTiles(backend, self.path, self._damage), self._cache)
        weakref.finalize(self, self._cache.close).atexit = False

    def __repr__(self) -> str:
        mpp = "mpp unknown" if self.mpp is None else f"{self.mpp[0]:.4g} µm/px"
        name = printable(self.path.name)
        return f"<Slide {name}: {self.width} x {self.height} px, {mpp}, {len(self.levels)} levels, {self.backend}>"

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences that the user must see; damaged tiles add to them while the slide is read."""
        return (*map(printable, self._notices), *self._damage.notices)

    @property
    def read_faults(self) -> tuple[OSError, ...]:
        """What the system said where tiles could not be read and are shown as background: a fault of the disk, no damage."""
        return tuple(self._damage.faults)

    @cached_property
    def fingerprint(self) -> str:
        """Stable id of the pixels, 32 hex digits: the same for a copy under another name, and cheap to find."""
        digest = hashlib.sha256(repr([(level.width, level.height) for level in self.levels]).encode())
        for part in self._backend.identity():
            digest.update(part)
        return digest.hexdigest()[:32]

    @property
    def origin(self) -> tuple[int, int]:
        """(x, y) level-0 pixels of the corner of the scanned area, from which QuPath counts; (0, 0) where all is scanned."""
        x, y = (self.properties.get(f"openslide.bounds-{axis}", "0") for axis in "xy")
        return (int(x) if x.isdecimal() else 0), (int(y) if y.isdecimal() else 0)

    def read_region(
        self,
        x: float,
        y: float,
        width: int,
        height: int,
        mpp: float | None = None,
        level: int | None = None,
        *,
        resampling: Resampling = "area",
        colour: Colour = "raw",
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Read a rectangle; large ones are read by several threads.

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
        resampling
            "area": the exact area mean. "dct": where no level is stored at `mpp`, libjpeg decodes the finer one at a half, a
            quarter or an eighth (44 to 50 dB from the area mean, and much faster), and what is left to shrink is the area
            mean; the same as "area" for files that are not JPEG.
        colour
            "raw" as stored, or "srgb" by the slide's ICC profile, after resampling; the same as "raw" without a profile.
        out
            (height, width, 3) uint8 to write to; made where None.

        Returns
        -------
        (height, width, 3) uint8, white outside the slide.

        Raises
        ------
        SlideError
            Both or an unknown level given, or `mpp` given for a slide that does not know its own; an unusable ICC profile.
        """
        if mpp is not None:
            if level is not None:
                raise SlideError("Give either mpp or level to read a region, not both.")
            ratio = self.ratio(mpp)
            return self.read_downsampled(x, y, width, height, ratio, resampling=resampling, colour=colour, out=out)
        about = self._level(level or 0)
        scale_x, scale_y = self.width / about.width, self.height / about.height
        box = Box(int(np.floor(x / scale_x + 0.5)), int(np.floor(y / scale_y + 0.5)), width, height)
        return self.read_level_window(about, box, colour=colour, out=out)

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
        self,
        x: float,
        y: float,
        width: int,
        height: int,
        ratio: tuple[float, float],
        *,
        keep: bool = True,
        resampling: Resampling = "area",
        colour: Colour = "raw",
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Read like `read_region` at an mpp, for slides without one: `ratio` is level-0 pixels per result pixel, in x and y."""
        check_resampling(resampling)
        out = checked_out(out, (height, width, 3), "Pixels")
        self._reader.scaled((x, y), ratio, out, keep=keep, resampling=resampling)
        return self._coloured(out, colour)

    def read_patches(
        self,
        xy: ArrayLike,
        size: int,
        mpp: float,
        out: NDArray[np.uint8] | None = None,
        *,
        resampling: Resampling = "area",
        colour: Colour = "raw",
    ) -> NDArray[np.uint8]:
        """Read many square patches in a pool of threads; the same pixels as `read_region`, each tile decoded once.

        Parameters
        ----------
        xy
            (n, 2) top-left corners in level-0 pixels, in any order.
        size, mpp
            Side in pixels at `mpp` µm per pixel.
        out
            (n, size, size, 3) uint8 to write to; made where None.
        resampling, colour
            See `read_region`.
        """
        check_resampling(resampling)
        corners = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        out = checked_out(out, (len(corners), size, size, 3), "Patches")
        self._reader.patches(corners, self.ratio(mpp), out, resampling)
        return self._coloured(out, colour)

    def warm(self, level: Level | int, box: Box, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Decode the tiles of a window into the cache, for a viewer that will want them soon.

        Parameters
        ----------
        level
            Of the pyramid, or its index in `pyramid()`.
        box
            (x, y, width, height) in pixels of that level.
        should_stop
            Asked before each tile.
        """
        about = self._reader.pyramid.levels[level] if isinstance(level, int) else level
        self._reader.warm(about, Box(*box), should_stop)

    def dask(self, level: int, colour: Colour = "raw") -> WindowArray:
        """A stored level as a Dask array (rows, columns, 3) uint8; slicing it costs what the window costs."""
        return self._array(self._level(level), colour)

    def pyramid(self, colour: Colour = "raw") -> list[WindowArray]:
        """Arrays for display, finest first: the stored levels completed to steps of about 2, down to <= 1024 px."""
        return [self._array(level, colour) for level in self._reader.pyramid.levels]

    @property
    def pyramid_downsamples(self) -> list[float]:
        """Level-0 pixels per pixel of each array of `pyramid`."""
        return [level.downsample for level in self._reader.pyramid.levels]

    def read_level_window(
        self, level: Level, box: Box, *, colour: Colour = "raw", out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """A window of a stored or virtual level, in pixels of that level."""
        out = checked_out(out, (box.height, box.width, 3), "Pixels")
        return self._coloured(self._reader.window(level, box, out), colour)

    @cached_property
    def _to_srgb(self) -> ToSRGB | None:
        return ToSRGB(self.icc_profile, self.path.name) if self.icc_profile else None

    def _coloured(self, pixels: NDArray[np.uint8], colour: Colour) -> NDArray[np.uint8]:
        check_colour(colour)
        if colour == "srgb" and self._to_srgb is not None:
            self._to_srgb.apply(pixels)
        return pixels

    def close(self) -> None:
        """Release the file; reads under way finish, later ones raise `SlideError`. May be called twice."""
        self._reader.close()
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        from napari_wsimil.slides.opening import reopen

        return reopen, (self._recipe,)

    def _array(self, level: Level, colour: Colour) -> WindowArray:
        from napari_wsimil.slides._dask import level_array

        check_colour(colour)
        return level_array(self, level, colour)

    def _level(self, index: int) -> Level:
        if not 0 <= index < len(self.levels):
            raise SlideError(f"{self.path.name} has levels 0 to {len(self.levels) - 1}, not {index}.")
        return self.levels[index]
