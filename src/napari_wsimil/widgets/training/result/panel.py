"""What a run ended in: the package, its card, its figures; sharing it."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget


class ResultPanel(QWidget):
    """Filled when a run is finished."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
