"""Every dock explains itself, is used by keyboard, and cuts no text: both themes, narrow docks, large letters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from manners import beyond, clipped, contrast, controls, jumps, unexplained
from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut

from napari_wsimil.patches.patch import Patch
from napari_wsimil.widgets.analysis import PREDICT_KEY
from napari_wsimil.widgets.compare.colours import LESS, MORE
from napari_wsimil.widgets.docks import AREAS, dock_around, open_dock
from napari_wsimil.widgets.parts import ERROR_COLOURS
from napari_wsimil.widgets.session import session_of

BELOW = [name for name, area in AREAS.items() if area == Qt.DockWidgetArea.BottomDockWidgetArea]
LARGER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from manners import beyond, clipped
from napari_wsimil.widgets.demo import open_with_dock, settle
from napari_wsimil.widgets.docks import AREAS, open_dock
viewer, dock = open_with_dock(Path(sys.argv[1]), (640, 400))
for name in AREAS:
    widget = open_dock(viewer, name)
    for _ in range(40):
        settle(60)
        faults = [fault for look in (clipped, beyond) for fault in look(widget)]
        if not faults:
            break
    print(*(f"FAULT {name}: {fault}\\n" for fault in faults), sep="", end="")
viewer.window.screenshot(sys.argv[2], flash=False, canvas_only=False)
viewer.close()
"""


def with_all_docks(window, sample, made_up, qtbot):
    """A window of 1280 x 800 with a prediction and all docks; `.faults` tells what is wrong in each.

    No fixture: pytest would hold the viewer while napari looks whether anybody does.
    """
    w = window()
    w.open(sample)

    def steps(slide, model, **_):
        yield from ()
        return made_up(slide)

    w.dock.steps = steps
    w.press(w.dock.predict_button)
    w.wait_end()
    w.docks = {name: open_dock(w.viewer, name) for name in AREAS}
    scores = w.dock.prediction.attention[0.5]
    session_of(w.viewer).choose_patch(Patch(0.5, *scores.xy[8].tolist(), scores.size_level0))
    qtbot.wait(300)

    def faults(*looks):
        found = []
        for name, widget in w.docks.items():
            dock_around(widget).raise_()
            qtbot.waitUntil(widget.isVisible)
            found += [f"{name}: {fault}" for fault in lasting(widget, *looks)]
        return found

    def lasting(widget, *looks):
        """What is still wrong when the layout has had its time."""
        for _ in range(40):
            qtbot.wait(60)
            faults = [fault for look in looks for fault in look(widget)]
            if not faults:
                break
        return faults

    w.faults, w.lasting = faults, lasting
    return w


@pytest.mark.parametrize("theme", ERROR_COLOURS)
def test_what_goes_wrong_can_be_read(theme):
    words = tuple(bytes.fromhex(ERROR_COLOURS[theme][1:]))
    assert contrast(words, get_theme(theme).background.as_rgb_tuple()[:3]) >= 4.5
    assert MORE != LESS


@pytest.mark.gui
def test_all_docks(window, sample, made_up, qtbot):
    docks = with_all_docks(window, sample, made_up, qtbot)
    size = docks.dock.window().size
    qtbot.waitUntil(lambda: size().width() <= 1280 and size().height() <= 800, timeout=5000)
    assert docks.faults(unexplained, clipped, beyond, jumps) == []
    docks.viewer.theme = "light"
    qtbot.wait(200)
    assert docks.faults(clipped, beyond) == []
    for name, widget in docks.docks.items():
        dock = dock_around(widget)
        dock.setFloating(True)
        dock.resize(*((640, 180) if name in BELOW else (10, 700)))
        assert [f"{name} at {widget.width()} px: {fault}" for fault in docks.lasting(widget, clipped, beyond)] == []
        qtbot.waitUntil(lambda name=name, widget=widget: widget.width() <= (640 if name in BELOW else 300))
        dock.setFloating(False)
    appearance = get_settings().appearance
    before = appearance.font_size
    try:
        for factor in (1.25, 2.0):
            appearance.font_size = round(factor * before)
            qtbot.wait(200)
            assert docks.faults(clipped, beyond) == [], factor
    finally:
        appearance.font_size = before


@pytest.mark.gui
def test_keys(window, sample, slow_job, qtbot):
    w = window()
    w.open(sample)
    w.dock.steps = slow_job
    theirs = {str(key) for key in w.viewer.keymap} | {action.shortcut().toString() for action in _actions(w.dock)}
    assert PREDICT_KEY not in theirs
    assert PREDICT_KEY in w.dock.predict_button.toolTip()
    assert w.dock.predict_button.shortcut() == QKeySequence(PREDICT_KEY)
    w.dock.window().activateWindow()
    qtbot.waitUntil(w.dock.isActiveWindow, timeout=5000)
    w.dock.predict_button.setFocus()
    qtbot.keyClick(w.dock, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: w.dock.running, timeout=5000)
    qtbot.waitUntil(lambda: slow_job.done > 1, timeout=5000)
    (escape,) = (key for key in w.dock.findChildren(QShortcut) if key.key() == QKeySequence("Esc"))
    assert escape.isEnabled()
    w.dock.cancel_button.setFocus()
    qtbot.keyClick(w.dock.cancel_button, Qt.Key.Key_Escape)
    w.wait_end(timeout=5000)
    assert w.dock.progress.label.text() == "Stopped."
    assert not escape.isEnabled(), "elsewhere the key means other things"
    assert len(list(controls(w.dock))) > 5


def _actions(dock):
    bar = dock.window().menuBar()
    return [action for menu in bar.actions() if menu.menu() for action in menu.menu().actions()]


@pytest.mark.gui
def test_a_scaled_screen(sample, tmp_path):
    from PIL import Image

    environment = {**os.environ, "QT_SCALE_FACTOR": "2", "NAPARI_WSIMIL_CACHE": str(tmp_path)}
    environment["NAPARI_CONFIG"] = str(tmp_path / "settings.yaml")
    picture = tmp_path / "window.png"
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", LARGER, str(sample), str(picture), here]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line for line in done.stdout.splitlines() if line.startswith("FAULT")] == []
    assert Image.open(picture).width >= 2 * 640
