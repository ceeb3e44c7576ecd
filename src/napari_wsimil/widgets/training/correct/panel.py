"""Correct and fine-tune: marks on the open slide, a short run, before and after, Keep or Discard."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget


class CorrectPanel(QWidget):
    """Marks, Fine-tune, and what came of it."""

    def __init__(self, viewer: Any, watcher: Any) -> None:
        super().__init__()
