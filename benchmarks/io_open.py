"""From a fresh process to the first pixels: import, open, first overview (about 1000 px), first 1024 x 1024 of level 0.

    python benchmarks/io_open.py [--rounds 7] [--quick] [--slide FILE] [--out FILE]

Every reading is a process of its own, once with the slide in the page cache and once with it evicted (posix_fadvise; where
the system does not do that, or the file lies in memory, the two tables are alike). The overview is the coarsest level, read
whole.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from side_by_side import chosen_slide, installed, options, publish

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

STAGES = ("import", "open", "overview", "region")
REGION = 1024


def _ours() -> Callable[[str], Any]:
    from napari_wsimil.slides import open_slide

    def use(path: str) -> Any:
        slide = open_slide(path)
        yield
        last = len(slide.levels) - 1
        yield slide.read_region(0, 0, slide.levels[last].width, slide.levels[last].height, level=last)
        side = min(REGION, slide.width // 2)
        yield slide.read_region(slide.width // 2 - 5, slide.height // 2 - 5, side, side, level=0)

    return use


def _openslide() -> Callable[[str], Any]:
    import numpy as np
    import openslide

    def use(path: str) -> Any:
        slide = openslide.OpenSlide(path)
        yield
        last = slide.level_count - 1
        yield np.asarray(slide.read_region((0, 0), last, slide.level_dimensions[last]).convert("RGB"))
        width, height = slide.dimensions
        side = min(REGION, width // 2)
        yield np.asarray(slide.read_region((width // 2 - 5, height // 2 - 5), 0, (side, side)).convert("RGB"))

    return use


def _tiffslide() -> Callable[[str], Any]:
    import tiffslide

    def use(path: str) -> Any:
        slide = tiffslide.TiffSlide(path)
        yield
        last = slide.level_count - 1
        yield slide.read_region((0, 0), last, slide.level_dimensions[last], as_array=True)
        width, height = slide.dimensions
        side = min(REGION, width // 2)
        yield slide.read_region((width // 2 - 5, height // 2 - 5), 0, (side, side), as_array=True)

    return use


def _zarr() -> Callable[[str], Any]:
    import tifffile
    import zarr

    def use(path: str) -> Any:
        file = tifffile.TiffFile(path)
        series = file.series[0]
        levels = [zarr.open(series.aszarr(level=i), mode="r") for i in range(len(series.levels))]
        yield
        yield levels[-1][:]
        yield _centre(levels[0])

    return use


def _napari_wsi() -> Callable[[str], Any]:
    import numpy as np
    from napari_wsi.backends.openslide import OpenSlideStore

    def use(path: str) -> Any:
        levels = OpenSlideStore(path).to_layer_data_tuples()[0][0]
        yield
        yield np.asarray(levels[-1])
        yield np.asarray(_centre(levels[0]))

    return use


def _centre(level: Any) -> Any:
    height, width = level.shape[:2]
    side = min(REGION, width // 2)
    return level[height // 2 - 5 : height // 2 - 5 + side, width // 2 - 5 : width // 2 - 5 + side]


WAYS: dict[str, tuple[Callable[[], Any], str]] = {
    "ours": (_ours, "napari_wsimil"),
    "OpenSlide": (_openslide, "openslide"),
    "tiffslide": (_tiffslide, "tiffslide"),
    "tifffile, zarr": (_zarr, "zarr"),
    "napari-wsi": (_napari_wsi, "napari_wsi"),
}


def fresh(name: str, path: str) -> dict[str, float]:
    """What one process measures of itself: seconds by the clock for each stage, and seconds of CPU of all after the import."""
    clock = [time.perf_counter()]
    use = WAYS[name][0]()
    clock.append(time.perf_counter())
    cpu = time.process_time()
    steps = use(path)
    for _ in range(3):
        next(steps)
        clock.append(time.perf_counter())
    seconds = {stage: b - a for stage, a, b in zip(STAGES, clock[:-1], clock[1:], strict=True)}
    return {**seconds, "cpu": time.process_time() - cpu, "torch": float("torch" in sys.modules)}


def evict(path: Path) -> None:
    """Ask the system to forget the pages of a file."""
    if hasattr(os, "posix_fadvise"):
        file = os.open(path, os.O_RDONLY)
        os.fdatasync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def report(chosen: argparse.Namespace) -> str:
    path = chosen_slide(chosen)
    parts = ["## From a fresh process to the first pixels, in ms by the clock"]
    for cold in (False, True):
        times: dict[str, list[dict[str, float]]] = {name: [] for name, (_, module) in WAYS.items() if installed(module)}
        for number in range(chosen.rounds + 1):
            for name, values in times.items():
                if cold:
                    evict(path)
                command = [sys.executable, __file__, "--fresh", name, "--slide", str(path)]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                if number:  # the first turn brings the libraries into the page cache
                    values.append(json.loads(said))
        parts += [f"### The slide {'evicted from' if cold else 'in'} the page cache", _table(times), _verdict(times)]
    return "\n\n".join(parts)


def _table(times: dict[str, list[dict[str, float]]]) -> str:
    lines = [
        "| way | import | open | overview | open to overview | first region | CPU after import |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in WAYS:
        if name not in times:
            lines.append(f"| {name} | not installed | | | | | |")
            continue
        columns = [_median(times[name], *stages) for stages in (("import",), ("open",), ("overview",), ("open", "overview"))]
        columns += [_median(times[name], "region"), _median(times[name], "cpu")]
        lines.append(f"| {name} | " + " | ".join(f"{1e3 * value:.0f}" for value in columns) + " |")
    return "\n".join(lines)


def _median(values: list[dict[str, float]], *stages: str) -> float:
    return statistics.median(sum(value[stage] for stage in stages) for value in values)


def _verdict(times: dict[str, list[dict[str, float]]]) -> str:
    mine = _median(times["ours"], "open", "overview")
    theirs = _median(times["OpenSlide"], "open", "overview")
    torch = "imports torch" if times["ours"][0]["torch"] else "does not import torch"
    times_said = f"{1e3 * mine:.0f} ms from open to overview (wanted: at most 100), OpenSlide {1e3 * theirs:.0f}"
    return f"Ours takes {times_said}; ours {torch}."


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--fresh", choices=list(WAYS), help="measure this way in this process and print JSON")
    chosen = parser.parse_args()
    if chosen.fresh:
        print(json.dumps(fresh(chosen.fresh, str(chosen.slide))))
    else:
        publish(chosen, report(chosen))


if __name__ == "__main__":
    main()
