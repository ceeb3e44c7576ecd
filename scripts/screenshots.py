"""Pictures of every dock in a real window, in both themes and two sizes, to be looked at.

    xvfb-run -a -s "-screen 0 2000x1300x24 +extension GLX" python scripts/screenshots.py [--docs] [--only NAME ...]

A sample slide is made and predicted in the window. For each dock there is a scene: it is opened, something typical is done
in it, and what it shows is waited for. `--docs` also writes those of the README and the documentation, smaller, to docs/images.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
SIZES = ((1280, 800), (1920, 1200))
THEMES = ("dark", "light")
SIDE = 8192
"""Of the sample slide in px: some hundreds of patches."""
PATIENCE = 60.0
MOST_BYTES = 400_000
DOCS = {
    "start": ("dark", "start.png"),
    "analysis": ("dark", "window.png"),
    "during": ("dark", "during.png"),
    "regions": ("dark", "regions.png"),
    "inspector": ("dark", "inspector.png"),
    "compare": ("light", "compare.png"),
    "agreement": ("dark", "annotate.png"),
    "slides": ("light", "slides.png"),
    "overview": ("light", "overview.png"),
    "training": ("dark", "training.png"),
    "correct": ("light", "correct.png"),
}
"""Scene -> its theme, at 1280x800, and its name in docs/images."""


class Studio:
    """The window that is photographed.

    Parameters
    ----------
    folder
        Slides and results are made here.
    """

    def __init__(self, folder: Path) -> None:
        from napari_wsimil.samples import make_sample_slide
        from napari_wsimil.widgets.demo import open_with_dock

        self.folder = folder
        self.slide = make_sample_slide(folder / "tumour.tiff", size=SIDE)
        self.viewer, self.analysis = open_with_dock(self.slide, SIZES[0])
        self._opened = {"Slide overview"}

    def until(self, done: Callable[[], Any], what: str = "") -> None:
        """Let the window live until something is so; tell where it never is."""
        from napari_wsimil.widgets.demo import settle

        start = time.perf_counter()
        while not done():
            settle(30)
            if time.perf_counter() - start > PATIENCE:
                print(f"never happened: {what or done}", file=sys.stderr)
                return

    def rest(self, milliseconds: int = 400) -> None:
        """Let the window live until all tiles and pictures are there."""
        from napari_wsimil.widgets.demo import settle

        self.until(lambda: all(layer.loaded for layer in self.viewer.layers), "tiles")
        settle(milliseconds)

    def open(self, name: str) -> Any:
        """Open a dock, or bring it to the front."""
        from napari_wsimil.widgets.docks import open_dock

        widget = open_dock(self.viewer, name)
        self._opened.add(name)
        self.rest()
        return widget

    def alone(self, name: str) -> Any:
        """Open a dock and hide all others of this plugin, but that of the analysis."""
        from napari_wsimil.widgets.docks import dock_around

        self.open(name)
        for other in self._opened - {name, "Slide analysis"}:
            dock_around(self.open(other)).hide()
        self._opened = {name}
        return self.open(name)

    def fly(self, rank: int = 0) -> None:
        """Go to one of the patches with most attention."""
        from napari_wsimil.patches.patch import Patch
        from napari_wsimil.widgets.results import fly_to

        scores = self.analysis.prediction.attention[min(self.analysis.prediction.attention)].top(rank + 1)
        x, y = scores.xy[rank].tolist()
        fly_to(
            self.viewer, self.analysis.slides.layer, Patch(min(self.analysis.prediction.attention), x, y, scores.size_level0)
        )
        self.rest()

    def shoot(
        self,
        name: str,
        out: Path,
        sizes: tuple[tuple[int, int], ...] = SIZES,
        themes: tuple[str, ...] = THEMES,
        ready: Callable[[], object] | None = None,
    ) -> None:
        """Save the window in each theme and size; `ready` is called when it has its size."""
        for theme in themes:
            self.viewer.theme = theme
            for width, height in sizes:
                self.viewer.window.resize(width, height)
                self.rest()
                if ready is not None:
                    ready()
                    self.rest()
                path = out / f"{name}-{theme}-{width}x{height}.png"
                self.viewer.window.screenshot(str(path), flash=False, canvas_only=False)
                print(path.name, flush=True)


def scene_start(studio: Studio, out: Path) -> None:
    """The slide, before anything was done."""
    studio.rest(1500)
    studio.shoot("start", out, ready=studio.viewer.reset_view)


def scene_during(studio: Studio, out: Path) -> None:
    """Predict, half-way."""
    from napari_wsimil.widgets.slide_layer import facts

    dock = studio.analysis
    studio.viewer.theme = "dark"
    studio.viewer.window.resize(*SIZES[0])
    overlap = dock.options.overlap
    overlap.setCurrentIndex(overlap.count() - 1)  # more patches: else all is over before the picture is taken
    dock.predict_button.click()
    studio.until(lambda: any(facts(layer).get("kind") == "provisional" for layer in studio.viewer.layers) or not dock.running)
    studio.until(lambda: dock.progress.bar.value() > 0.4 * max(1, dock.progress.bar.maximum()) or not dock.running)
    studio.shoot("during", out, sizes=SIZES[:1], themes=("dark",))
    dock.cancel_button.click()
    studio.until(lambda: not dock.running, "cancel")
    overlap.setCurrentIndex(0)
    dock.predict_button.click()
    studio.until(lambda: not dock.running, "prediction")


def scene_analysis(studio: Studio, out: Path) -> None:
    """The result, and the options unfolded."""
    from napari_wsimil.widgets.parts import Fold

    studio.alone("Slide analysis")
    studio.shoot("analysis", out, ready=studio.viewer.reset_view)
    for fold in studio.analysis.findChildren(Fold):
        fold.button.click()
    studio.shoot("options", out, sizes=SIZES[:1])
    for fold in studio.analysis.findChildren(Fold):
        fold.button.click()


def scene_overview(studio: Studio, out: Path) -> None:
    """Where the view is."""
    studio.alone("Slide overview")
    studio.rest(1000)
    studio.shoot("overview", out, ready=studio.viewer.reset_view)


def scene_regions(studio: Studio, out: Path) -> None:
    """The patches with most attention, and the first of them in view."""
    studio.alone("Regions")
    studio.open("Slide analysis")
    studio.fly()
    studio.rest(2500)
    studio.shoot("regions", out)


def scene_inspector(studio: Studio, out: Path) -> None:
    """The patch with most attention."""
    from napari_wsimil.patches.patch import Patch
    from napari_wsimil.widgets.session import session_of

    studio.alone("Zoom inspector")
    prediction = studio.analysis.prediction
    scores = prediction.attention[min(prediction.attention)].top(1)
    x, y = scores.xy[0].tolist()
    session_of(studio.viewer).choose_patch(Patch(min(prediction.attention), x, y, scores.size_level0))
    studio.fly()
    studio.rest(2500)
    studio.shoot("inspector", out)


def scene_compare(studio: Studio, out: Path) -> None:
    """The model's own patches beside overlapping ones."""
    from napari_wsimil.inference import predict
    from napari_wsimil.inference.options import PatchOptions

    saved = predict(studio.slide, "bundled", options=PatchOptions(overlap=0.5), store=studio.folder / "features").save(
        studio.folder / "overlap.prediction.h5"
    )
    before = list(studio.viewer.layers)
    studio.viewer.open(str(saved), plugin="napari-wsimil")
    added = [layer for layer in studio.viewer.layers if layer not in before]
    dock = studio.alone("Compare")
    studio.until(lambda: dock.comparison is not None, "comparison")
    dock.views["difference"].click()
    studio.rest(1500)
    studio.shoot("compare", out, ready=studio.viewer.reset_view)
    for layer in added:
        if layer in studio.viewer.layers:
            studio.viewer.layers.remove(layer)


