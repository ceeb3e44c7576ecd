"""Which device trains."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_wsimil.widgets.parts import NarrowCombo, combo_item
from napari_wsimil.widgets.training.settings.number_box import slim

GPU = 2
"""Row of the list."""


class DeviceCombo(NarrowCombo):
    """A GPU can be chosen as soon as `offer` was told of one."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("training_device")
        self.setAccessibleName("Device")
        self.setToolTip("What computes: automatic takes a GPU where there is one")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        for text, device in (("Automatic", "auto"), ("CPU", "cpu"), ("GPU", "cuda")):
            self.addItem(text, device)
        slim(self)
        self._enable("", "Looking for a GPU…")

    @property
    def device(self) -> str:
        """What a plan takes."""
        return str(self.currentData())

    def offer(self, kind: str) -> None:
        """Tell which kind of device the fastest one is."""
        self._enable("" if kind == "cpu" else kind, "PyTorch finds no GPU on this computer." if kind == "cpu" else "")

    def _enable(self, kind: str, why_not: str) -> None:
        self.setItemData(GPU, kind or "cuda")
        item = combo_item(self, GPU)
        item.setEnabled(bool(kind))
        item.setToolTip(why_not)
