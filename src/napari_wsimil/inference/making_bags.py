"""From an open slide and what the user chose to the bag that a model asks for features."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from napari_wsimil.annotations import grid_inside, read_outlines
from napari_wsimil.annotations import inside as patches_inside
from napari_wsimil.bags import BatchSize, SlideBag
from napari_wsimil.errors import SlideError
from napari_wsimil.inference.devices import BATCHES
from napari_wsimil.inference.progress import Progress
from napari_wsimil.inference.steps import meanwhile
from napari_wsimil.patches import StainNormaliser, find_tissue

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.bags import FeatureStore, Focus
    from napari_wsimil.encoders import Encoder
    from napari_wsimil.inference.options import PatchOptions
    from napari_wsimil.inference.steps import Computing
    from napari_wsimil.patches import PatchGrid, PatchSpec, TissueMask
    from napari_wsimil.slides import Slide


def find_tissue_and_tune(
    slide: Slide, encoder: Encoder, specs: Sequence[PatchSpec], computing: Computing, store: FeatureStore | None
) -> Generator[Progress, None, TissueMask]:
    """Look for the tissue, and meanwhile measure what the encoder is fastest in, where anything has to be encoded.

    Both use one core. What is measured is kept for the process, so that the bag finds it.
    """

    def find() -> TissueMask:
        missing = store is None or any(store.stored(slide, encoder, spec) is None for spec in specs)
        with ThreadPoolExecutor(1, thread_name_prefix="wsimil-tune") as pool:
            if missing and computing.precision == "auto":
                pool.submit(encoder.tuned, "auto")
            return find_tissue(slide, specs[0].tissue_method)

    return (yield from meanwhile(find, Progress("Finding tissue")))


def make_bag(
    slide: Slide,
    encoder: Encoder,
    specs: Sequence[PatchSpec],
    tissue: TissueMask,
    computing: Computing,
    options: PatchOptions,
    *,
    store: FeatureStore | None,
    focus: Focus | None = None,
) -> SlideBag:
    """Put together the bag of a slide.

    Raises
    ------
    SlideError, AnnotationError
        There is nothing to look at.
    """
    size = computing.batch_size
    batch = BatchSize(size, size, adaptive=False) if size else BatchSize(largest=BATCHES[encoder.device.type])
    inside = None
    if options.inside is not None:
        area = read_outlines(options.inside, slide)

        def inside(grid: PatchGrid) -> NDArray[np.bool_]:
            if len(grid):
                grid_inside(grid, area, slide)  # says so where there is none
            return patches_inside(grid, area)

    stained = None
    if options.stain != "none":
        method, colour = options.stain, specs[0].colour
        stained = lambda: StainNormaliser.fit(slide, tissue, method, colour=colour)  # noqa: E731
    bag = SlideBag(
        slide,
        encoder,
        specs,
        tissue=tissue,
        store=store,
        batch=batch,
        inside=inside,
        stain=stained,
        focus=focus,
        tuned=lambda: encoder.tuned(computing.precision, compiled=computing.compiled),
    )
    check_tissue(slide, bag)
    return bag


def check_tissue(slide: Slide, bag: SlideBag) -> None:
    """Refuse a slide without a patch to look at."""
    if any(len(bag.grid(mpp)) == 0 for mpp in bag.mpps):
        raise SlideError(
            f"No tissue was found on {slide.path.name}: it looks like glass only; check the slide, or whether its mpp is right."
        )
