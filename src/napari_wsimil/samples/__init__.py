"""Sample slides that ship by being made: H&E-like, pyramidal, with the truth beside them.

They look like sections of a bowel wall (mucosa with glands, muscle, fat, lymphoid aggregates, vessels); a "tumour" slide has
foci of crowded, large, irregular nuclei where glands are lost. They are drawings, for demonstration and tests, and say nothing
about people.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.files import written_whole
from napari_wsimil.samples._truth import read_truth, truth_path, tumour_fraction

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.samples._confounders import ConfounderKind
    from napari_wsimil.samples._layout import Kind

__all__ = ["make_sample_slide", "read_truth", "sample_folder", "truth_path", "tumour_fraction"]

SIZE = 16384
"""Side of a sample slide in level-0 px, 8 mm."""

VERSION = 1
"""Number of the drawing: a change of the pixels raises it, so that a slide kept from before is made anew."""


def sample_folder() -> Path:
    """Where sample slides are kept: ``$NAPARI_WSIMIL_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("NAPARI_WSIMIL_CACHE")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return Path(user_cache_path("napari-wsimil", appauthor=False))


def _kept(kind: Kind, seed: int, size: int, confounder: ConfounderKind | None) -> Path:
    which = "" if (seed, size) == (0, SIZE) else f"-seed{seed}-{size}px"
    which += f"-{confounder}" if confounder else ""
    return sample_folder() / f"samples-v{VERSION}" / f"sample-{kind}{which}.tiff"


def make_sample_slide(
    path: str | Path | None = None,
    *,
    kind: Kind = "tumour",
    seed: int = 0,
    size: int = SIZE,
    confounder: ConfounderKind | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make a pyramidal H&E-like slide at 0.5 µm per pixel, and its truth as ``<name>.truth.geojson`` beside it.

    Parameters
    ----------
    path
        File to write; None keeps it in the user's cache, where a slide made before is used again.
    kind
        "tumour", with one to five foci, or "normal".
    seed
        Another number, another slide; the same number, the same pixels on every machine.
    size
        Side in level-0 px, a multiple of 1024.
    confounder
        "pen" or "blur" plants violet ink, or an area out of focus, on about a fifth of the tissue, clear of the foci: what a
        model must not go by. The tissue detector leaves it in, the truth has it as "Confounder", the rest stays the same.
    progress
        Called with (blocks painted, blocks in all).

    Raises
    ------
    ValueError
        For another kind or confounder, or a size that can't be drawn.
    """
    if kind not in ("tumour", "normal"):
        raise ValueError(f"kind {kind!r} is neither 'tumour' nor 'normal'")
    if confounder not in (None, "pen", "blur"):
        raise ValueError(f"confounder {confounder!r} is neither 'pen' nor 'blur'")
    chosen = path is not None
    target = Path(path) if path is not None else _kept(kind, seed, size, confounder)
    if not chosen and target.exists() and truth_path(target).exists():
        return target
    from napari_wsimil.samples._layout import make_layout
    from napari_wsimil.samples._paint import Painter
    from napari_wsimil.samples._truth import truth_json
    from napari_wsimil.samples._write import write_slide

    layout = make_layout(kind, seed, size, confounder)
    target.parent.mkdir(parents=True, exist_ok=True)
    planted = f", {confounder}" if confounder else ""
    description = f"napari-wsimil sample slide {VERSION}: {kind}, seed {seed}{planted}. A drawing, for demonstration only."
    with written_whole(target) as part, written_whole(truth_path(target)) as truth:
        write_slide(Painter(layout), part, description, progress)
        truth.write_text(truth_json(layout))
    return target
