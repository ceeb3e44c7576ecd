"""A training's events as progress bars and lines on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from napari_wsimil.training.events import Event

FIGURES = {"loss": "loss", "auc": "AUC", "balanced_accuracy": "balanced accuracy"}


class EventBar:
    """Called with events; use it in a `with` block."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""
        self._epochs = 0

    def __enter__(self) -> EventBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        data = event.data
        if event.kind == "stage":
            self._close()
        elif event.kind == "start":
            self._close()
            self._epochs = int(data["epochs"])
            if data.get("resumed"):
                self._line(f"{event.stage}: goes on in epoch {event.epoch + 1}")
        elif event.kind == "step":
            self._show(
                f"{event.stage}, epoch {event.epoch + 1}/{self._epochs or '?'}", int(data["step"]), int(data["steps"]), data
            )
        elif event.kind == "progress":
            self._show(f"{event.stage}, {data.get('what', '')}", int(data.get("done", 0)), int(data.get("total", 0)), data)
        elif event.kind == "epoch":
            self._line(self._epoch(event))

    def _epoch(self, event: Event) -> str:
        data = event.data
        told = [f"{words} {data['validation'][name]:.3f}" for name, words in FIGURES.items() if name in data["validation"]]
        best = ", best so far" if data["best"] else ""
        head = f"epoch {event.epoch + 1}/{self._epochs or '?'}: loss {data['losses']['loss']:.4f}"
        return f"{head}, validation {', '.join(told)}{best}"

    def _show(self, stage: str, done: int, total: int, data: Any) -> None:
        if self._bar is None or stage != self._stage:
            self._close()
            self._bar, self._stage = tqdm(desc=stage, total=total or None, file=sys.stderr, leave=False, delay=0.5), stage
        if data.get("losses"):
            self._bar.set_postfix_str(f"loss {data['losses']['loss']:.4f}{_left(data.get('seconds_left'))}", refresh=False)
        elif data.get("of"):
            self._bar.set_postfix_str(f"{data.get('doing', '')} {data['patches']}/{data['of']}", refresh=False)
        self._bar.update(done - self._bar.n)

    def _line(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    hours, rest = divmod(round(seconds), 3600)
    return f", {hours}:{rest // 60:02d}:{rest % 60:02d} left"
