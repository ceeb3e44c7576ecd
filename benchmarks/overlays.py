"""What overlays of many patches cost in a real napari window, beside napari's own layer of the same pixels and other ways.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/overlays.py [--rounds 5] [--out FILE]

A made-up slide is open; patches of 256 px lie on it, some 40 % of the places empty. Every step is taken once unmeasured.
prepare    from scores to the pixels of the layer and where it lies
add        what `viewer.add_layer` (or `add_image`) holds the window's thread for
shown      from the start of that until the frame with the layer is on the screen, preparing included
work       processor time of the window's thread until the frame is there, preparing included: on a busy machine, on which
           everything waits for its turn, the other numbers say little
recolour   another colormap, until that frame is there
percentile from scores as computed to percentiles, the first time; again: a later time
below      hiding the patches below a score
first ask  the first question which patch is under the cursor: patches are sorted then
hover      the line of the status bar about the patch under the cursor, in microseconds
tree, scan the same question to SciPy's cKDTree (which needs to be built), and to a comparison with all patches

Shapes     rectangles of napari's Shapes layer, as many as people say it can take; in a process of its own for each round, since
           without a graphics card napari 0.9 may crash once such a layer was removed
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.inference import SlidePrediction

COUNTS = (20_000, 100_000, 400_000)
SIZE = 256
FULL = 0.6  # of the places of the grid have a patch
SHAPES = 2_000
WANTED = {"shown": 200.0, "recolour": 100.0, "hover": 2.0}  # ms, for 100 000 patches
OURS, BARE = "ours", "bare"


class Window:
    """A napari window, and a clock that stops when a frame is on the screen."""

    def __init__(self, side: int) -> None:
        import napari
        from qtpy.QtOpenGLWidgets import QOpenGLWidget
        from qtpy.QtWidgets import QApplication

        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 800)
        self._app: Any = QApplication.instance()
        self._frames: list[float] = []
        canvases = [widget for widget in self._app.allWidgets() if isinstance(widget, QOpenGLWidget)]
        max(canvases, key=lambda widget: widget.width() * widget.height()).frameSwapped.connect(
            lambda: self._frames.append(time.perf_counter())
        )
        levels = [np.full((side >> level, side >> level, 3), 235, np.uint8) for level in (5, 6, 7)]
        self.viewer.add_image(
            levels, rgb=True, multiscale=True, scale=(16, 16), units=("um", "um"), name="slide", contrast_limits=(0, 255)
        )
        self.viewer.reset_view()
        self.rest()

    def rest(self, seconds: float = 0.4) -> None:
        """Let the window live for a while."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not all(layer.loaded for layer in self.viewer.layers):
            self._app.processEvents()

    def timed(self, action: Callable[[], Any]) -> tuple[float, float, float]:
        """Milliseconds that an action holds the thread for, until its frame is shown, and of the thread's work till then."""
        self.rest()
        start, work, frames = time.perf_counter(), time.thread_time(), len(self._frames)
        action()
        held = time.perf_counter()
        while len(self._frames) == frames:
            self._app.processEvents()
        return tuple(1e3 * span for span in (held - start, time.perf_counter() - start, time.thread_time() - work))


