"""How soon the first pixels of a heatmap are on the screen after Predict, and how soon Cancel has stopped it.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/first_pixels.py [--rounds 3] [--slide FILE]

Each round opens the slide in a real napari window of a fresh process, waits until it is at rest, and presses the real buttons.
The features that are kept meanwhile lie in a folder of the round.

first    the first Predict of the process, with the whole slide in view: loading the model counts
zoomed   again, looking at a few patches in the middle of the tissue
again    again, the whole slide in view

stage    from the click to the first report of it in the window
pixels   from the click to the first frame that shows the attention of a patch in view
cpu      what all threads of the process worked until then: on a busy machine the seconds say little
cancel   from the click on Cancel, two seconds later, until the job is gone and Predict can be pressed again
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

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = ("first", "zoomed", "again")
STAGES = ("Finding tissue", "Reading and encoding patches")
PATIENCE = 300.0


class Watch:
    """Sees what the window shows of a prediction, and when."""

    def __init__(self, viewer: Any, dock: Any) -> None:
        from qtpy.QtOpenGLWidgets import QOpenGLWidget
        from qtpy.QtWidgets import QApplication

        self.viewer, self.dock = viewer, dock
        self._app: Any = QApplication.instance()
        self.seconds: dict[str, float] = {}
        self._start, self._shown = 0.0, False
        canvases = [widget for widget in self._app.allWidgets() if isinstance(widget, QOpenGLWidget)]
        max(canvases, key=lambda widget: widget.width() * widget.height()).frameSwapped.connect(self._on_frame)
        dock.progressed.connect(lambda progress: self._note(progress.stage))
        viewer.layers.events.inserted.connect(self._on_layer)

    def until(self, done: Callable[[], bool]) -> None:
        """Let the window live until something is so."""
        start = time.perf_counter()
        while not done():
            self._app.processEvents()
            time.sleep(0.001)
            if time.perf_counter() - start > PATIENCE:
                raise SystemExit(f"nothing happened for {PATIENCE:.0f} s: {self.dock.message.text()}")

    def rest(self, seconds: float) -> None:
        """Let the window live until all tiles are there and then for a while."""
        self.until(lambda: all(layer.loaded for layer in self.viewer.layers))
        end = time.perf_counter() + seconds
        self.until(lambda: time.perf_counter() > end)

    def run(self) -> dict[str, float]:
        """Press Predict, wait for pixels, and press Cancel."""
        self.seconds, self._shown = {}, False
        self._start, cpu = time.perf_counter(), time.process_time()
        self.dock.predict_button.click()
        self.until(lambda: "pixels" in self.seconds or not self.dock.running)
        self.seconds["cpu"] = time.process_time() - cpu
        if not self.dock.running:
            raise SystemExit(f"the prediction ended without a heatmap: {self.dock.message.text()}")
        self.rest(2.0)
        pressed = time.perf_counter()
        self.dock.cancel_button.click()
        self.until(lambda: not self.dock.running)
        self.seconds["cancel"] = time.perf_counter() - pressed
        return self.seconds

    def _note(self, what: str) -> None:
        self.seconds.setdefault(what, time.perf_counter() - self._start)

    def _on_layer(self, event: Any) -> None:
        if self._attention(event.value) is not None:
            event.value.events.set_data.connect(lambda _: self._look(event.value))
            self._look(event.value)

    def _look(self, layer: Any) -> None:
        """Whether a patch whose attention is known lies in view."""
        import numpy as np

        from napari_wsimil.bags import Focus
        from napari_wsimil.widgets.view_geometry import view_corners

        scores = self._attention(layer)
        corners = view_corners(self.viewer, self.dock.slides.layer)
        view = Focus((*corners.min(axis=0), *corners.max(axis=0)))
        self._shown |= bool((view.sees(scores) & np.isfinite(scores.values)).any())

    def _on_frame(self) -> None:
        if self._shown:
            self._note("pixels")

    @staticmethod
    def _attention(layer: Any) -> Any:
        from napari_wsimil.widgets.slide_layer import facts

        return facts(layer).get("provisional")


def one_round(slide: Path) -> dict[str, dict[str, float]]:
    """All cases in one window; case -> what -> seconds."""
    from napari_wsimil.bags.store import FeatureStore, default_store_folder
    from napari_wsimil.widgets.demo import open_with_dock

    viewer, dock = open_with_dock(slide)
    watch = Watch(viewer, dock)
    # the list of models is complete once a worker has looked around, which loads torch
    watch.until(lambda: dock.models.model_id != dock.models.model_combo.currentText())
    watch.rest(3.0)
    found = {}
    for case in CASES:
        viewer.reset_view()
        if case == "zoomed":
            _, (height, width) = dock.slides.layer.extent.world[:, -2:]
            viewer.scene.camera.center = (0.28 * height, 0.3 * width)
            viewer.scene.camera.zoom *= 12
        watch.rest(1.0)
        found[case] = dict(watch.run())
        FeatureStore(default_store_folder()).trim(0)
    viewer.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--out", type=Path, help="Markdown to write")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        options.once.write_text(json.dumps(one_round(options.slide)))
        return
    from napari_wsimil.samples import make_sample_slide

    slide = options.slide or make_sample_slide()
    rounds = [_in_own_process(slide) for _ in range(options.rounds)]
    page = _page(slide.name, rounds)
    print(page)
    if options.out is not None:
        options.out.write_text(page + "\n")


def _page(name: str, rounds: list[dict[str, dict[str, float]]]) -> str:
    columns = (*STAGES, "pixels", "cpu", "cancel")
    lines = [
        "# The first pixels of a heatmap in the window",
        "",
        f"`benchmarks/first_pixels.py` (its head says what the columns are): {name}, {os.cpu_count()} cores, "
        f"{platform.platform()}, drawn without a graphics card; seconds, median of {len(rounds)} new windows (least to most); "
        f"load of the machine at the end {os.getloadavg()[0]:.1f}.",
        "",
        f"| Predict | {' | '.join(columns)} |",
        f"| --- |{' --- |' * len(columns)}",
    ]
    for case in CASES:
        cells = []
        for what in columns:
            seconds = sorted(found[case][what] for found in rounds if what in found[case])
            cells.append(f"{statistics.median(seconds):.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})" if seconds else "–")
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _in_own_process(slide: Path) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seconds.json"
        environment = {**os.environ, "NAPARI_WSIMIL_CACHE": folder}
        subprocess.run([sys.executable, __file__, "--slide", str(slide), "--once", str(out)], env=environment, check=True)
        return json.loads(out.read_text())


if __name__ == "__main__":
    main()
