"""Our ways in the prediction benchmarks: `extract` from a slide into a store, and the encoder alone on patches in memory."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import torch
from predict_networks import MPP, SIZE, Network, normalised
from predict_turns import Features, Way

import napari_wsimil as ws
from napari_wsimil.inference.options import PatchOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_wsimil.encoders import Encoder

AT_ONCE = {"cpu": (16, 32, 64), "cuda": (64, 128, 256)}
"""Batches of which the best is taken for what has its patches in memory."""
IN_FLIGHT = 2
READ_AT_ONCE = 64
EVERYWHERE = PatchOptions(tissue_only=False)


def extraction(
    slide: Path,
    encoder: Encoder,
    *,
    device: str = "cpu",
    precision: str = "auto",
    resampling: str = "area",
    options: PatchOptions = EVERYWHERE,
) -> Callable[[], Features]:
    """What opens the slide, extracts into a new store, and gives what is in the file."""

    def run() -> Features:
        folder = Path(tempfile.mkdtemp(prefix="predict-ours-"))
        try:
            made = ws.extract(
                slide,
                folder,
                encoder=encoder,
                mpp=MPP,
                device=device,
                precision=precision,
                resampling=resampling,
                options=options,
            )
            with h5py.File(made.files[MPP], "r") as file:
                return Features(file["coords"][:].astype(np.int64), file["features"][:])
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return run


def patches_at(slide: Path, corners: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    """(count, 256, 256, 3) uint8 pixels of evenly chosen patches in memory; again and again where there are fewer."""
    some = corners[np.linspace(0, len(corners) - 1, min(count, len(corners))).astype(int)]
    with ws.open_slide(slide) as opened:
        return np.take(opened.read_patches(some, SIZE, MPP), range(count), axis=0, mode="wrap")


def reading(slide: Path, corners: NDArray[np.int64]) -> Callable[[], None]:
    """The other limit: opening the slide and reading the patches, with all cores, without keeping them."""

    def run() -> None:
        with ws.open_slide(slide) as opened:
            for start in range(0, len(corners), READ_AT_ONCE):
                opened.read_patches(corners[start : start + READ_AT_ONCE], SIZE, MPP)

    return run


def encoder_alone(encoder: Encoder, pixels: NDArray[np.uint8], at_once: int) -> Callable[[], None]:
    """The limit: patches in memory to features in memory, as many under way at once as the pipeline may have."""

    def run() -> None:
        under_way = []
        for start in range(0, len(pixels), at_once):
            under_way.append(encoder.begin(pixels[start : start + at_once]))
            if len(under_way) == IN_FLIGHT:
                under_way.pop(0).features()
        for pending in under_way:
            pending.features()

    return run


def each_core_alone(encoder: Encoder, pixels: NDArray[np.uint8], at_once: int) -> Callable[[], None]:
    """The same limit with a thread for each core, which computes its batches by itself: batches never wait for a core."""

    def settle() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # asked once, a thread keeps its number

    def run() -> None:
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(threads, initializer=settle) as pool:
            begun = [pool.submit(encoder.encode, pixels[at : at + at_once]) for at in range(0, len(pixels), at_once)]
            for batch in begun:
                batch.result()
        torch.set_num_threads(threads)

    return run


def alone(name: str, encoder: Encoder, pixels: NDArray[np.uint8]) -> Way:
    """The encoder alone, in the batch that is best."""
    settings = {
        f"{count} at once": encoder_alone(encoder, pixels, count) for count in _batches(encoder.device.type, len(pixels))
    }
    if encoder.device.type == "cpu":
        settings |= {f"{count} on each core": each_core_alone(encoder, pixels, count) for count in (4, 8)}
    return Way(name, settings, len(pixels), whole=False, ours=True, precision=encoder.precision)


def module_alone(name: str, network: Network, pixels: NDArray[np.uint8], device: str, *, channels_last: bool) -> Way:
    """The plain module on batches that are normalised already, in fp32."""
    form = torch.channels_last if channels_last else torch.contiguous_format
    ready = normalised(network, torch.from_numpy(pixels))

    def runner(at_once: int) -> Callable[[], None]:
        def run() -> None:
            module = network.module.to(device, memory_format=form)
            try:
                with torch.inference_mode():
                    for start in range(0, len(ready), at_once):
                        module(ready[start : start + at_once].to(device, memory_format=form)).cpu()
            finally:
                module.to(memory_format=torch.contiguous_format)

        return run

    settings = {f"{count} at once": runner(count) for count in _batches(device, len(pixels))}
    return Way(name, settings, len(pixels), whole=False)


def _batches(device: str, patches: int) -> list[int]:
    """Sizes to try: those that divide the patches at least into two, or all of them."""
    return [count for count in AT_ONCE[device] if 2 * count <= patches] or [patches]


def box_around(corners: NDArray[np.int64], wanted: int) -> PatchOptions:
    """Look only at the `wanted` patches, or a few more, around the middle one; `corners` as on a slide at 0.5 µm per pixel."""
    centres = corners + SIZE / 2
    middle = centres[np.abs(centres - np.median(centres, axis=0)).max(1).argmin()]
    reach = np.sort(np.abs(centres - middle).max(1))[min(wanted, len(centres)) - 1] + 1
    (left, top), (right, bottom) = (middle - reach).tolist(), (middle + reach).tolist()
    return PatchOptions(inside=(((left, top), (right, top), (right, bottom), (left, bottom)),))
