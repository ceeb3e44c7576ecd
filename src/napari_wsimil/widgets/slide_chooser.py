"""Which slide, and how large its pixels are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDoubleSpinBox, QFileDialog, QHBoxLayout, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_wsimil.errors import WsimilError
from napari_wsimil.widgets.docks import open_dock
from napari_wsimil.widgets.parts import colour_as_error, follow, form, narrow_combo, say, text_label
from napari_wsimil.widgets.slide_layer import facts, is_slide, set_mpp
from napari_wsimil.widgets.words import mpp_text

if TYPE_CHECKING:
    from napari_wsimil.slides import Slide

ASK_FOR_MPP = "This file does not say how large a pixel is. Type it in: usually 0.25 µm at 40x, 0.5 µm at 20x."
SLIDE_FILTER = (
    "Slides and predictions (*.svs *.ndpi *.mrxs *.scn *.bif *.vms *.vmu *.svslide *.qptiff *.tif *.tiff *.dcm *.czi *.ozx "
    "zarr.json .zattrs *.h5)"
)
NO_SLIDE = "Press Open… or drop a slide on this window."


class SlideChooser(QWidget):
    """A list of the viewer's slide layers, kept in step with it, and the pixel size of the chosen one.

    Signals
    -------
    changed
        Another slide was chosen, or the chosen one got another pixel size.
    """

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.combo = narrow_combo("slide")
        self.open_button = QPushButton("Open…")
        self.open_button.setObjectName("open")
        self.open_button.setToolTip("Open a whole-slide image")
        self.many_button = QPushButton("Many slides…")
        self.many_button.setObjectName("many")
        self.many_button.setToolTip("A table of many slides, from a folder or a list, to predict and to sort")
        self.size_label = text_label()
        self.size_label.setObjectName("pixel_size")
        # a row of a form is no higher than one line, unless what stands in it wants more
        self.size_label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.edit_button = QToolButton()
        self.edit_button.setText("Change…")
        self.edit_button.setCheckable(True)
        self.edit_button.setToolTip("Use another pixel size than the file states")
        self.mpp_field = _mpp_field()
        self.hint = text_label(NO_SLIDE)
        self.notice = text_label()
        self.notice.setObjectName("slide_notice")
        self._lay_out()
        self.combo.currentIndexChanged.connect(self._show)
        self.open_button.clicked.connect(lambda: ask_for_slide(self, viewer))
        self.many_button.clicked.connect(lambda: open_dock(viewer, "Slides"))
        self.edit_button.toggled.connect(self._edit)
        self.mpp_field.valueChanged.connect(self._typed)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.renamed):
            follow(event, self._refill, self)
        follow(viewer.events.theme, self._colour, self)
        self._colour()
        self._refill()

    @property
    def layer(self) -> Any | None:
        """The chosen slide layer, or None."""
        key = self.combo.currentData()
        return next((layer for layer in self._viewer.layers if str(layer.unique_id) == key), None)

    @property
    def slide(self) -> Slide | None:
        """The chosen slide, or None."""
        layer = self.layer
        return None if layer is None else facts(layer)["slide"]

    def choose(self, layer: Any) -> None:
        """Choose a slide layer of the viewer."""
        self.combo.setCurrentIndex(self.combo.findData(str(layer.unique_id)))

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.open_button, 1)
        buttons.addWidget(self.many_button, 1)
        row = QHBoxLayout()
        row.addWidget(self.size_label, 1)
        row.addWidget(self.mpp_field, 1)
        row.addWidget(self.edit_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form([("Slide", self.combo)]))
        column.addLayout(buttons)
        column.addLayout(form([("Pixel size", row)]))
        column.addWidget(self.hint)
        column.addWidget(self.notice)

    def _colour(self, _: Any = None) -> None:
        colour_as_error(self.notice, self._viewer.theme)

    def _refill(self, _: Any = None) -> None:
        """Bring the list in step with the viewer; a slide opened just now becomes the chosen one."""
        before = [self.combo.itemData(index) for index in range(self.combo.count())]
        chosen = self.combo.currentData()
        slides = [layer for layer in self._viewer.layers if is_slide(layer)]
        with QSignalBlocker(self.combo):
            self.combo.clear()
            for layer in slides:
                self.combo.addItem(layer.name, str(layer.unique_id))
            new = [str(layer.unique_id) for layer in slides if str(layer.unique_id) not in before]
            self.combo.setCurrentIndex(max(self.combo.findData(new[-1] if new else chosen), 0 if slides else -1))
        if self.combo.currentData() != chosen or not slides:
            self._show()

    def _show(self, _: int = 0) -> None:
        """Show the pixel size and the notices of the chosen slide."""
        slide = self.slide
        known = slide is not None and slide.mpp is not None
        with QSignalBlocker(self.edit_button):
            self.edit_button.setChecked(False)
        self._edit(slide is not None and not known)
        self.combo.setToolTip(self.combo.currentText() or NO_SLIDE)
        self.edit_button.setVisible(known)
        self.size_label.setText(mpp_text(slide.mpp, slide.mpp_source) if slide is not None else "–")
        with QSignalBlocker(self.mpp_field):
            self.mpp_field.setValue(slide.mpp[0] if slide is not None and slide.mpp else 0.0)
        self.hint.setVisible(slide is None)
        notices = "" if slide is None else " ".join(slide.notices)
        say(self.notice, notices if known or slide is None else ASK_FOR_MPP)
        self.changed.emit()

    def _edit(self, on: bool) -> None:
        self.edit_button.setText("Done" if on else "Change…")
        self.mpp_field.setVisible(on)
        self.size_label.setVisible(not on)

    def _typed(self, value: float) -> None:
        layer = self.layer
        if layer is None or value <= 0:
            return
        try:
            slide = set_mpp(layer, value)
        except WsimilError as error:
            say(self.notice, str(error))
            return
        self.size_label.setText(mpp_text(slide.mpp, slide.mpp_source))
        say(self.notice, "")
        self._viewer.reset_view()
        self.changed.emit()


def ask_for_slide(parent: QWidget, viewer: Any) -> None:
    """Let the user choose a file, and open it with this plugin: napari's own reader would read the whole slide."""
    dialog = QFileDialog(parent, "Open a whole-slide image")
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setNameFilters([SLIDE_FILTER, "All files (*)"])
    dialog.fileSelected.connect(lambda path: viewer.open(path, plugin="napari-wsimil"))
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()


def _mpp_field() -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setObjectName("mpp")
    field.setDecimals(4)
    field.setRange(0.0, 100.0)
    field.setSingleStep(0.05)
    field.setSuffix(" µm")
    field.setSpecialValueText("not known")
    field.setKeyboardTracking(False)
    field.setToolTip("Side of a pixel of the finest level, in micrometres")
    return field
