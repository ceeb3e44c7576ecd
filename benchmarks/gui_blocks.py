"""How long the window answers nothing while a slide is predicted, and whose work that is.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/gui_blocks.py [--slide FILE] [--out FILE]

A real napari window of a fresh process with all docks of this plugin open. It waits until that is at rest, presses Predict
with the whole slide in view, waits for the result, and presses it again: the features are kept then, and layers replaced.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "widgets"))

FELT = 0.060
"""Seconds after which a window seems slow."""
REST_MS = 2500


def measure(slide: Path) -> dict[str, list]:
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
        found[case] = watchdog.blocks
    viewer.close()
    return found


def page(name: str, found: dict[str, list]) -> str:
    from gui_watchdog import KINDS

    lines = [
        "# What keeps the window from answering during Predict",
        "",
        f"`benchmarks/gui_blocks.py` (its head says what the rows are): {name}, all docks open, {os.cpu_count()} cores, "
        f"{platform.platform()}, drawn without a graphics card; milliseconds of processor time of the GUI thread between two "
        f"answers of the window; load of the machine at the end {os.getloadavg()[0]:.1f}.",
        "",
        "| Predict | whose work | longest | second | third | blocks over 16 ms | over 60 ms | in all |",
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
        os.environ["NAPARI_WSIMIL_CACHE"] = folder
        from napari_wsimil.samples import make_sample_slide

        slide = options.slide or make_sample_slide(Path(folder) / "sample.tiff")
        text = page(slide.name, measure(slide))
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
