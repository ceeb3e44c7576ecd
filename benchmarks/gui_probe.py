"""What a person at the window would notice, measured inside the process of the window."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QEventLoop, QObject, QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

BEAT = 0.004
"""Seconds between two beats of the heart in the GUI thread."""
SAMPLE = 0.002
"""Seconds between two looks at what the GUI thread does."""
READING = tuple(f"/{name}/" for name in ("napari_wsimil", "napari_wsi", "tifffile", "zarr", "openslide", "dask"))
"""Code that reads slides: ours and everybody's."""


class PaintEvents(QObject):  # type: ignore[misc]
    """Notes that a widget was asked to paint."""

    seen = False

    def eventFilter(self, _: Any, event: QEvent) -> bool:
        self.seen |= event.type() == QEvent.Type.Paint
        return False


class Probe:
    """Counts frames, stalls, uploads and time spent reading in the GUI thread.

    Attributes
    ----------
    stall
        Longest seconds since `reset` in which the GUI thread answered nothing.
    reading
        Longest seconds since `reset` that the GUI thread was inside code that reads slides, without a break.
    uploaded
        Bytes given to textures since `reset`.
    """

    def __init__(self) -> None:
        self._app: Any = QApplication.instance()
        self.frames = 0
        self.last_frame = time.perf_counter()
        canvas = max(
            (widget for widget in self._app.allWidgets() if isinstance(widget, QOpenGLWidget)),
            key=lambda widget: widget.width() * widget.height(),
        )
        self.size = canvas.width(), canvas.height()
        self._painting = PaintEvents()
        canvas.installEventFilter(self._painting)
        canvas.frameSwapped.connect(self._on_swap)
        self._timer = QTimer()
        self._timer.timeout.connect(self._on_beat)
        self._timer.start(round(1e3 * BEAT))
        self._count_uploads()
        self.reset()
        signal.signal(signal.SIGALRM, self._sample)
        signal.setitimer(signal.ITIMER_REAL, SAMPLE, SAMPLE)

    def reset(self) -> None:
        self.stall = self.reading = 0.0
        self.uploaded = 0
        self._since: float | None = None
        self._beat = self._sampled = time.perf_counter()

    def close(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._timer.stop()

    def _on_swap(self) -> None:
        # Qt shows the canvas anew for any widget of the window that is animated; only what was painted is a frame
        if self._painting.seen:
            self._painting.seen = False
            self.frames += 1
            self.last_frame = time.perf_counter()

    def _on_beat(self) -> None:
        now = time.perf_counter()
        self.stall = max(self.stall, now - self._beat - BEAT)
        self._beat = now

    def _count_uploads(self) -> None:
        from vispy.gloo import glir

        upload = glir.GlirTexture2D.set_data

        def counted(texture: Any, offset: Any, data: Any) -> None:
            self.uploaded += data.nbytes
            upload(texture, offset, data)

        glir.GlirTexture2D.set_data = counted

    def _sample(self, _: int, frame: FrameType | None) -> None:
        """Runs in the GUI thread itself, between two steps of the interpreter; a call into C is seen when it returns."""
        now = time.perf_counter()
        if _reads(frame):
            if self._since is None:
                self._since = self._sampled
            self.reading = max(self.reading, now - self._since)
        else:
            self._since = None
        self._sampled = now

    def step(self, change: Callable[[], object], pace: float) -> float:
        """Make a change and let the window live for `pace` seconds; seconds until the change was drawn."""
        start, before = time.perf_counter(), self.frames
        change()
        while self.frames == before and time.perf_counter() - start < 10:
            self._live()
        took = self.last_frame - start
        while time.perf_counter() - start < pace:
            self._live()
        return took

    def settle(self, change: Callable[[], object], done: Callable[[], bool], quiet: float = 0.1) -> float:
        """Make a change and wait for the last frame that it causes; seconds until then."""
        start = time.perf_counter()
        self.step(change, 0)
        self.rest(done, quiet)
        return self.last_frame - start

    def rest(self, done: Callable[[], bool], quiet: float = 0.1) -> float:
        """Wait until all is done and no frame has come for `quiet` seconds; seconds until the last frame, 0 if none came."""
        start = time.perf_counter()
        while not done() or time.perf_counter() - max(start, self.last_frame) < quiet:
            self._live()
            if time.perf_counter() - start > 60:
                raise SystemExit("the window did not come to rest within a minute")
        return max(0.0, self.last_frame - start)

    def _live(self) -> None:
        self._app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 5)
        time.sleep(0.0005)


def _reads(frame: FrameType | None) -> bool:
    while frame is not None:
        if any(part in frame.f_code.co_filename for part in READING):
            return True
        frame = frame.f_back
    return False


def memory() -> tuple[int, int]:
    """Bytes of this process in memory now, and the most there ever were; zeros where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0, 0
    told = dict(line.split(":", 1) for line in status.read_text().splitlines())
    now, most = (1024 * int(told[key].split()[0]) for key in ("VmRSS", "VmHWM"))
    return now, most
