"""Small Qt parts that the dock is built from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QFrame,
    QLabel,
    QLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ERROR_COLOURS = {"dark": "#ff8a80", "light": "#b3261e"}
"""Readable on napari's backgrounds; its own error colour is not, on the dark one."""

ARROW_ROOM = 34
"""Width in px that a combobox keeps at least for its arrow and margins."""

MARGIN = 8
"""Width in px that a style leaves free beside the entry of a combobox."""

WIDEST_LABEL = "Top regions"
WIDEST_OPTION = "Exported patches"


def text_label(text: str = "") -> QLabel:
    """A label that wraps and lets its text be copied."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


class NarrowCombo(QComboBox):
    """A combobox that shows a long entry shortened in the middle, where its style would cut it off."""

    def paintEvent(self, _: Any) -> None:
        """Draw the box, then the entry in the room there is."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        style: Any = self.style()
        field = style.subControlRect(QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self)
        room = min(field.width() - MARGIN, self.width() - ARROW_ROOM)
        option.currentText = self.fontMetrics().elidedText(self.currentText(), Qt.TextElideMode.ElideMiddle, room)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class NarrowButton(QPushButton):
    """A button that gives the room around its text away in a narrow dock, and never the text."""

    def minimumSizeHint(self) -> QSize:
        """The text and the frame."""
        return QSize(self.fontMetrics().horizontalAdvance(self.text()) + 8, super().minimumSizeHint().height())


def narrow_combo(name: str) -> QComboBox:
    """A combobox that shortens long entries instead of widening the dock."""
    combo = NarrowCombo()
    combo.currentTextChanged.connect(combo.setToolTip)
    combo.setObjectName(name)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def form(rows: Sequence[tuple[str, Any]], widest: str = WIDEST_LABEL) -> QFormLayout:
    """Rows of a label and a widget or layout, with labels of one width in all forms of the dock that have the same `widest`."""
    layout = QFormLayout()
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setContentsMargins(0, 0, 0, 0)
    for text, field in rows:
        label = QLabel(text)
        # napari's style gives a label a larger font when it is shown
        label.setMinimumWidth(round(1.1 * label.fontMetrics().horizontalAdvance(widest)) + 8)
        layout.addRow(label, field)
        _name(field, text)
    return layout


def _name(field: Any, text: str) -> None:
    """Let a screen reader call a field what the label beside it says; of a layout the first widget."""
    if isinstance(field, QLayout):
        first: Any = field.itemAt(0)
        field = first.widget()
    if text and field is not None and not field.accessibleName():
        field.setAccessibleName(text)


class Column(QWidget):
    """What a scroll area shows: widgets below each other, which get all the height that their texts need at this width.

    A scroll area asks for the least height without telling the width, at which texts that wrap say too little.
    """

    def __init__(self) -> None:
        super().__init__()
        self.column = QVBoxLayout(self)

    def resizeEvent(self, event: Any) -> None:
        """Another width: texts wrap elsewhere."""
        super().resizeEvent(event)
        self._keep_height()

    def event(self, event: Any) -> bool:
        """Other texts, or parts that were shown or hidden."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._keep_height()
        return done

    def _keep_height(self) -> None:
        self.setMinimumHeight(max(0, self.column.minimumHeightForWidth(self.width())))  # -1 where all in it is hidden


def scrolled(inside: QWidget) -> QScrollArea:
    """A widget that scrolls up and down where its dock is too low for it."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(inside)
    return area


def heading(text: str) -> QLabel:
    """A line in bold above what belongs together."""
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


class Fold(QWidget):
    """A line of text that folds the widget below it in and out; folded in at first."""

    def __init__(self, title: str, inside: QWidget) -> None:
        super().__init__()
        self._title = title
        self._inside = inside
        self.button = QPushButton()
        self.button.setCheckable(True)
        self.button.setFlat(True)
        self.button.setStyleSheet("text-align: left; background: transparent; border: none; padding: 2px 0;")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.button)
        column.addWidget(inside)
        self.button.toggled.connect(self._turn)
        self._turn(False)

    def _turn(self, out: bool) -> None:
        self.button.setText(f"{'▾' if out else '▸'} {self._title}")
        self._inside.setVisible(out)


def colour_as_error(label: QWidget, theme: str) -> None:
    """Give a label the error colour that is readable in the named napari theme."""
    red, green, blue = get_theme(theme).background.as_rgb_tuple()[:3]
    label.setStyleSheet(f"color: {ERROR_COLOURS['dark' if red + green + blue < 384 else 'light']};")


def link(address: str, text: str, theme: str) -> str:
    """A link for a label, in the colour of texts: Qt's blue is not readable on dark backgrounds."""
    return f'<a href="{address}" style="color: {get_theme(theme).text.as_hex()};">{text}</a>'


def say(label: QLabel, text: str) -> None:
    """Show a text, or hide the label where there is none."""
    label.setText(text)
    label.setVisible(bool(text))


def only_to_read(table: QAbstractItemView) -> None:
    """Make a table one of figures: nothing is edited or selected, and it is as high as its rows."""
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)


def empty(layout: QLayout) -> None:
    """Take all widgets out of a layout and away."""
    while layout.count():
        item: Any = layout.takeAt(0)
        item.widget().hide()
        item.widget().deleteLater()


def follow(emitter: Any, callback: Any, until_gone: QWidget) -> None:
    """Call `callback` on an event of the viewer until the widget is destroyed; the viewer may outlive it."""
    emitter.connect(callback)
    until_gone.destroyed.connect(lambda *_: emitter.disconnect(callback))


class LayerFollower:
    """Calls back on the events of one layer at a time, until a widget is destroyed.

    Parameters
    ----------
    callbacks
        What to call, by the name of the layer's event.
    until_gone
        The widget that wants to know.
    """

    def __init__(self, callbacks: Mapping[str, Any], until_gone: QWidget) -> None:
        self._callbacks = callbacks
        self._layer: Any = None
        until_gone.destroyed.connect(lambda *_: self.turn_to(None))

    def turn_to(self, layer: Any | None) -> None:
        """Follow this layer, and no more the one before."""
        for name, callback in self._callbacks.items():
            if self._layer is not None:
                getattr(self._layer.events, name).disconnect(callback)
            if layer is not None:
                getattr(layer.events, name).connect(callback)
        self._layer = layer


def combo_item(combo: QComboBox, row: int) -> Any:
    """The item behind a row of a combobox, to disable it or give it a tooltip."""
    model: Any = combo.model()
    return model.item(row)


def remove(viewer: Any, layers: Iterable[Any]) -> None:
    """Take layers off the viewer that are still there; napari then looks at all that are left once, and not for each."""
    there = [layer for layer in layers if layer in viewer.layers]
    if there:  # even of nothing the end of a batch costs a tenth of a second
        with viewer.layers.batched_update():
            for layer in there:
                viewer.layers.remove(layer)
