"""Which patches lie inside what was drawn: "look only here"."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import shapely

from napari_wsimil.annotations.classes import plain_name
from napari_wsimil.annotations.coverage import EXCLUDED, IGNORED
from napari_wsimil.annotations.files import read_annotations
from napari_wsimil.annotations.regions import FURTHEST, Annotations, valid_shape
from napari_wsimil.annotations.shapes import no_shapes
from napari_wsimil.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wsimil.annotations.regions import Region
    from napari_wsimil.annotations.shapes import Shapes
    from napari_wsimil.patches import PatchGrid
    from napari_wsimil.slides import Slide

Outlines: TypeAlias = Sequence[Sequence[tuple[float, float]]]
"""Closed lines of at least three (x, y) in level-0 pixels."""

SUFFIXES = (".geojson", ".json", ".xml", ".geojson.gz", ".json.gz", ".xml.gz")
"""Of the files that a folder is searched for."""


@dataclass(frozen=True)
class Area:
    """Where to look on a slide.

    Attributes
    ----------
    shapes
        Where: polygons with holes, which may overlap, in level-0 pixels.
    cut
        And not where.
    source
        Where they come from, for sentences.
    """

    shapes: Shapes
    cut: Shapes
    source: str

    @property
    def digest(self) -> str:
        """Short hex SHA-256 of where and where not."""
        parts = [b"".join(shapely.to_wkb(shapely.normalize(shapes))) for shapes in (self.shapes, self.cut)]
        return hashlib.sha256(b"|".join(parts)).hexdigest()[:16]


def read_outlines(told: str | Path | Outlines, slide: Slide) -> Area:
    """Find where to look on a slide.

    Parameters
    ----------
    told
        An annotation file, see `read_annotations`, whose coordinates start at the slide's `origin` where QuPath wrote it; a
        folder of such files, of which the one named as the slide is taken; or outlines in level-0 pixels.

    Returns
    -------
    All regions together, whatever their class or without one, less those called "ignore" or "exclusion".

    Raises
    ------
    AnnotationError
        A file is missing or can't be read, or there is no region in it.
    """
    if not isinstance(told, str | Path):
        return _checked(_area(told))
    path = _of_slide(Path(told).expanduser(), slide)
    x, y = slide.origin
    return _checked(_area(read_annotations(path, origin=(float(x), float(y)))))


def inside(grid: PatchGrid, area: Area | Annotations | Outlines) -> NDArray[np.bool_]:
    """(N,) whether the centre of each patch of a grid lies in an area, its edge included.

    Parameters
    ----------
    area
        From `read_outlines`; or annotations, or outlines.
    """
    found = np.zeros(len(grid), np.bool_)
    where = area if isinstance(area, Area) else _area(area)
    centres = shapely.STRtree(shapely.points(grid.xy + grid.size_level0 / 2))
    for shapes, told in ((where.shapes, True), (where.cut, False)):
        # the polygons ask, so that it is they who are prepared: points in polygons of many vertices take microseconds then
        found[centres.query(shapes, predicate="intersects")[1]] = told
    return found


def grid_inside(grid: PatchGrid, area: Area, slide: Slide) -> PatchGrid:
    """The patches of a grid whose centre lies in an area.

    Raises
    ------
    AnnotationError
        There is none.
    """
    kept = inside(grid, area)
    if kept.any():
        return grid.where(kept)
    left, top, right, bottom = shapely.total_bounds(area.shapes)
    if right < 0 or bottom < 0 or left > slide.width or top > slide.height:
        why = f"they lie beyond the slide ({slide.width} x {slide.height} px); check that they were drawn on this one"
    else:
        why = "they hold no tissue or are smaller than a patch; draw larger ones, or look at the whole slide"
    raise AnnotationError(
        f"No patch of {slide.path.name} at {grid.mpp:g} µm per pixel has its centre in the regions of {area.source}: {why}."
    )


def checked_outlines(outlines: object) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Outlines as tuples of numbers.

    Raises
    ------
    AnnotationError
        They are none.
    """
    usage = "Give outlines as lists of at least three (x, y) in level-0 pixels"
    if not isinstance(outlines, Sequence | np.ndarray) or isinstance(outlines, str | bytes) or not len(outlines):
        raise AnnotationError(f"{usage}.")
    found = []
    for line in outlines:
        try:
            points = np.asarray(line, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise AnnotationError(f"{usage}; one of them holds something else.") from error
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise AnnotationError(f"{usage}; one of them has the shape {points.shape}.")
        if not (np.abs(points) <= FURTHEST).all():
            raise AnnotationError(f"{usage}; one of them has a point that no slide has.")
        found.append(tuple((float(x), float(y)) for x, y in points))
    return tuple(found)


def _area(drawn: Annotations | Outlines) -> Area:
    if not isinstance(drawn, Annotations):
        lines = [valid_shape([shapely.Polygon(line)]) for line in checked_outlines(drawn)]
        return Area(_with_area(lines), no_shapes(), "the outlines")
    kept: list[shapely.Geometry] = []
    cut: list[shapely.Geometry] = []
    for region in drawn.regions + drawn.unclassed:
        (cut if _is_cut(region) else kept).append(region.shape)
    return Area(_with_area(kept), _with_area(cut), str(drawn.path))


def _with_area(shapes: Sequence[shapely.Geometry]) -> Shapes:
    found = np.array(shapes, dtype=object)
    return found[shapely.area(found) > 0] if len(found) else no_shapes()


def _is_cut(region: Region) -> bool:
    return any(plain_name(name) in (IGNORED, EXCLUDED) for name in (region.name, *region.parents))


def _checked(area: Area) -> Area:
    if not len(area.shapes):
        raise AnnotationError(f"There is no region with an area in {area.source}; draw one around what shall be looked at.")
    return area


def _of_slide(path: Path, slide: Slide) -> Path:
    """The file itself, or the one in a folder that is named as the slide."""
    if not path.is_dir():
        return path
    names = dict.fromkeys(f"{stem}{suffix}" for stem in (slide.path.name, slide.name) for suffix in SUFFIXES)
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise AnnotationError(f"The folder {path} holds no regions for {slide.path.name}; {slide.name}.geojson was looked for.")
    return found
