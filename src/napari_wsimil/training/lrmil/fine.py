"""Stage 1: what the frozen encoder sees in the fine patches, and which of them lie in which coarse patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from napari_wsimil.bags import BatchSize
from napari_wsimil.bags.prefetch import prefetched
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.pixels import normalised
from napari_wsimil.training.lrmil.taps import vectors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import torch
    from numpy.typing import NDArray
    from torch import nn

    from napari_wsimil.encoders import EncoderSpec
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.data.pixels import PatchPixels
    from napari_wsimil.training.lrmil.tables import SlideTables

Seen = TypeVar("Seen")

BATCH = 32
LARGEST_HALF = float(np.finfo(np.float16).max)


class Eye(NamedTuple):
    """The frozen encoder: its layers (`taps_of`), what it expects of pixels, and where it computes."""

    taps: nn.Module
    spec: EncoderSpec
    device: torch.device


def collect(bags: BagSet, tables: SlideTables, mpps: tuple[float, float]) -> Iterator[tuple[int, int]]:
    """Form "adapter": look at every bag once, so that features are made now where they are made on demand.

    Yields each row when it is done, and -1.

    Raises
    ------
    TrainingError
        A bag lacks a magnification or the places of its patches, or no patch of it has a child.
    """
    for row in range(len(bags)):
        if not tables.has(row):
            bag = bags.bag(row)
            if any(mpp not in bag.mpps for mpp in mpps):
                raise TrainingError(
                    f"{bags.names[row]} has features at {', '.join(f'{mpp:g}' for mpp in bag.mpps)} µm per pixel; LRMIL needs "
                    f"them at {mpps[0]:g} and {mpps[1]:g}: extract both."
                )
            for mpp in mpps:
                bag.features(mpp)
            try:
                children = bag.children(*mpps)
                corners = bag.grid(mpps[0]).xy
            except KeyError as error:
                raise TrainingError(
                    f"The features of {bags.names[row]} do not say where their patches lie; extract them with coordinates."
                ) from error
            tables.save(row, corners=corners, children=_checked(children, bags.names[row], mpps))
        yield row, -1


def look(
    names: list[str], pixels: PatchPixels, tables: SlideTables, mpps: tuple[float, float], eye: Eye
) -> Iterator[tuple[int, int]]:
    """Form "encoder": features and layers of all fine patches, in one pass over the slides.

    Yields each row with the patches of it that are done, while waiting too.

    Raises
    ------
    TrainingError
        A slide has no tissue.
    """

    def see(read: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
        final, vectors, _ = vectors_of(eye.taps, normalised(read, eye.spec, eye.device))
        # what a layer gives is compared, never added up: half precision is enough, and the files are half as large
        halved = vectors.float().clamp(-LARGEST_HALF, LARGEST_HALF).cpu().numpy().astype(np.float16)
        return final.float().cpu().numpy(), halved

    for row, name in enumerate(names):
        if not tables.has(row):
            grids = pixels.grids(row)
            coarse, fine = grids[mpps[0]], grids[mpps[1]]
            children = _checked(coarse.children(fine), name, mpps)
            seen = yield from look_through(pixels, row, mpps[1], fine.xy, see)
            features, layers = (np.concatenate(table) for table in zip(*seen, strict=True))
            tables.save(row, features=features, layers=layers, corners=coarse.xy, children=children)
        yield row, -1


def look_through(
    pixels: PatchPixels, row: int, mpp: float, corners: NDArray[np.int64], see: Callable[[NDArray[np.uint8]], Seen]
) -> Generator[tuple[int, int], None, list[Seen]]:
    """Show the patches of a slide to `see`, batch by batch, read in a thread meanwhile; returns what it gave.

    Yields the row and the patches that are done, several times a second.
    """
    found, done = [], 0
    batches = BatchSize(BATCH, BATCH, adaptive=False)
    with prefetched(np.arange(len(corners)), lambda rows: pixels.read(row, mpp, corners[rows]), batches) as ready:
        for batch in ready:
            if batch is not None:
                found.append(see(batch.pixels))
                done += len(batch.rows)
            yield row, done
    return found


def _checked(children: NDArray[np.int64], name: str, mpps: tuple[float, float]) -> NDArray[np.int64]:
    if not (children >= 0).any():
        raise TrainingError(
            f"{name} has no patch at {mpps[0]:g} µm per pixel with a patch at {mpps[1]:g} in it; check its tissue and its mpp, "
            "or leave the slide out."
        )
    return children
