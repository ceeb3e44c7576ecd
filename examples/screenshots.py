"""Make the pictures of the README: the real window with the real result, at the start, half-way and at the end.

Run it with a display, or under a virtual one::

    xvfb-run -a -s "-screen 0 1600x1000x24" python examples/screenshots.py

The pictures go to ``docs/images/``: ``start.png``, ``during.png``, ``window.png``, ``region.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_wsimil.samples import make_sample_slide
from napari_wsimil.widgets.demo import open_with_dock, settle

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"


def main(folder: Path = IMAGES) -> None:
    """Open the sample slide, predict it, and take a picture at each step."""
    from qtpy.QtCore import QEventLoop

    folder.mkdir(parents=True, exist_ok=True)
    viewer, dock = open_with_dock(make_sample_slide(), (1440, 900))

    def take(name: str) -> None:
        viewer.window.screenshot(str(folder / name), flash=False, canvas_only=False)
        print(folder / name)

    settle(3000)
    take("start.png")
    dock.predict_button.click()
    while dock.running and not 0 < dock.progress.bar.maximum() <= 2 * dock.progress.bar.value():
        settle(100)
    if dock.running:
        take("during.png")
        loop = QEventLoop()
        dock.ended.connect(loop.quit)
        loop.exec()
    if dock.prediction is None:
        sys.exit(dock.message.text())
    settle(3000)
    take("window.png")
    dock.result.region_clicked.emit(0)
    settle(3000)
    take("region.png")
    viewer.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
