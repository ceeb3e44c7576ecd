"""Ranked patches as a table, and as pictures."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_wsimil.errors import ExportError
from napari_wsimil.files import written_together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.inference.ranking import RankedPatch
    from napari_wsimil.patches.patch import Patch
    from napari_wsimil.slides import Slide

TABLE = "regions.csv"
LARGEST_SIDE = 8192
"""Pixels; a patch that would be larger is read smaller."""

UM_PER_INCH = 25_400.0


def region_records(regions: Sequence[RankedPatch]) -> list[dict[str, Any]]:
    """A row of plain values for each patch: rank, score, what the score is, and where the patch is in level-0 pixels."""
    return [
        {
            "rank": region.rank,
            "score": float(f"{region.score:.6g}"),
            "by": region.ranking.label,
            "class": region.ranking.class_name,
            "x": region.patch.x,
            "y": region.patch.y,
            "size_level0": round(region.patch.size_level0, 4),
            "mpp": region.patch.mpp,
        }
        for region in regions
    ]


def save_regions(
    slide: Slide, regions: Sequence[RankedPatch], folder: str | Path, *, on_saved: Callable[[int], object] = lambda _: None
) -> list[Path]:
    """Write the pixels that a model saw of patches as PNGs, and `regions.csv` with their ranks, scores and places.

    The patches are read at the magnification at which the model looked at them. All files come at once, or none; others in the
    folder stay.

    Parameters
    ----------
    slide
        The slide of the patches.
    regions
        From `rank_patches` or `similar_patches`.
    folder
        Made if missing.
    on_saved
        Called with the number of pictures read so far.

    Returns
    -------
    list of Path
        The pictures in the order of the ranks, and the table last.

    Raises
    ------
    ExportError
        There is nothing to save, or the folder can't be written.
    SlideError
        The slide can't be read.
    """
    if not regions:
        raise ExportError("There are no regions to save.")
    folder = Path(folder)
    digits = max(2, len(str(regions[-1].rank)))
    names = [f"region_{region.rank:0{digits}d}.png" for region in regions]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_together(folder, TABLE) as part:
            for count, (name, region) in enumerate(zip(names, regions, strict=True), start=1):
                _save(patch_pixels(slide, region.patch), part / name, region.patch.mpp)
                on_saved(count)
            rows = [{**record, "file": name} for record, name in zip(region_records(regions), names, strict=True)]
            (part / TABLE).write_text(_csv(rows), encoding="utf-8", newline="")
    except OSError as error:
        raise ExportError(f"Can't write to {folder}: {error.strerror or error}; choose a folder you may write to.") from error
    return [folder / name for name in (*names, TABLE)]


def patch_pixels(slide: Slide, patch: Patch) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 pixels of a patch at the magnification at which a model looks at it."""
    mpp = float(np.mean(slide.mpp)) if slide.mpp else patch.mpp
    side = min(LARGEST_SIDE, max(1, round(patch.size_level0 * mpp / patch.mpp)))
    ratio = patch.size_level0 / side
    return slide.read_downsampled(patch.x, patch.y, side, side, (ratio, ratio))


def _save(pixels: NDArray[np.uint8], path: Path, mpp: float) -> None:
    inch = UM_PER_INCH / mpp
    Image.fromarray(pixels).save(path, dpi=(inch, inch))


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