def scene_annotate(studio: Studio, out: Path) -> None:
    """The truth of the sample beside the prediction."""
    from napari_wsimil.samples import truth_path
    from napari_wsimil.widgets.parts import Fold

    before = list(studio.viewer.layers)
    dock = studio.alone("Annotate")
    dock.open_file(truth_path(studio.slide))
    studio.until(lambda: any(layer.name == "Annotations" and len(layer.data) for layer in studio.viewer.layers), "annotations")
    for fold in dock.findChildren(Fold):
        fold.button.click()
    studio.shoot("annotate", out, ready=studio.viewer.reset_view)
    dock.agreement.compare_button.click()
    studio.rest(2500)
    bar = dock.filled.verticalScrollBar()

    def see_all() -> None:
        studio.viewer.reset_view()
        bar.setValue(bar.maximum())

    studio.shoot("agreement", out, sizes=SIZES[:1], ready=see_all)
    for layer in [layer for layer in studio.viewer.layers if layer not in before]:
        studio.viewer.layers.remove(layer)


def scene_slides(studio: Studio, out: Path) -> None:
    """A folder of three slides."""
    from napari_wsimil.samples import make_sample_slide

    cohort = studio.folder / "cohort"
    cohort.mkdir(exist_ok=True)
    for seed, kind in enumerate(("tumour", "normal", "tumour"), start=1):
        path = cohort / f"case-{seed}.tiff"
        if not path.exists():
            make_sample_slide(path, kind=kind, seed=seed, size=2048)
    dock = studio.alone("Slides")
    dock.open(cohort)
    studio.until(lambda: dock.slides.rows, "slides")
    dock.predict_all()
    studio.until(lambda: not dock.running, "slides predicted")
    studio.rest(2000)
    studio.shoot("slides", out, ready=studio.viewer.reset_view)


