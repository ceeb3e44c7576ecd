"""How a new model is trained: method, hyper-parameters, encoder, magnifications, device."""

from napari_wsimil.widgets.training.settings.panel import SettingsPanel

__all__ = ["SettingsPanel"]
