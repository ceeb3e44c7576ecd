"""Files of regions: read into a layer, written, and kept in the user's cache until they were saved. Runs in any thread."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from napari_wsimil.annotations import Annotations, looks_like_annotations, read_annotations, write_annotations
from napari_wsimil.annotations.classes import same_name
from napari_wsimil.annotations.files import OWN_SUFFIX
from napari_wsimil.annotations.masks import regions_of_mask
from napari_wsimil.errors import AnnotationError
from napari_wsimil.samples import sample_folder
from napari_wsimil.widgets.annotate.raster import raster_layer, too_many
from napari_wsimil.widgets.annotate.region_layer import Row, make_layer, rows_from

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.annotations import Region
    from napari_wsimil.annotations.classes import Colour
    from napari_wsimil.slides import Slide
    from napari_wsimil.widgets.annotate.class_book import ClassBook
    from napari_wsimil.widgets.annotate.region_layer import ColourOf, Drawn, Origin


class Known(Protocol):
    """What is asked of a slide to find its files: it need not be open."""

    @property
    def path(self) -> Path:
        """The slide file or folder."""

    @property
    def fingerprint(self) -> str:
        """Stable id of its pixels."""


@dataclass(frozen=True)
class Put:
    """A layer made of regions, ready to be shown.

    Attributes
    ----------
    layer
        Shapes that can be edited, or a picture of too many.
    names
        The classes in it.
    note
        What a user must know.
    before
        How many shapes the layer had when this was begun.
    """

    layer: Any
    names: tuple[str, ...]
    note: str
    before: int


def read_into_layer(
    path: Path, slide: Slide, rows: tuple[list[Row], dict[str, Origin]], colour_of: ColourOf, width: float
) -> Put:
    """Regions of a file beside those that are there, as a layer.

    Raises
    ------
    AnnotationError
        The file can't be read, or holds no region.
    """
    found = read_annotations(path, origin=(float(slide.origin[0]), float(slide.origin[1])))
    regions = (*found.regions, *found.unclassed)
    skipped = ", ".join(f"{count:,} {why}" for why, count in found.skipped.items() if why != "without a class")
    if not regions:
        raise AnnotationError(f"{path.name} holds no region with an area{f' ({skipped})' if skipped else ''}.")
    note = f"{len(regions):,} region{'s' if len(regions) > 1 else ''} from {path.name}"
    note += f"; left out: {skipped}." if skipped else "."
    if too_many(regions):
        layer = raster_layer(slide, regions, colour_of, f"{path.name} (picture)")
        note += " That is too much to be edited as shapes, so it is shown as a picture; it can be compared and exported."
        return Put(layer, found.names, note, len(rows[0]))
    return into_layer(regions, slide, rows, colour_of, width, path.name, note)


def into_layer(
    regions: Sequence[Region],
    slide: Slide,
    rows: tuple[list[Row], dict[str, Origin]],
    colour_of: ColourOf,
    width: float,
    label: str,
    note: str,
) -> Put:
    """Regions beside the shapes that are there, as one layer."""
    added, origins = rows_from(regions, label, len(rows[1]) + 1)
    layer = make_layer(slide, [*rows[0], *added], {**rows[1], **origins}, colour_of, width)
    return Put(layer, tuple({region.name for region in regions}), note, len(rows[0]))


def painted_into_layer(
    mask: NDArray[np.uint8],
    names: Mapping[int, str],
    step: float,
    slide: Slide,
    rows: tuple[list[Row], dict[str, Origin]],
    colour_of: ColourOf,
    width: float,
) -> Put:
    """What was painted, as regions beside those that are there.

    Raises
    ------
    AnnotationError
        Nothing was painted.
    """
    regions = regions_of_mask(mask, names, step)
    if not regions:
        raise AnnotationError("Nothing is painted yet; choose a class and paint with the brush first.")
    if too_many(regions):
        raise AnnotationError(
            f"{len(regions):,} painted areas are too many for shapes; fill the gaps between them, or paint at a coarser size."
        )
    note = f"{len(regions):,} painted area{'s' if len(regions) > 1 else ''} became regions."
    return into_layer(regions, slide, rows, colour_of, width, "painted", note)


def write_drawn(drawn: Drawn, path: Path, slide: Slide, book: ClassBook) -> Path:
    """Write all that is drawn on a slide; the suffix chooses the format."""
    annotations = drawn.annotations(path)
    return write_annotations(annotations, path, origin=slide.origin, colours=file_colours(annotations, book))


def file_colours(annotations: Annotations, book: ClassBook) -> dict[str, Colour]:
    """The colours on the screen, by the names in the file."""
    known = {same_name(one.name): one.colour for one in book.classes}
    return {name: known[same_name(name)] for name in annotations.names if same_name(name) in known}


def own_file(slide: Known) -> Path:
    """What Save offers for a slide."""
    return slide.path.with_name(slide.path.stem + OWN_SUFFIX)


def draft_of(slide: Known) -> Path:
    """Where regions of a slide are kept until they are saved."""
    return sample_folder() / "annotations" / f"{slide.fingerprint}.geojson"


def keep_draft(drawn: Drawn, slide: Slide, book: ClassBook) -> Path | None:
    """Keep what is drawn in the cache; None, and nothing is kept, where nothing is drawn."""
    draft = draft_of(slide)
    if drawn.is_empty:
        drop_draft(slide)
        return None
    draft.parent.mkdir(parents=True, exist_ok=True)
    return write_drawn(drawn, draft, slide, book)


def drop_draft(slide: Slide) -> None:
    """Forget what was kept: it was saved, or is not wanted."""
    with suppress(OSError):
        draft_of(slide).unlink()


def offered_file(slide: Known) -> Path | None:
    """Regions of a slide that could be opened: those not saved yet, else a file beside it."""
    beside = (own_file(slide), slide.path.with_suffix(".geojson"), slide.path.with_suffix(".xml"))
    for path in (draft_of(slide), *beside):
        if path.is_file() and looks_like_annotations(path):
            return path
    return None
