"""The page of the dock "Training" that says which slides teach."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget


class DataPanel(QWidget):
    """Slides, labels, patients and their split."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
