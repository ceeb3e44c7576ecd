"""The small images that a file holds beside the slide; the label only for who asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QDialog, QPushButton, QVBoxLayout, QWidget

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import empty, text_label
from napari_wsimil.widgets.pictures import Picture, enlarge, to_image

if TYPE_CHECKING:
    from napari_wsimil.slides import Slide

LABEL = "label"
SHOW_LABEL = "Show label (may contain patient data)"
HIDE_LABEL = "Hide label"
FIRST = ("thumbnail", "macro")
HIGHEST = 220
"""Height in px of a picture in the panel at most."""


class AssociatedImages(QWidget):
    """Thumbnail, macro and others, read when they are first to be seen; a click enlarges one."""

    def __init__(self) -> None:
        super().__init__()
        self._slide: Slide | None = None
        self._asked = False
        self._dialog: QDialog | None = None
        self.pictures: dict[str, Picture] = {}
        self.hint = text_label()
        self.label_button = QPushButton(SHOW_LABEL)
        self.label_button.setObjectName("show_label")
        self.label_button.setToolTip("A photograph of the label of the slide; it often bears the name or number of a patient")
        self.label_button.clicked.connect(self._turn_label)
        self._column = QVBoxLayout()
        self._label_column = QVBoxLayout()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.hint)
        whole.addLayout(self._column)
        whole.addWidget(self.label_button)
        whole.addLayout(self._label_column)

    def show_slide(self, slide: Slide | None) -> None:
        """Forget the images of the slide before; those of this one are read when the widget is seen."""
        self._slide, self._asked = slide, False
        self._close_dialog()
        for layout in (self._column, self._label_column):
            empty(layout)
        self.pictures = {}
        self.label_button.setVisible(slide is not None and LABEL in slide.associated_images)
        self.label_button.setText(SHOW_LABEL)
        self.label_button.setEnabled(True)
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
        # Walking over the names leaves the label out.
        names = sorted(slide.associated_images, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
        self.hint.setText("Reading…" if names else "The file holds no thumbnail and no macro image.")
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

    def _turn_label(self) -> None:
        slide = self._slide
        if slide is None:
            return
        if LABEL in self.pictures:
            self._close_dialog()
            empty(self._label_column)
            del self.pictures[LABEL]
            self.label_button.setText(SHOW_LABEL)
        else:
            self.label_button.setEnabled(False)
            read_in_background(slide, lambda: _read(slide, LABEL), self._take_label)

    def _take_label(self, found: tuple[Slide, Any]) -> None:
        slide, image = found
        if slide is not self._slide:
            return
        empty(self._label_column)
        self._add(self._label_column, LABEL, image)
        self.label_button.setEnabled(True)
        self.label_button.setText(HIDE_LABEL if LABEL in self.pictures else SHOW_LABEL)

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
