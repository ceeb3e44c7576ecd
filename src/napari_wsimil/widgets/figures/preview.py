"""The figure in small, drawn in the background whenever something about it changes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL import Image
from qtpy.QtCore import QSize, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wsimil.exports.figures import draw_figure
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.pictures import pixmap_for, to_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtGui import QImage

    from napari_wsimil.exports.looks import Look
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.widgets.figures.plan import Plan

WIDTH = 640
SOON_MS = 60
"""A figure whose width is being typed is drawn once."""
_QUALITY = 92


class Preview(QWidget):
    """A picture that fills its place.

    Signals
    -------
    drawn
        Kind of file -> bytes for each pixel of the slide's picture, as far as the small figure tells.
    """

    drawn = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.image: QImage | None = None
        self._wish: Callable[[], Any] | None = None
        self._busy = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._start)
        self.setObjectName("figure_preview")
        self.setAccessibleName("Preview of the figure")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @property
    def up_to_date(self) -> bool:
        """Whether what is shown is the figure that was asked for last."""
        return self._wish is None and not self._busy and not self._soon.isActive()

    def sizeHint(self) -> QSize:
        """Room to see something."""
        return QSize(480, 420)

    def ask(self, prediction: SlidePrediction, plan: Plan, looks: Sequence[Look]) -> None:
        """Draw this figure soon, instead of what was asked for before."""
        self._wish = lambda: _drawn(prediction, plan, looks)
        self._soon.start(SOON_MS)

    def paintEvent(self, _: Any) -> None:
        """Draw the figure as large as there is room, in the middle."""
        if self.image is None:
            return
        size = self.image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        painter = QPainter(self)
        pixmap = pixmap_for(self.image, size.width(), size.height(), self.devicePixelRatioF())
        painter.drawPixmap((self.width() - size.width()) // 2, (self.height() - size.height()) // 2, pixmap)

    def _start(self) -> None:
        if self._busy or self._wish is None:
            return
        self._busy, wish, self._wish = True, self._wish, None
        read_in_background(None, wish, self._show)

    def _show(self, found: tuple[None, Any]) -> None:
        self._busy = False
        if not isinstance(found[1], Exception):
            self.image, sizes = found[1]
            self.update()
            self.drawn.emit(sizes)
        if not self._soon.isActive():
            self._start()


def _drawn(prediction: SlidePrediction, plan: Plan, looks: Sequence[Look]) -> tuple[QImage, dict[str, float]]:
    """The small figure, and the bytes for a pixel of it in each kind of file; runs in a worker."""
    pixels = draw_figure(prediction, plan.slide, plan.preview(looks, WIDTH))
    image, count = Image.fromarray(pixels), pixels.shape[0] * pixels.shape[1]
    sizes = {kind: _packed(image, kind) / count for kind in ("PNG", "JPEG")}
    return to_image(pixels), {"png": sizes["PNG"], "tiff": sizes["PNG"], "svg": 4 / 3 * sizes["JPEG"]}


def _packed(image: Image.Image, kind: str) -> int:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": _QUALITY} if kind == "JPEG" else {}))
    return file.tell()
