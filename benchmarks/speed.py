"""How fast slides are read and predicted on this machine, beside a peer and the physical limits, taken in the same run.

    python benchmarks/speed.py [--rounds 5] [--patches 256]

Every round takes each way once, one after the other, on the same patches of the sample slide; the medians are printed.

reading     `slide.read_patches` at the slide's own magnification, against libjpeg-turbo decoding the same tiles from memory
            (the limit) and against OpenSlide reading the same patches from as many threads.
predicting  opening, finding tissue, reading and encoding, against the encoder alone on the same pixels in memory (the limit).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import openslide
import simplejpeg
import tifffile

import napari_wsimil as ws
from napari_wsimil.bags import SlideBag
from napari_wsimil.samples import make_sample_slide

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = 256
THREADS = min(8, os.cpu_count() or 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patches", type=int, default=256)
    options = parser.parse_args()
    path = make_sample_slide()
    with ws.open_slide(path) as slide:
        grid = ws.patch_grid(slide, 0.5, SIZE, ws.find_tissue(slide))
        xy = grid.xy[np.linspace(0, len(grid) - 1, options.patches).astype(int)]
    ways = {**_reading(path, xy), **_predicting(path, xy)}
    for way in ways.values():
        way()  # warm
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    rate = {name: len(xy) / statistics.median(values) for name, values in seconds.items()}
    print(f"{len(xy)} patches of {SIZE} px, {THREADS} threads, median of {options.rounds} rounds\n")
    print("| way | patches/s | of the limit |\n| --- | --- | --- |")
    for name, value in rate.items():
        limit = rate["predicting: encoder alone" if name.startswith("predicting") else "reading: libjpeg-turbo alone"]
        print(f"| {name} | {value:,.0f} | {value / limit:.2f} |")
    print(f"\nread_patches is {rate['reading: read_patches'] / rate['reading: OpenSlide']:.1f} times as fast as OpenSlide.")


def _reading(path: Path, xy: np.ndarray) -> dict[str, Callable[[], object]]:
    pool = ThreadPoolExecutor(THREADS)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        columns = -(-page.imagewidth // SIZE)
        tiles = []
        for x, y in xy.tolist():
            index = y // SIZE * columns + x // SIZE
            tiff.filehandle.seek(page.dataoffsets[index])
            tiles.append(tiff.filehandle.read(page.databytecounts[index]))
    peer = openslide.OpenSlide(str(path))
    buffer = np.empty((len(xy), SIZE, SIZE, 3), np.uint8)

    def limit() -> None:
        list(pool.map(lambda i: simplejpeg.decode_jpeg(tiles[i], buffer=buffer[i]), range(len(tiles)), chunksize=8))

    def by_openslide() -> None:
        read = lambda at: np.asarray(peer.read_region(tuple(at), 0, (SIZE, SIZE)).convert("RGB"))  # noqa: E731
        list(pool.map(read, xy.tolist(), chunksize=8))

    def ours() -> None:
        with ws.open_slide(path) as slide:  # opened anew: no tile is left in its cache from the round before
            slide.read_patches(xy, SIZE, 0.5, out=buffer)

    return {"reading: libjpeg-turbo alone": limit, "reading: read_patches": ours, "reading: OpenSlide": by_openslide}


def _predicting(path: Path, xy: np.ndarray) -> dict[str, Callable[[], object]]:
    model = ws.load_model()
    spec = model.spec.patch_specs()[0]
    with ws.open_slide(path) as slide:
        pixels = slide.read_patches(xy, SIZE, spec.mpp)

    def encoder_alone() -> None:
        for start in range(0, len(pixels), 32):
            model.encoder.encode(pixels[start : start + 32])

    def pipeline() -> None:
        with ws.open_slide(path) as slide:
            bag = SlideBag(slide, model.encoder, [spec], tissue=ws.find_tissue(slide))
            bag.features(spec.mpp, np.linspace(0, len(bag.grid(spec.mpp)) - 1, len(xy)).astype(np.int64))

    return {"predicting: encoder alone": encoder_alone, "predicting: tissue, reading and encoding": pipeline}


if __name__ == "__main__":
    main()
