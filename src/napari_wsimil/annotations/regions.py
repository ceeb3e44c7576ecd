"""Regions of a slide that somebody gave a class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from napari_wsimil.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FURTHEST = 1e8
"""No slide has pixels beyond: larger coordinates are a mistake, and areas of them would lose digits."""


@dataclass(frozen=True)
class Region:
    """A region drawn on a slide.

    Attributes
    ----------
    name
        The class it was given, as written in the file: perhaps "Tumour", "!Tumour", "not Tumour" or "Ignore*".
    shape
        Valid polygon or polygons with holes, in level-0 pixels of the whole canvas, y down.
    parents
        Wider classes that the file puts this one in, the nearest first ("Tumour" for QuPath's "Tumour: necrotic").
    """

    name: str
    shape: shapely.Geometry
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Annotations:
    """All regions of one slide.

    Attributes
    ----------
    path
        The file.
    regions
        Those with an area and a class.
    skipped
        Why others take no part -> how many.
    unclassed
        Those with an area but without a class, which tell where something is, not what; they count as skipped too.
    """

    path: Path
    regions: tuple[Region, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    unclassed: tuple[Region, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that were drawn, each once, in alphabetical order."""
        return tuple(sorted({region.name for region in self.regions}))

    def shifted(self, x: float, y: float) -> Annotations:
        """The same regions, moved by level-0 pixels."""
        if not (x or y):
            return self
        moved, unclassed = (
            tuple(
                Region(region.name, shapely.transform(region.shape, lambda xy: xy + np.array([x, y])), region.parents)
                for region in regions
            )
            for regions in (self.regions, self.unclassed)
        )
        return Annotations(self.path, moved, self.skipped, unclassed)


class Collected:
    """Gathers the regions of a file while it is read.

    Parameters
    ----------
    path
        For sentences.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.regions: list[Region] = []
        self.unclassed: list[Region] = []
        self.skipped: Counter[str] = Counter()

    def skip(self, why: str) -> None:
        """Count a shape that takes no part."""
        self.skipped[why] += 1

    def add(
        self, name: str, polygons: Iterable[Sequence[Any]], parents: tuple[str, ...] = (), *, ellipse: bool = False
    ) -> None:
        """Add polygons, each a sequence of rings (the outline, then holes) of (x, y); the ellipse in their box where told.

        Raises
        ------
        AnnotationError
            A ring is no list of finite positions on a slide.
        """
        found = [self._polygon(rings) for rings in polygons]
        shape = valid_shape(found)
        if ellipse and not shape.is_empty:
            shape = _ellipse(*shape.bounds)
        has_area = not shape.is_empty and shape.area > 0
        if not name:
            self.skip("without a class")
            if has_area:
                self.unclassed.append(Region(name, shape, parents))
        elif not has_area:
            self.skip("without an area")
        else:
            self.regions.append(Region(name, shape, parents))

    def done(self) -> Annotations:
        """What was gathered."""
        return Annotations(self.path, tuple(self.regions), dict(self.skipped), tuple(self.unclassed))

    def _polygon(self, rings: Sequence[Any]) -> shapely.Polygon:
        if not isinstance(rings, (list, tuple)) or not rings:
            raise self.fault("holds a polygon that is no list of rings")
        drawn = [self._ring(ring) for ring in rings]
        if len(drawn[0]) < 3:
            return shapely.Polygon()
        return shapely.Polygon(drawn[0], [hole for hole in drawn[1:] if len(hole) >= 3])

    def _ring(self, ring: Any) -> NDArray[np.float64]:
        try:
            points = np.asarray(ring, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.fault("holds a polygon whose points are no numbers") from error
        if not points.size:
            return np.empty((0, 2))
        if points.ndim != 2 or points.shape[1] < 2:
            raise self.fault("holds a polygon whose points are no pairs of x and y")
        if not (np.abs(points[:, :2]) <= FURTHEST).all():
            raise self.fault("holds a polygon with a point that no slide has")
        return points[:, :2]

    def fault(self, what: str) -> AnnotationError:
        """The sentence for a file that can't be used."""
        return AnnotationError(f"{self.path} {what}; save it again from QuPath (GeoJSON) or ASAP (XML).")


def valid_shape(polygons: Sequence[shapely.Polygon]) -> shapely.Geometry:
    """One valid shape: lines drawn by hand cross themselves."""
    made = shapely.make_valid(np.array(polygons, dtype=object), method="structure", keep_collapsed=False)
    return made[0] if len(made) == 1 else shapely.union_all(made)


def _ellipse(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    angle = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return shapely.Polygon(((left + right) / 2, (top + bottom) / 2) + unit * ((right - left) / 2, (bottom - top) / 2))
