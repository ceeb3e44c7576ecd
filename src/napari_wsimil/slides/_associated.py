"""The small images that come with a slide: thumbnail, macro, label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import DECODE_ERRORS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wsimil.slides.backends.base import Backend


class AssociatedImages(Mapping[str, "NDArray[np.uint8]"]):
    """Read when asked for by name. Walking over all of them leaves the label out: it may show a patient's name."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getitem__(self, name: str) -> NDArray[np.uint8]:
        if name not in self._backend.associated_names():
            raise KeyError(name)
        try:
            return self._backend.associated_image(name)
        except DECODE_ERRORS as error:
            raise SlideError(f"The {name} image of {self._backend.path.name} can't be decoded.") from error

    def __contains__(self, name: object) -> bool:
        return name in self._backend.associated_names()

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._backend.associated_names() if name != "label")

    def __len__(self) -> int:
        return sum(1 for _ in self)
