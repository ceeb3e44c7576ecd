"""Jump, pan and zoom on a large slide in a real napari window: ours, napari-wsi, and tifffile's zarr store as a layer.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/io_napari.py [--rounds 3] [--quick] [--slide FILE]

Each provider gets a fresh process and window in every round, with the settings that it comes with; rows with "async" differ
from that in napari's experimental asynchronous slicing. Jumps go to 12 places never seen, at 1:1; a pan is 80 steps of 48
px at 1:1; a zoom is 50 steps from the whole slide to 1.5:1; both 30 steps a second. The walk goes over the slide at 1:1,
window by window, for the memory.

frame    from a change of the camera to the first frame that shows it, median and worst
stall    longest time in which the GUI thread answered nothing (a timer of 4 ms in that thread)
reading  longest time that the GUI thread was inside code that reads slides (looked at every 2 ms, by a signal)
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from side_by_side import chosen_slide, installed, options, publish

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gui_probe import Probe

OURS, NAPARI_WSI = "ours", "napari-wsi"
PROVIDERS = {OURS: "napari_wsimil", f"{OURS}, async off": "napari_wsimil", NAPARI_WSI: "napari_wsi"}
PROVIDERS |= {f"{NAPARI_WSI}, async on": "napari_wsi", "tifffile, zarr": "zarr", "tifffile, zarr, async on": "zarr"}
PHASES = ("jump", "pan", "zoom", "walk")
PACE = 1 / 30
WINDOW = (1600, 1000)


def interact(provider: str, path: Path, quick: bool) -> dict[str, Any]:
    """Open the slide in a window and use it; what was noticed, in seconds and bytes, phase by phase."""
    import napari
    from gui_probe import Probe, memory
    from napari.settings import get_settings
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    for _ in range(20):
        QApplication.processEvents()
    probe = Probe()
    before = memory()[0]
    noticed: dict[str, Any] = {}

    def opened() -> bool:
        return all(layer.loaded for layer in viewer.layers)

    seconds = probe.settle(lambda: _open(viewer, provider, path), opened)
    noticed["open"] = {"settled": [seconds], "stall": probe.stall, "reading": probe.reading, "uploaded": probe.uploaded}
    waited = time.perf_counter() + (0 if quick else 5)
    while time.perf_counter() < waited:  # until a message of the first use has gone again
        QApplication.processEvents()
    if "async" in provider:
        get_settings().experimental.async_ = provider.endswith("on")
    noticed["async"] = bool(get_settings().experimental.async_)
    layer = max(viewer.layers, key=lambda layer: math.prod(layer.data[0].shape[:2]) if layer.multiscale else 0)
    for phase, use in zip(PHASES, (_jump, _pan, _zoom, _walk), strict=True):
        probe.settle(viewer.reset_view, opened)
        probe.reset()
        noticed[phase] = use(probe, viewer, layer, path, quick)
        noticed[phase] |= {"stall": probe.stall, "reading": probe.reading, "uploaded": probe.uploaded}
    noticed["grown"] = memory()[1] - before
    probe.close()
    viewer.close()
    return noticed


def _open(viewer: Any, provider: str, path: Path) -> None:
    if provider.startswith("tifffile"):
        import tifffile
        import zarr

        series = tifffile.TiffFile(path).series[0]
        levels = [zarr.open(series.aszarr(level=i), mode="r") for i in range(len(series.levels))]
        viewer.add_image(levels, rgb=True, multiscale=True, contrast_limits=(0, 255))
    else:
        viewer.open(path, plugin="napari-wsimil" if provider.startswith(OURS) else "napari-wsi")


def _places(path: Path, count: int) -> list[tuple[int, int]]:
    """(row, column) of tissue, the same for every provider."""
    import numpy as np
    from readers import TileMap

    tiles = TileMap(path)
    chosen = np.random.default_rng(4).choice(tiles.tissue, count, replace=False)
    return [(int(i) // tiles.columns * tiles.side, int(i) % tiles.columns * tiles.side) for i in chosen]


def _look(viewer: Any, layer: Any, row: float, column: float, zoom: float) -> None:
    """Centre a level-0 pixel, with `zoom` screen pixels for one of it."""
    step_y, step_x = (float(step) for step in layer.scale[-2:])
    viewer.scene.camera.zoom = zoom / step_x
    viewer.scene.camera.center = (row * step_y, column * step_x)


def _jump(probe: Probe, viewer: Any, layer: Any, path: Path, quick: bool) -> dict[str, Any]:
    settled = []
    for row, column in _places(path, 3 if quick else 12):
        settled.append(probe.settle(lambda at=(row, column): _look(viewer, layer, *at, 1.0), lambda: layer.loaded))
    return {"settled": settled}


def _pan(probe: Probe, viewer: Any, layer: Any, path: Path, quick: bool) -> dict[str, Any]:
    row, column = _places(path, 13)[-1]
    width = layer.data[0].shape[1]
    steps = 8 if quick else 80
    column = min(column, width - 48 * steps)
    probe.settle(lambda: _look(viewer, layer, row, column, 1.0), lambda: layer.loaded)
    probe.reset()
    columns = [column + 48 * (i + 1) for i in range(steps)]
    frames = [probe.step(lambda x=x: _look(viewer, layer, row, x, 1.0), PACE) for x in columns]
    return {"frames": frames, "settled": [probe.rest(lambda: layer.loaded)]}


def _zoom(probe: Probe, viewer: Any, layer: Any, path: Path, quick: bool) -> dict[str, Any]:
    row, column = _places(path, 14)[-1]
    fit = min(probe.size) / max(layer.data[0].shape[:2])
    steps = 10 if quick else 50
    zooms = [fit * (1.5 / fit) ** (i / (steps - 1)) for i in range(steps)]
    frames = [probe.step(lambda z=zoom: _look(viewer, layer, row, column, z), PACE) for zoom in zooms]
    return {"frames": frames, "settled": [probe.rest(lambda: layer.loaded)]}


def _walk(probe: Probe, viewer: Any, layer: Any, path: Path, quick: bool) -> dict[str, Any]:
    """Window beside window over the slide at 1:1, in rows far apart."""
    height, width = layer.data[0].shape[:2]
    for row in range(height // 8, height, height // (2 if quick else 4)):
        for column in range(0, width, probe.size[0] * (1 if quick else 2)):
            probe.settle(lambda at=(row, column): _look(viewer, layer, *at, 1.0), lambda: layer.loaded, quiet=0.02)
    return {}


def report(chosen: argparse.Namespace) -> str:
    path = chosen_slide(chosen)
    present = [name for name, module in PROVIDERS.items() if installed(module) and name in chosen.only]
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in present}
    for number in range(chosen.rounds):
        for turn in range(len(present)):
            name = present[(turn + number) % len(present)]
            seen[name].append(_fresh(name, path, chosen.quick))
    parts = [f"## In a window of {WINDOW[0]} x {WINDOW[1]} px", _whole(seen)]
    for phase in ("open", *PHASES):
        parts += [f"### {phase.capitalize()}", _of_phase(seen, phase)]
    return "\n\n".join([*parts, *_verdicts(seen)])


def _fresh(name: str, path: Path, quick: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "noticed.json"
        command = [sys.executable, __file__, "--provider", name, "--slide", str(path), "--out", str(result)]
        environment = {**os.environ, "NAPARI_CONFIG": str(Path(folder) / "settings.yaml")}
        done = subprocess.run(
            command + ["--quick"] * quick, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode or not result.exists():
            raise SystemExit(f"{name} failed in the window:\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(result.read_text())
        return found


def _worst_frame(run: dict[str, Any]) -> float:
    return max(*run["pan"]["frames"], *run["zoom"]["frames"])


def _worst(run: dict[str, Any], what: str, *phases: str) -> float:
    return max(float(run[phase][what]) for phase in phases)


def _whole(seen: dict[str, list[dict[str, Any]]]) -> str:
    columns: dict[str, tuple[Callable[[dict[str, Any]], float], str]] = {
        "opened, s": (lambda run: run["open"]["settled"][0], ".2f"),
        "jump until sharp, ms": (lambda run: 1e3 * statistics.median(run["jump"]["settled"]), ".0f"),
        "worst frame, pan and zoom, ms": (lambda run: 1e3 * _worst_frame(run), ".0f"),
        "longest stall, pan and zoom, ms": (lambda run: 1e3 * _worst(run, "stall", "pan", "zoom"), ".0f"),
        "longest reading, all but opening, ms": (lambda run: 1e3 * _worst(run, "reading", *PHASES), ".0f"),
        "grown by, MB": (lambda run: run["grown"] / 1e6, ".0f"),
    }
    return _table(seen, columns, {name: "on" if runs[0]["async"] else "off" for name, runs in seen.items()})


def _of_phase(seen: dict[str, list[dict[str, Any]]], phase: str) -> str:
    columns: dict[str, tuple[Callable[[dict[str, Any]], float], str]] = {}
    if phase in ("pan", "zoom"):
        columns["median frame, ms"] = lambda run: 1e3 * statistics.median(run[phase]["frames"]), ".0f"
        columns["worst frame, ms"] = lambda run: 1e3 * max(run[phase]["frames"]), ".0f"
        columns["sharp after the last step, ms"] = lambda run: 1e3 * run[phase]["settled"][0], ".0f"
    columns["longest stall, ms"] = lambda run: 1e3 * run[phase]["stall"], ".0f"
    columns["longest reading, ms"] = lambda run: 1e3 * run[phase]["reading"], ".0f"
    columns["uploaded, MB"] = lambda run: run[phase]["uploaded"] / 1e6, ".0f"
    return _table(seen, columns)


def _table(seen: dict[str, list[dict[str, Any]]], columns: dict[str, Any], asynchronous: dict[str, str] | None = None) -> str:
    """Medians over the rounds."""
    heads = [*(["async"] if asynchronous else []), *columns]
    lines = ["| provider | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for name in PROVIDERS:
        if name in seen:
            cells = [asynchronous[name]] if asynchronous else []
            cells += [format(statistics.median(map(value, seen[name])), form) for value, form in columns.values()]
        elif installed(PROVIDERS[name]):
            continue
        else:
            cells = ["not installed", *[""] * (len(heads) - 1)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _verdicts(seen: dict[str, list[dict[str, Any]]]) -> list[str]:
    mine = seen.get(OURS, [])
    if not mine:
        return []
    said = []
    for peer in (NAPARI_WSI, f"{NAPARI_WSI}, async on"):
        if peer in seen:
            pairs = list(zip(mine, seen[peer], strict=True))
            frame = statistics.median(_worst_frame(a) / _worst_frame(b) for a, b in pairs)
            stall = statistics.median(_worst(a, "stall", "pan", "zoom") / _worst(b, "stall", "pan", "zoom") for a, b in pairs)
            said.append(f"Worst frame of ours / {peer}: {frame:.2f} (wanted: at most 0.5); longest stall: {stall:.2f}.")
    reading = 1e3 * max(_worst(run, "reading", *PHASES) for run in mine)
    said.append(f"Longest that our reading held the GUI thread, all rounds: {reading:.0f} ms (wanted: at most 60).")
    grown = max(run["grown"] for run in mine) / 1e6
    said.append(f"Memory grew by at most {grown:.0f} MB (wanted: the cache bound and 300 MB, {_bound() / 1e6 + 300:.0f} MB).")
    return said


def _bound() -> int:
    """The bytes that decoded tiles of ours may take in this process, were it to read."""
    from napari_wsimil.slides import cache_info

    return cache_info().limit


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--provider", choices=list(PROVIDERS), help="use this one in this process and write JSON to --out")
    parser.add_argument("--only", choices=list(PROVIDERS), nargs="+", default=list(PROVIDERS), help="compare these alone")
    chosen = parser.parse_args()
    if chosen.provider:
        chosen.out.write_text(json.dumps(interact(chosen.provider, chosen.slide, chosen.quick)))
    else:
        publish(chosen, report(chosen))


if __name__ == "__main__":
    main()