def prediction_of(count: int) -> SlidePrediction:
    """Made-up attention and probabilities of so many patches."""
    from napari_wsimil.inference import PatchScores, SlidePrediction

    random = np.random.default_rng(0)
    side = int((count / FULL) ** 0.5) + 1
    cells = np.sort(random.choice(side * side, count, replace=False))
    xy = np.stack([cells % side, cells // side], axis=1).astype(np.int64) * SIZE
    attention = random.gamma(0.5, size=count).astype(np.float32)
    share = random.random(count).astype(np.float32)
    return SlidePrediction(
        {"normal": 0.3, "tumour": 0.7},
        {0.5: PatchScores(xy, float(SIZE), attention / attention.sum())},
        {0.5: PatchScores(xy, float(SIZE), np.stack([1 - share, share], axis=1))},
        provenance={
            "slide": {"mpp": [0.5, 0.5], "fingerprint": "made up"},
            "model": {"id": "made up", "positive_class": "tumour"},
        },
    )


def adding(window: Window, prediction: SlidePrediction) -> dict[str, dict[str, float]]:
    """Way -> what -> ms, of adding the attention of a prediction and colouring it."""
    from napari.layers import Layer

    from napari_wsimil.widgets.layers import prediction_layers
    from napari_wsimil.widgets.overlays.details import colormap
    from napari_wsimil.widgets.overlays.scaling import set_scaling, set_threshold

    start = time.perf_counter()
    only = type(prediction)(prediction.probabilities, prediction.attention, provenance=prediction.provenance)
    (data,) = prediction_layers(only, top=0)
    prepared = 1e3 * (time.perf_counter() - start)
    values, options, _ = data
    found: dict[str, dict[str, float]] = {}
    viewer, place = window.viewer, {name: options[name] for name in ("scale", "translate")}
    adders = {
        OURS: lambda: viewer.add_layer(Layer.create(*data)),
        BARE: lambda: viewer.add_image(values, contrast_limits=options["contrast_limits"], units=options["units"], **place),
    }
    for way, add in adders.items():
        held, shown, work = window.timed(add)
        before = prepared if way == OURS else 0.0
        one = {"prepare": before, "add": held, "shown": shown + before, "work": work + before}
        layer, colours = viewer.layers[-1], colormap("cividis")
        _, one["recolour"], one["recolour work"] = window.timed(
            lambda layer=layer, colours=colours: setattr(layer, "colormap", colours)
        )
        if way == OURS:
            half = float(np.median(prediction.attention[0.5].values))
            one["threshold"] = window.timed(lambda layer=layer, half=half: set_threshold(layer, half))[1]
            set_threshold(layer, None)
            one["percentile"] = window.timed(lambda layer=layer: set_scaling(layer, "percentile"))[1]
            set_scaling(layer, "raw")
            one["again"] = window.timed(lambda layer=layer: set_scaling(layer, "percentile"))[1]
        found[way] = one
        viewer.layers.remove(layer)
    return found


def hovering(prediction: SlidePrediction, questions: int = 300) -> dict[str, float]:
    """Ms of the first question, and microseconds of later ones, in three ways."""
    from scipy.spatial import cKDTree

    from napari_wsimil.widgets.hover import PatchFinder

    scores = prediction.attention[0.5]
    points = np.random.default_rng(1).uniform(0, scores.xy.max(), (questions, 2))
    found = {}

    def each(ask: Callable[[float, float], Any]) -> float:
        seconds = []
        for x, y in points:
            start = time.perf_counter()
            ask(x, y)
            seconds.append(time.perf_counter() - start)
        return 1e6 * statistics.median(seconds)

    finder = PatchFinder(prediction)
    start = time.perf_counter()
    finder.describe(*points[0])
    found["first ask"] = 1e3 * (time.perf_counter() - start)
    found["hover"] = each(finder.describe)
    centres = scores.xy + scores.size_level0 / 2
    start = time.perf_counter()
    tree = cKDTree(centres)
    found["tree built"] = 1e3 * (time.perf_counter() - start)
    found["tree"] = each(lambda x, y: tree.query((x, y), p=np.inf))
    points = points[:20]
    found["scan"] = each(lambda x, y: np.abs(centres - (x, y)).max(axis=1).argmin())
    return found


def shapes() -> dict[str, float]:
    """Ms of as many rectangles as napari's Shapes layer can take."""
    from napari.layers import Shapes

    window = Window(65_536)
    corners = np.random.default_rng(0).integers(0, 50_000, (SHAPES, 1, 2)) + np.array([[0, 0], [0, 256], [256, 256], [256, 0]])
    made: list[Any] = []
    place = {"scale": (0.5, 0.5), "units": ("um", "um")}

    def add() -> None:
        made.append(window.viewer.add_layer(Shapes(list(corners), shape_type="rectangle", face_color="red", **place)))

    held, shown, _ = window.timed(add)
    _, recolour, _ = window.timed(lambda: setattr(made[0], "face_color", "blue"))
    window.viewer.close()
    return {"add": held, "shown": shown, "recolour": recolour}


def shapes_apart() -> dict[str, float]:
    told = subprocess.run([sys.executable, __file__, "--shapes"], check=True, capture_output=True, text=True)
    return json.loads(told.stdout.splitlines()[-1])


def measure(rounds: int) -> tuple[dict[int, list[Any]], list[dict[str, float]]]:
    """All rounds, the first of which nobody counts: count -> rounds, and those of the shapes."""
    window = Window(SIZE * int((max(COUNTS) / FULL) ** 0.5))
    predictions = {count: prediction_of(count) for count in COUNTS}
    found: dict[int, list[Any]] = {count: [] for count in COUNTS}
    for _ in range(rounds + 1):
        for count, prediction in predictions.items():
            found[count].append((adding(window, prediction), hovering(prediction)))
    window.viewer.close()
    return {count: taken[1:] for count, taken in found.items()}, [shapes_apart() for _ in range(rounds)]


def _said(values: list[float]) -> str:
    return f"{statistics.median(values):.{0 if statistics.median(values) >= 10 else 1}f}"


def page(found: dict[int, list[Any]], of_shapes: list[dict[str, float]]) -> str:
    rounds = len(of_shapes)
    lines = [
        "# Overlays in the window",
        "",
        f"`benchmarks/overlays.py` (its head says what the words mean): {os.cpu_count()} cores, {platform.platform()}, drawn "
        f"without a graphics card (Mesa llvmpipe); medians of {rounds} rounds; load of the machine at the end "
        f"{os.getloadavg()[0]:.1f}.",
        "",
        "## Adding and colouring the attention, ms",
        "",
        "Beside: napari's bare `add_image` of the same pixels in the same round, and how many times as long ours takes until",
        "it is shown.",
        "",
        "| patches | prepare | add | shown | work | bare: shown | work | ratio "
        "| recolour | work | bare | percentile | again | below |",
        "| ---: |" + " ---: |" * 13,
    ]
    for count, taken in found.items():

        def of(way: str, what: str, taken: list[Any] = taken) -> list[float]:
            return [one[0][way][what] for one in taken]

        ratio = statistics.median(a / b for a, b in zip(of(OURS, "shown"), of(BARE, "shown"), strict=True))
        cells = [f"{count:,}", *(_said(of(OURS, what)) for what in ("prepare", "add", "shown", "work"))]
        cells += [_said(of(BARE, "shown")), _said(of(BARE, "work")), f"{ratio:.2f}"]
        cells += [_said(of(OURS, "recolour")), _said(of(OURS, "recolour work")), _said(of(BARE, "recolour"))]
        cells += [_said(of(OURS, what)) for what in ("percentile", "again", "threshold")]
        lines.append(f"| {' | '.join(cells)} |")
    peer = {what: _said([one[what] for one in of_shapes]) for what in ("add", "shown", "recolour")}
    lines += [
        "",
        f"{SHAPES:,} rectangles of a Shapes layer: add {peer['add']}, shown {peer['shown']}, recolour {peer['recolour']} ms.",
        "",
        "## The patch under the cursor",
        "",
        "| patches | first ask, ms | hover, µs | cKDTree: built, ms | asked, µs | all compared, µs |",
        "| ---: |" + " ---: |" * 5,
    ]
    for count, taken in found.items():
        cells = [_said([one[1][what] for one in taken]) for what in ("first ask", "hover", "tree built", "tree", "scan")]
        lines.append(f"| {count:,} | {' | '.join(cells)} |")
    lines += ["", "## Wanted, for 100,000 patches", "", "| | wanted, ms | found, ms | least |", "| --- | ---: | ---: | ---: |"]
    taken = found[100_000]
    reached = {
        "shown": [one[0][OURS]["shown"] for one in taken],
        "shown, work": [one[0][OURS]["work"] for one in taken],
        "recolour": [one[0][OURS]["recolour"] for one in taken],
        "recolour, work": [one[0][OURS]["recolour work"] for one in taken],
        "hover": [one[1]["hover"] / 1e3 for one in taken],
    }
    for what in reached:
        wanted = WANTED[what.removesuffix(", work")]
        middle, least = statistics.median(reached[what]), min(reached[what])
        lines.append(f"| {what} | {wanted:g} | {middle:.3g}{'' if middle <= wanted else ': **missed**'} | {least:.3g} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="Markdown to write")
    parser.add_argument("--shapes", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shapes:
        print(json.dumps(shapes()))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_WSIMIL_CACHE"] = folder
        text = page(*measure(options.rounds))
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
