"""What a run does: curves, figures of the validation slides, and what it sees on the open slide."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget


class LiveView(QWidget):
    """Follows the watcher's run."""

    def __init__(self, viewer: Any, watcher: Any) -> None:
        super().__init__()
