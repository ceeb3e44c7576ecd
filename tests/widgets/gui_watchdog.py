"""How long our code keeps the GUI thread from answering, told apart from napari, Qt, OpenGL and a busy machine.

A timer beats every few milliseconds in the GUI thread. Between two beats the window answers nothing, so what happens there is a
block. A second thread looks several times per block at the stack of the GUI thread and at the clock of the processor time that
this thread has used, and shares that time out:

ours
    Our code works, or what it calls of other libraries and of Qt.
asked
    napari or vispy works because our code asked for it: a layer is added, say. A layer alone takes napari some 100 ms, and its
    removal 200 ms, with no plugin there; our code can only ask for less of it.
drawing
    Qt has asked for the canvas to be drawn; also inside a call of ours, as it would be drawn anyway.
others
    The rest: napari's own work, Qt, the test.

Processor time and not time on the wall: on a busy machine a thread waits for its turn, and where many threads of Python run it
waits for the interpreter, through no fault of what it runs. The numbers are those of a window with a core to itself. What
our code sleeps, for a lock or a disk, is not in it; `Block.wall` holds it, together with such waiting.

What Qt does later in its own C++ because of something that we set counts under "others".
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import vispy
from qtpy.QtCore import Qt, QTimer

import napari_wsimil

if TYPE_CHECKING:
    from types import FrameType

KINDS = OURS, ASKED, DRAWING, OTHERS = "ours", "asked", "drawing", "others"
HOME = str(Path(napari_wsimil.__file__).parent)
THEIRS = tuple(str(Path(package.__file__).parent) + "/" for package in (napari, vispy))
WAITS_FOR_THE_WINDOW = str(Path(HOME) / "widgets" / "demo.py")
"""Runs the event loop itself: all that the window does would seem to be inside it."""
DRAWS = frozenset({"paintGL", "on_draw", "_on_draw"})
BEAT_MS = 5
SAMPLE = 0.003


@dataclass
class Block:
    """What happened between two beats.

    Attributes
    ----------
    wall
        Seconds between the beats.
    seconds
        Of what -> seconds of processor time of the GUI thread.
    where
        Lines of ours that were seen, with the number of times: the innermost one on the stack, and the one that called it.
    """

    wall: float
    seconds: dict[str, float]
    where: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> float:
        """Seconds of processor time, whoever used them."""
        return sum(self.seconds.values())

    def __str__(self) -> str:
        lines = "; ".join(f"{line} ({count}x)" for line, count in self.where.most_common(6))
        parts = ", ".join(f"{kind} {1e3 * self.seconds[kind]:.0f} ms" for kind in KINDS)
        return f"{parts}; in {lines or 'none of our lines'}"


@dataclass(frozen=True)
class _Look:
    """One look at the GUI thread: its clock, what it was at, and where."""

    cpu: float
    kind: str
    where: str


class Watchdog:
    """Watches the GUI thread, in which it is made, as a context manager.

    Attributes
    ----------
    blocks
        Filled when it ends.
    """

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._thread = threading.current_thread().ident or 0
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._beats: list[tuple[float, float]] = []
        self._looks: list[_Look] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watchdog:
        self._beat()
        self._timer.start(BEAT_MS)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()
        self._timer.stop()
        self._beat()
        self.blocks = list(self._shared_out())

    def longest(self, kind: str = OURS) -> Block:
        """The block in which one kind of work took most time."""
        return max(self.blocks, key=lambda block: block.seconds[kind])

    def _beat(self) -> None:
        self._beats.append((time.perf_counter(), time.clock_gettime(self._clock)))

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE):
            frame = sys._current_frames().get(self._thread)
            self._looks.append(_Look(time.clock_gettime(self._clock), *_what(frame)))
            del frame

    def _shared_out(self):
        """Blocks: each look stands for the time up to half-way to the looks beside it."""
        looks = iter([*self._looks, _Look(float("inf"), OTHERS, "")])
        look = next(looks)
        for (since, start), (until, end) in pairwise(self._beats):
            inside = []
            while look.cpu <= end:
                inside.append(look)
                look = next(looks)
            seconds = dict.fromkeys(KINDS, 0.0)
            where: Counter[str] = Counter()
            edges = [start, *((one.cpu + other.cpu) / 2 for one, other in pairwise(inside)), end]
            for one, (left, right) in zip(inside, pairwise(edges), strict=False):
                seconds[one.kind] += right - left
                where[one.where] += one.kind in (OURS, ASKED)
            if not inside:
                seconds[OTHERS] = end - start
            yield Block(until - since, seconds, +where)


def _what(frame: FrameType | None) -> tuple[str, str]:
    """What a stack is at, and our innermost two lines on it."""
    lines: list[str] = []
    kind = ""
    while frame is not None:
        code = frame.f_code
        ours = code.co_filename.startswith(HOME) and code.co_filename != WAITS_FOR_THE_WINDOW
        if not kind and (ours or code.co_filename.startswith(THEIRS)):
            kind = OURS if ours else ASKED
        if code.co_name in DRAWS and not lines:
            return DRAWING, ""
        if ours and len(lines) < 2:
            lines.append(f"{Path(code.co_filename).relative_to(HOME)}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return (kind, " < ".join(lines)) if lines else (OTHERS, "")
