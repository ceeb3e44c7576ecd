"""Features of a slide, computed and stored: what training learns from."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import h5py

from napari_wsimil.annotations import read_outlines
from napari_wsimil.bags import FeatureStore
from napari_wsimil.encoders import Encoder, load_encoder
from napari_wsimil.errors import ModelError, SlideError
from napari_wsimil.inference.devices import choose_device
from napari_wsimil.inference.making_bags import find_tissue_and_tune, make_bag
from napari_wsimil.inference.options import PatchOptions
from napari_wsimil.inference.progress import Progress
from napari_wsimil.inference.steps import (
    Computing,
    Meter,
    check_magnification,
    opened_slide,
    run_to_end,
)
from napari_wsimil.patches import PatchSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from napari_wsimil.bags import SlideBag
    from napari_wsimil.encoders.precision import Precision
    from napari_wsimil.inference.steps import CancelFlag
    from napari_wsimil.slides import Resampling, Slide

AS_SUITS, EVERYTHING = Computing(), PatchOptions()

TOLD = "slide_mpp, or in a column mpp of the manifest"
"""Where the µm per pixel of a slide may be given that does not say them."""


@dataclass(frozen=True)
class Extraction:
    """The stored features of one slide.

    Attributes
    ----------
    files
        mpp -> file, coarse to fine.
    patches
        mpp -> patches in it.
    encoded
        Patches that had to be encoded; 0 where all was stored already.
    notices
        Sentences that the user must see.
    """

    files: Mapping[float, Path]
    patches: Mapping[float, int]
    encoded: int
    notices: tuple[str, ...] = ()


def patch_specs(
    encoder: Encoder,
    mpps: float | Sequence[float] | None = None,
    size: int | None = None,
    stride: int | None = None,
    resampling: Resampling = "area",
) -> tuple[PatchSpec, ...]:
    """How patches are cut for an encoder: what is None is as the encoder was trained, the stride as the size.

    Raises
    ------
    ModelError
        The encoder takes patches of another size, a number makes no sense, or a magnification is given twice.
    """
    wanted = [encoder.mpp] if mpps is None else [mpps] if isinstance(mpps, int | float) else list(mpps)
    side = encoder.patch_size if size is None else size
    step = side if stride is None else stride
    if not encoder.takes(side):
        raise ModelError(f"Encoder {encoder.id} takes patches of {encoder.patch_size} px, not of {side}; give that size.")
    if step < 1:
        raise ModelError(f"The stride must be at least 1 pixel, not {step}.")
    if not wanted or len(set(wanted)) < len(wanted) or not all(0.01 <= mpp <= 100 for mpp in wanted):
        given = ", ".join(f"{mpp:g}" for mpp in wanted) or "none"
        raise ModelError(f"Give one magnification or several different ones from 0.01 to 100 µm per pixel, not {given}.")
    return tuple(PatchSpec(float(mpp), side, step, resampling=resampling) for mpp in sorted(wanted, reverse=True))


def extract(
    slide: Slide | str | Path,
    out: str | Path,
    *,
    encoder: Encoder | str = "bundled",
    mpp: float | Sequence[float] | None = None,
    patch_size: int | None = None,
    stride: int | None = None,
    device: str = "auto",
    on_progress: Callable[[Progress], object] | None = None,
    cancel: CancelFlag | Callable[[], bool] | None = None,
    slide_mpp: float | None = None,
    batch_size: int | None = None,
    precision: Precision | Literal["auto"] = "auto",
    compiled: bool = False,
    resampling: Resampling = "area",
    options: PatchOptions = EVERYTHING,
) -> Extraction:
    """Compute the features of all patches of one slide and store them, in TRIDENT's layout; what is stored already is kept.

    Parameters
    ----------
    slide
        An open slide, or a path, which is opened and closed again.
    out
        Folder of the features; made if missing.
    encoder
        From `load_encoder`, or its name.
    mpp
        µm per pixel of the patches, or several; None: what the encoder was trained at.
    patch_size, stride
        Side and distance of patches in pixels; None: the encoder's side, and the same.
    device
        "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1".
    on_progress
        Called with a `Progress` several times a second.
    cancel
        A `threading.Event` to set, or a function that returns True, to stop the job.
    slide_mpp
        µm per pixel of level 0 where the file does not say or is wrong; only with a path.
    batch_size
        Patches at once; None: what suits the device, found while encoding.
    precision, compiled
        As in `predict`.
    resampling
        "area", or "dct", which is faster where JPEG tiles are read at half their size, see `PatchSpec`.
    options
        Which patches (`tissue_only`, `inside`) and what is done to them (`stain`); overlap and magnifications are said above.

    Raises
    ------
    SlideError, ModelError
        The slide, the encoder or the folder can't be used; one sentence says why.
    CancelledError
        The job was stopped; nothing was left half-written.
    """
    loaded = load_encoder(encoder) if isinstance(encoder, str) else encoder
    specs = patch_specs(loaded, mpp, patch_size, stride, resampling)
    computing = Computing(device, precision, compiled, batch_size)
    store = FeatureStore(out, precision=computing.kept_precision)
    steps = extract_steps(slide, loaded, specs, store, computing=computing, options=options, slide_mpp=slide_mpp)
    return run_to_end(steps, on_progress, cancel, "The extraction")


def extract_steps(
    slide: Slide | str | Path,
    encoder: Encoder,
    specs: Sequence[PatchSpec],
    store: FeatureStore,
    *,
    computing: Computing = AS_SUITS,
    options: PatchOptions = EVERYTHING,
    slide_mpp: float | None = None,
) -> Generator[Progress, None, Extraction]:
    """Like `extract`, as a generator that reports several times a second; closing it stops the job.

    What is encoded is stored as it comes, so that a job that was stopped or killed goes on there.
    """
    with ExitStack() as owned:
        chosen = choose_device(computing.device)
        yield Progress("Opening the slide")
        opened = opened_slide(slide, slide_mpp, owned, TOLD)
        wanted = _optional(specs, options, opened)
        notices = list(opened.notices)
        for spec in wanted:
            notices += check_magnification(opened, spec.mpp, "the extraction", "ask for coarser patches")
        encoded = 0
        if any(store.stored(opened, encoder, spec) is None for spec in wanted):
            placed = encoder.to(chosen)
            tissue = yield from find_tissue_and_tune(opened, placed, wanted, computing, store)
            with make_bag(opened, placed, wanted, tissue, computing, options, store=store) as bag:
                yield from _encode(bag)
                encoded = sum(bag.encoded.values())
            if opened.read_faults:
                fault = opened.read_faults[0]
                raise SlideError(
                    f"Parts of {opened.path.name} can't be read ({fault.strerror or fault}), so its features are not stored; "
                    "see to the disk and extract it again."
                ) from fault
        files = {spec.mpp: store.path(opened, encoder, spec) for spec in wanted}
        patches = {mpp: _length(path) for mpp, path in files.items()}
        return Extraction(files, patches, encoded, tuple(dict.fromkeys(notices)))


def _optional(specs: Sequence[PatchSpec], options: PatchOptions, slide: Slide) -> tuple[PatchSpec, ...]:
    """How patches are cut with the options, coarse to fine.

    Raises
    ------
    WsimilError
        An option says what the specs say already.
    """
    if options.overlap or options.mpps is not None:
        raise ModelError("Say the overlap of extracted patches by their stride, and magnifications by mpp, not as options.")
    changed = options.applied(specs)
    if options.inside is None:
        return changed
    # the file holds these patches only, so it must not be taken for the whole slide's
    area = read_outlines(options.inside, slide).digest
    return tuple(replace(spec, area=area) for spec in changed)


def _encode(bag: SlideBag) -> Generator[Progress, None, None]:
    """Encode and store all magnifications, counted as one job."""
    meter, total, before = Meter(), sum(len(bag.grid(mpp)) for mpp in bag.mpps), 0
    for mpp in bag.mpps:
        with closing(bag.encode_steps(mpp)) as steps:
            for done in steps:
                yield meter.progress("Reading and encoding patches", before + done, total, bag.rates.now())
        before += len(bag.grid(mpp))


def _length(path: Path) -> int:
    with h5py.File(path, "r") as file:
        return len(file["coords"])
