"""What is known about a slide: facts, levels, associated images, properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_wsimil.widgets.associated_images import AssociatedImages
from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import Fold, empty, form, say, text_label
from napari_wsimil.widgets.property_table import PropertyTable, copy_text
from napari_wsimil.widgets.slide_words import LEVEL_COLUMNS, as_text, fact_rows, file_size, level_rows, size_text

if TYPE_CHECKING:
    from napari_wsimil.slides import Slide

FILE_SIZE = "File size"
MARGIN = 10
"""Width in px that napari's themes keep free within a label."""

WHERE_TO_TYPE = "There is a field for it under Slide analysis."


class SlidePanel(QWidget):
    """One slide in words, numbers and small pictures."""

    def __init__(self) -> None:
        super().__init__()
        self._slide: Slide | None = None
        self.facts: dict[str, QElidingLabel] = {}
        self.notice = text_label()
        self.notice.setObjectName("slide_notice")
        self.notice.hide()
        self.copy_button = QPushButton("Copy as text")
        self.copy_button.setToolTip("Copy facts, levels and the listed properties; what is hidden stays hidden")
        self.images = AssociatedImages()
        self.properties = PropertyTable()
        self.levels = QGridLayout()
        self.levels.setContentsMargins(0, 0, 0, 0)
        self.levels.setHorizontalSpacing(4)
        self._level_holder = QWidget()
        self._level_holder.setLayout(self.levels)
        self._level_holder.setToolTip("Factor: how many level-0 pixels lie side by side in one pixel of the level")
        self._fact_column = QVBoxLayout()
        self._lay_out()
        self.copy_button.clicked.connect(lambda: copy_text(self.as_text()))

    def show_slide(self, slide: Slide | None) -> None:
        """Show another slide, or none."""
        self._slide = slide
        self.images.show_slide(slide)
        self.properties.show_properties({} if slide is None else slide.properties)
        self._show_levels([] if slide is None else [LEVEL_COLUMNS, *level_rows(slide)])
        self.show_notices()
        self._show_facts([] if slide is None else [*fact_rows(slide), (FILE_SIZE, "…")])
        if slide is not None:
            read_in_background(slide, lambda: file_size(slide.path), self._take_size)

    def show_notices(self) -> None:
        """Show what the user must know of the slide; damaged tiles add to it while the slide is looked at."""
        notices = () if self._slide is None else self._slide.notices
        text = "\n".join([*notices, *([WHERE_TO_TYPE] if self._slide is not None and self._slide.mpp is None else [])])
        if text != self.notice.text():
            say(self.notice, text)

    def as_text(self) -> str:
        """The panel as lines of text with tabs: facts, levels, properties as they are listed."""
        facts = [(name.strip(), label.text()) for name, label in self.facts.items()]
        levels = [] if self._slide is None else [LEVEL_COLUMNS, *level_rows(self._slide)]
        parts: list[list[Any]] = [facts, levels, self.properties.listed()]
        return "\n\n".join(as_text(rows) for rows in parts if rows)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.notice)
        column.addLayout(self._fact_column)
        for title, inside in (("Levels", self._level_holder), ("Images", self.images), ("Properties", self.properties)):
            column.addWidget(Fold(title, inside))
        column.addWidget(self.copy_button)
        column.addStretch(1)

    def _show_facts(self, rows: list[tuple[str, str]]) -> None:
        empty(self._fact_column)
        self.facts = {name: _value(text) for name, text in rows}
        holder = QWidget()
        layout: QFormLayout = form(list(self.facts.items()))
        layout.setVerticalSpacing(4)
        holder.setLayout(layout)
        self._fact_column.addWidget(holder)

    def _show_levels(self, rows: list[Any]) -> None:
        empty(self.levels)
        for row, cells in enumerate(rows):
            for column, text in enumerate(cells):
                label = QLabel(text)
                label.setAlignment(Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft)
                self.levels.addWidget(label, row, column)

    def _take_size(self, found: tuple[Slide, Any]) -> None:
        slide, size = found
        if slide is self._slide:
            self.facts[FILE_SIZE].setText("not known" if isinstance(size, Exception) else size_text(size))


def _value(text: str) -> QElidingLabel:
    """A value that is shortened in the middle where there is no room; its tooltip has it in whole."""
    label = QElidingLabel(text)
    label.setElideMode(Qt.TextElideMode.ElideMiddle)
    label.setEllipsesWidth(MARGIN)
    label.setToolTip(text)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
