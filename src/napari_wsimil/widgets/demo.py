"""The demonstration: the sample slide, predicted in the real window."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from napari_wsimil.errors import WsimilError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_wsimil.inference import Progress
    from napari_wsimil.widgets.analysis import SlideAnalysis

WINDOW_SIZE = (1600, 1000)
LONGEST_MS = 15 * 60 * 1000
"""How long a headless demonstration may take before it gives up."""


def run(out: Path | None, headless: bool) -> int:
    """Open the sample slide in napari, press Predict, and leave the window open or save what it shows.

    Parameters
    ----------
    out
        Folder for ``window.png``, ``figure.png``, ``report.html``, ``sample.geojson``, ``sample.csv`` and
        ``sample.prediction.h5``; None writes no files.
    headless
        End after the prediction, and do not leave the window open for the user.

    Returns
    -------
    int
        0, or 2 where a sentence on stderr says why it failed.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return _refuse(
            "There is no display to open a window on; run it under a virtual one: xvfb-run -a napari-wsimil demo --headless."
        )
    try:
        return _demonstrate(_sample(), out, headless)
    except (WsimilError, OSError) as error:
        return _refuse(str(error))


def open_with_dock(path: Path, size: tuple[int, int] = WINDOW_SIZE) -> tuple[Any, SlideAnalysis]:
    """A napari window of a size in px with the slide in it and the docks beside it, "Slide analysis" in front."""
    import napari

    viewer = napari.Viewer(title="napari-wsimil", show_welcome_screen=False)
    viewer.window.resize(*size)
    viewer.window.add_plugin_dock_widget("napari-wsimil", "Slide overview")
    _, dock = viewer.window.add_plugin_dock_widget("napari-wsimil", "Slide analysis", tabify=True)
    viewer.open(str(path), plugin="napari-wsimil")
    if dock.slides.layer is None:
        raise WsimilError(f"{path} could not be opened.")
    return viewer, dock


def predict_and_wait(dock: SlideAnalysis, longest_ms: int = LONGEST_MS) -> Any:
    """Press Predict and run the window until the prediction, or a sentence that raises `WsimilError`, is there."""
    from qtpy.QtCore import QEventLoop, QTimer

    from napari_wsimil.widgets.job import Failure

    ended: list[Any] = []
    loop = QEventLoop()
    dock.ended.connect(ended.append)
    dock.ended.connect(loop.quit)
    QTimer.singleShot(longest_ms, loop.quit)
    dock.predict_button.click()
    if not dock.running:
        raise WsimilError("The prediction can't start: the slide has no pixel size.")
    loop.exec()
    outcome = ended[0] if ended else Failure(f"The prediction did not end within {longest_ms // 60000} minutes.")
    if isinstance(outcome, Failure) or outcome is None:
        dock.cancel()
        raise WsimilError(outcome.sentence if outcome else "The prediction was stopped.")
    return outcome


def settle(milliseconds: int = 1500) -> None:
    """Let the window draw what it was given."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def _demonstrate(slide: Path, out: Path | None, headless: bool) -> int:
    import napari

    viewer, dock = open_with_dock(slide)
    if not headless and out is None:
        dock.predict_button.click()
        napari.run()
        return 0
    try:
        _predict_on_terminal(dock)
        if out is not None:
            _save(viewer, dock, out)
        if not headless:
            napari.run()
    finally:
        if headless:
            viewer.close()
    return 0


def _predict_on_terminal(dock: SlideAnalysis) -> None:
    """Predict, with the progress on the terminal as well as in the window."""
    with tqdm(desc="Predicting", unit="patch", leave=False) as bar:
        advance = _advance(bar)

        def show(progress: Progress) -> None:
            advance(progress.done, progress.total)

        dock.progressed.connect(show)
        predict_and_wait(dock)
        dock.progressed.disconnect(show)


def _save(viewer: Any, dock: SlideAnalysis, out: Path) -> None:
    """Write the screenshot and the exports, and tell the name of each."""
    from napari_wsimil.widgets.export_dialog import save_as

    out.mkdir(parents=True, exist_ok=True)
    settle()
    picture = out / "window.png"
    viewer.window.screenshot(str(picture), flash=False, canvas_only=False)
    prediction = dock.prediction
    assert prediction is not None  # noqa: S101 - `predict_and_wait` raised otherwise
    names = ("sample.geojson", "sample.csv", "sample.prediction.h5", "report.html", "figure.png")
    written = [picture] + [save_as(prediction, out / name) for name in names]
    for path in written:
        sys.stdout.write(f"{path}\n")


def _sample() -> Path:
    from napari_wsimil.samples import make_sample_slide

    with tqdm(desc="Making the sample slide", unit="block", leave=False) as bar:
        return make_sample_slide(progress=_advance(bar))


def _advance(bar: Any) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        bar.total = total or None
        bar.update(done - bar.n)

    return show


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 2
