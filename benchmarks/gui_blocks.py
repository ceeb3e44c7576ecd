"""How long the window answers nothing while a slide is predicted or a model trained, and whose work that is.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/gui_blocks.py [--slide FILE] [--out FILE]

A real napari window of a fresh process with all docks of this plugin open. It waits until that is at rest, presses Predict
with the whole slide in view, waits for the result, and presses it again: the features are kept then, and layers replaced.
Then it adds a folder of twelve slides in the dock Training, and presses Start: a child process makes features and trains on all
cores, while curves are drawn and, on the open slide, what the model sees after each epoch.
`tests/widgets/gui_watchdog.py` tells how a block is measured: processor time of the GUI thread, whatever else the machine does.

ours     our code and what it calls of other libraries and of Qt
asked    napari and vispy working because our code asked: layers added, changed and removed
drawing  the canvas is drawn
others   the rest of napari and Qt
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "widgets"))

FELT = 0.060
"""Seconds after which a window seems slow."""
REST_MS = 2500
TAUGHT, TAUGHT_SIDE, EPOCHS = 12, 2048, 80
"""Slides to train on, their side in px, and for how long."""


def measure(slide: Path, folder: Path) -> dict[str, list]:
    """Case -> blocks."""
    from gui_watchdog import Watchdog

    from napari_wsimil.widgets.demo import open_with_dock, predict_and_wait, settle
    from napari_wsimil.widgets.docks import AREAS, open_dock

    viewer, dock = open_with_dock(slide)
    for name in AREAS:
        open_dock(viewer, name)
    open_dock(viewer, "Slide analysis")
    settle(2 * REST_MS)
    found = {}
    for case in ("first", "again"):
        with Watchdog() as watchdog:
            predict_and_wait(dock)
            settle(REST_MS)
        found[f"Predict, {case}"] = watchdog.blocks
    found["training"] = while_training(viewer, folder)
    viewer.close()
    return found


def while_training(viewer: Any, folder: Path) -> list:
    """Blocks from Start to the finished package."""
    from gui_watchdog import Watchdog

    from napari_wsimil.samples import make_sample_slide
    from napari_wsimil.widgets.demo import settle
    from napari_wsimil.widgets.docks import open_dock

    def until(done: Callable[[], bool]) -> None:
        while not done():
            settle(30)

    for number in range(TAUGHT):
        kind = ("normal", "tumour")[number % 2]
        (folder / "labelled" / kind).mkdir(parents=True, exist_ok=True)
        make_sample_slide(folder / "labelled" / kind / f"case-{number}.tiff", kind=kind, seed=20 + number, size=TAUGHT_SIDE)
    dock = open_dock(viewer, "Training")
    until(lambda: dock.settings.ready)
    dock.data.add(folder / "labelled")
    until(lambda: dock.data.ready)
    watched = next(row for row in dock.data.draft.rows if row.split == "validation")
    viewer.open(str(watched.path), plugin="napari-wsimil")
    epochs = next(row.editor for row in dock.settings.rows if row.editor.objectName() == "epochs")
    epochs.setValue(EPOCHS)
    settle(REST_MS)
    with Watchdog() as watchdog:
        dock.bar.start_button.click()
        until(lambda: dock.desk.state is not None and not dock.desk.living)
        settle(REST_MS)
    if dock.desk.state.phase != "finished":
        raise SystemExit(dock.desk.state.sentence)
    return watchdog.blocks


def page(name: str, found: dict[str, list]) -> str:
    from gui_watchdog import KINDS

    lines = [
        "# What keeps the window from answering while it predicts and trains",
        "",
        f"`benchmarks/gui_blocks.py` (its head says what the rows are): {name}, all docks open, {os.cpu_count()} cores, "
        f"{platform.platform()}, drawn without a graphics card; milliseconds of processor time of the GUI thread between two "
        f"answers of the window; load of the machine at the end {os.getloadavg()[0]:.1f}.",
        "",
        "| while | whose work | longest | second | third | blocks over 16 ms | over 60 ms | in all |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, blocks in found.items():
        for kind in KINDS:
            spent = sorted((block.seconds[kind] for block in blocks), reverse=True)
            longest = " | ".join(f"{1e3 * seconds:.0f}" for seconds in [*spent, 0.0, 0.0][:3])
            over = " | ".join(str(sum(seconds > limit for seconds in spent)) for limit in (0.016, FELT))
            lines.append(f"| {case} | {kind} | {longest} | {over} | {1e3 * sum(spent):.0f} |")
    lines += ["", "Where the longest blocks of `ours` and `asked` were:", ""]
    for case, blocks in found.items():
        for kind in KINDS[:2]:
            lines.append(f"- {case}, {kind}: {max(blocks, key=lambda block: block.seconds[kind])}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--out", type=Path, help="Markdown to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for place in ("CACHE", "STATE", "LIBRARY"):
            os.environ[f"NAPARI_WSIMIL_{place}"] = str(Path(folder) / place.lower())
        from napari_wsimil.samples import make_sample_slide

        slide = options.slide or make_sample_slide(Path(folder) / "sample.tiff")
        text = page(slide.name, measure(slide, Path(folder)))
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