def scene_training(studio: Studio, out: Path) -> None:
    """The slides and settings of a new model; the run half-way, paused, and finished."""
    from napari_wsimil.samples import make_sample_slide

    cohort = studio.folder / "labelled"
    for number in range(12):
        kind = ("normal", "tumour")[number % 2]
        path = cohort / kind / f"case-{number + 1}.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            make_sample_slide(path, kind=kind, seed=20 + number, size=2048)
    dock = studio.alone("Training")
    studio.until(lambda: dock.settings.ready, "the form")
    dock.data.add(cohort)
    studio.until(lambda: dock.data.ready, "the slides")
    bar = dock.area.verticalScrollBar()
    studio.shoot("training-slides", out, ready=lambda: bar.setValue(0))
    dock.settings.fold.button.click()
    studio.until(lambda: dock.settings.more.ready, "all settings")
    studio.shoot(
        "training-settings", out, sizes=SIZES[:1], ready=lambda: dock.area.ensureWidgetVisible(dock.settings.more, 0, 0)
    )
    dock.settings.fold.button.click()
    epochs = next(row.editor for row in dock.settings.rows if row.editor.objectName() == "epochs")
    epochs.setValue(200)
    dock.bar.start_button.click()

    def over() -> bool:
        return dock.desk.state is not None and not dock.desk.living

    for _ in range(5):  # features take longer than all else here
        if dock.watcher.history.epoch <= 25 and not over():
            studio.until(lambda: dock.watcher.history.epoch > 25 or over(), "epochs")
    dock.bar.pause_button.click()
    studio.until(lambda: dock.desk.state.phase == "paused" or over(), "pause")
    studio.shoot("training", out, ready=lambda: bar.setValue(0))
    dock.bar.resume_button.click()
    studio.until(over, "the end of the training")
    studio.until(dock.result.isVisible, "the result")
    studio.shoot("training-finished", out, ready=lambda: bar.setValue(0))


def scene_correct(studio: Studio, out: Path) -> None:
    """The model that was trained in the scene before, corrected by marks; before and after."""
    import napari_wsimil as ws
    from napari_wsimil.bags.store import default_store_folder
    from napari_wsimil.widgets.results import show_prediction

    dock = studio.alone("Training")
    run = dock.watcher.run
    if run is None:
        print("the scene training comes first", file=sys.stderr)
        return
    slide = studio.folder / "labelled" / "tumour" / "case-2.tiff"
    prediction = ws.predict(slide, run.folder / "model", store=default_store_folder())
    studio.viewer.layers.clear()
    studio.viewer.open(str(slide), plugin="napari-wsimil")
    show_prediction(studio.viewer, prediction, 10)
    dock.turn_to(1)
    panel = dock.correct
    studio.until(lambda: panel.on_slide.isVisible(), "the page")
    scores = next(iter(prediction.attention.values()))
    order = scores.values.argsort()
    side = scores.size_level0
    for row, name in ((order[-1], prediction.positive_class), (order[0], f"!{prediction.positive_class}")):
        x, y = scores.xy[row].tolist()
        panel.correcting.board.add_box((x, y, x + side, y + side), name)
    studio.rest(1000)
    bar = dock.area.verticalScrollBar()
    studio.shoot("correct-marks", out, sizes=SIZES[:1], ready=lambda: (studio.viewer.reset_view(), bar.setValue(0)))
    panel.tuning.epochs.setValue(10)
    panel.tune_button.click()
    for _ in range(5):
        studio.until(lambda: panel.attempting.attempt.phase in ("judging", "idle"), "before and after")
    studio.rest(3000)
    studio.shoot("correct", out, ready=studio.viewer.reset_view)


SCENES: dict[str, Callable[[Studio, Path], None]] = {
    name.removeprefix("scene_"): scene for name, scene in list(globals().items()) if name.startswith("scene_")
}


def for_docs(out: Path) -> None:
    """Write the pictures of the documentation, small."""
    for scene, (theme, name) in DOCS.items():
        path = out / f"{scene}-{theme}-{SIZES[0][0]}x{SIZES[0][1]}.png"
        if path.exists():
            target = ROOT / "docs" / "images" / name
            small(path, target)
            print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1000} kB")


def small(path: Path, target: Path) -> None:
    """Copy a PNG; one that is too large with 256 colours, half of them the commonest and half as different as can be."""
    from PIL import Image

    picture = Image.open(path).convert("RGB")
    picture.save(target, optimize=True)
    if target.stat().st_size > MOST_BYTES:
        methods = (Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE)
        colours = [picture.quantize(128, method).getpalette()[: 3 * 128] for method in methods]
        palette = Image.new("P", (1, 1))
        palette.putpalette(colours[0] + colours[1])
        picture.quantize(palette=palette, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--docs", action="store_true", help="write docs/images as well")
    parser.add_argument("--only", nargs="*", choices=list(SCENES), help="these scenes; a prediction is made first")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = options.only or list(SCENES)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_WSIMIL_CACHE"] = folder
        os.environ["NAPARI_WSIMIL_STATE"] = os.environ["NAPARI_WSIMIL_LIBRARY"] = folder
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        from napari.settings import get_plugin_settings

        get_plugin_settings("napari-wsimil", path_dir=Path(folder)).slides.tell_smooth_panning = False
        studio = Studio(Path(folder))
        for name, scene in SCENES.items():
            if name not in wanted and name != "during":
                continue
            start = time.perf_counter()
            try:
                scene(studio, options.out)
            except Exception as error:  # noqa: BLE001 - the other pictures are wanted all the same
                print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
            print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
        studio.viewer.close()
    if options.docs:
        for_docs(options.out)


if __name__ == "__main__":
    main()
