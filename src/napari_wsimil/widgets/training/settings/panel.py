"""How a new model is trained: method, hyper-parameters, encoder, magnifications, device."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget


class SettingsPanel(QWidget):
    """A form made of the registry."""

    def __init__(self) -> None:
        super().__init__()
