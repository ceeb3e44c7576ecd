"""The small images that a file holds beside the slide; those that show the label only for who asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QDialog, QPushButton, QVBoxLayout, QWidget

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import empty, text_label
from napari_wsimil.widgets.pictures import Picture, enlarge, to_image

if TYPE_CHECKING:
    from napari_wsimil.slides import Slide

PRIVATE = ("macro", "overview", "label")
"""The label bears the name or number of a patient, and a photograph of the whole glass shows the label."""
HIGHEST = 220
"""Height in px of a picture in the panel at most."""


class AssociatedImages(QWidget):
    """The thumbnail, read when it is first to be seen; macro and label behind a button; a click enlarges one."""

    def __init__(self) -> None:
        super().__init__()
        self._slide: Slide | None = None
        self._asked = False
        self._private: list[str] = []
        self._dialog: QDialog | None = None
        self.pictures: dict[str, Picture] = {}
        self.hint = text_label()
        self.private_button = QPushButton()
        self.private_button.setObjectName("show_private")
        self.private_button.setToolTip(
            "Photographs of the glass and its label, which often bears the name or number of a patient"
        )
        self.private_button.clicked.connect(self._turn_private)
        self._column = QVBoxLayout()
        self._private_column = QVBoxLayout()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.hint)
        whole.addLayout(self._column)
        whole.addWidget(self.private_button)
        whole.addLayout(self._private_column)

    def show_slide(self, slide: Slide | None) -> None:
        """Forget the images of the slide before; those of this one are read when the widget is seen."""
        self._slide, self._asked = slide, False
        self._close_dialog()
        for layout in (self._column, self._private_column):
            empty(layout)
        self.pictures = {}
        self._private = [] if slide is None else [name for name in PRIVATE if name in slide.associated_images]
        self.private_button.setVisible(bool(self._private))
        self.private_button.setEnabled(True)
        self._say_private(shown=False)
        self._read_if_seen()

    def showEvent(self, event: Any) -> None:
        """Read what was not needed before."""
        super().showEvent(event)
        self._read_if_seen()

    def _read_if_seen(self) -> None:
        slide = self._slide
        if slide is None or self._asked or not self.isVisible():
            return
        self._asked = True
        names = sorted(set(slide.associated_images) - set(PRIVATE))
        self.hint.setText("Reading…" if names else "The file holds no thumbnail.")
        self.hint.show()
        if names:
            read_in_background(slide, lambda: [(name, _read(slide, name)) for name in names], self._take)

    def _take(self, found: tuple[Slide, Any]) -> None:
        slide, images = found
        if slide is not self._slide:
            return
        self.hint.hide()
        for name, image in images:
            self._add(self._column, name, image)

    def _turn_private(self) -> None:
        slide, names = self._slide, self._private
        if slide is None:
            return
        if any(name in self.pictures for name in names):
            self._close_dialog()
            empty(self._private_column)
            for name in names:
                self.pictures.pop(name, None)
            self._say_private(shown=False)
        else:
            self.private_button.setEnabled(False)
            read_in_background(slide, lambda: [(name, _read(slide, name)) for name in names], self._take_private)

    def _take_private(self, found: tuple[Slide, Any]) -> None:
        slide, images = found
        if slide is not self._slide:
            return
        empty(self._private_column)
        for name, image in images:
            self._add(self._private_column, name, image)
        self.private_button.setEnabled(True)
        self._say_private(shown=any(name in self.pictures for name in self._private))

    def _say_private(self, *, shown: bool) -> None:
        names = " and ".join(self._private)
        self.private_button.setText(f"Hide {names}" if shown else f"Show {names} (may contain patient data)")

    def _add(self, column: QVBoxLayout, name: str, image: Any) -> None:
        if isinstance(image, Exception):
            column.addWidget(text_label(str(image)))
            return
        picture = Picture(image, f"{name.capitalize()} image", HIGHEST)
        picture.setObjectName(f"picture_{name}")
        picture.setToolTip("Click to enlarge")
        picture.clicked.connect(lambda: self._enlarge(picture))
        self.pictures[name] = picture
        column.addWidget(text_label(name.capitalize()))
        column.addWidget(picture)

    def _enlarge(self, picture: Picture) -> None:
        self._close_dialog()
        self._dialog = enlarge(picture, self)
        self._dialog.destroyed.connect(self._forget_dialog)

    def _forget_dialog(self, *_: Any) -> None:
        self._dialog = None

    def _close_dialog(self) -> None:
        if self._dialog is not None:
            self._dialog.close()
            self._dialog = None


def _read(slide: Slide, name: str) -> Any:
    """The image, or the error in its place: one that can't be decoded leaves the others."""
    try:
        return to_image(slide.associated_images[name])
    except (WsimilError, OSError) as error:
        return error
