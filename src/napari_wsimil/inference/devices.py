"""Which device computes."""

from __future__ import annotations

import torch

from napari_wsimil.errors import ModelError

BATCHES = {"cpu": 32, "mps": 128, "cuda": 256}
"""Most patches at once: more do not make a device of this kind faster."""


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; "auto" is a GPU where there is one.

    Raises
    ------
    ModelError
        The name is no device, or this computer does not have it.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f'There is no device "{name}"; choose auto, cpu or cuda.') from error
    if device.type not in available:
        raise ModelError(f'Device "{name}" is not supported; choose auto, cpu or cuda.')
    missing = not available[device.type] or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count())
    if missing:
        raise ModelError(f'Device "{name}" was asked for but PyTorch finds none on this computer; choose auto or cpu.')
    return device
