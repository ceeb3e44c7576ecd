"""What a mark says, and the tool that it is put with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QMenu, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_wsimil.annotations.classes import DrawnClass, same_name
from napari_wsimil.widgets.annotate.brush import resolutions, start_painting
from napari_wsimil.widgets.annotate.class_panel import swatch
from napari_wsimil.widgets.annotate.tools import PAINTING, TOOLS
from napari_wsimil.widgets.parts import NarrowButton, text_label
from napari_wsimil.widgets.training.correct.corrected import drawn_name

if TYPE_CHECKING:
    from qtpy.QtWidgets import QPushButton

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.widgets.annotate.board import Board

KINDS = ("is", "is not", "ignore")
HINTS = {
    "is": "Mark what really is {name}, where the model says otherwise",
    "is not": "Mark what is not {name}, though the model thinks so: the quickest way to turn it from a wrong place",
    "ignore": "Mark what nobody can tell, or what is no tissue: the model learns nothing from it",
}
PATCH = "patch"
OWN_TOOLS = {
    PATCH: ("Click patches", "Click patches on the slide to mark them; a click on a marked one takes the mark away"),
    **{mode: TOOLS[mode] for mode in ("add_polygon_lasso", "add_polygon", "add_rectangle", "add_ellipse")},
    "paint": PAINTING["paint"],
}
COLUMNS = 3
HOW = {
    "": "Choose what to say, then click on the slide.",
    PATCH: "Click patches on the slide. A second click takes a mark away.",
    "add_polygon_lasso": "Drag around a region on the slide.",
    "add_polygon": "Click corners on the slide; a double click or Escape ends the polygon.",
    "add_rectangle": "Drag a rectangle on the slide.",
    "add_ellipse": "Drag an ellipse on the slide.",
    "paint": "Paint on the slide; what is painted counts as one region.",
}


class MarkBox(QWidget):
    """Three buttons that say something of a class, and below them the tools.

    Parameters
    ----------
    board
        Where marks are drawn.

    Signals
    -------
    mark_chosen
        The patch that was chosen in another dock shall be marked.
    about_to_mark
        Somebody chose a class or a tool: what was drawn earlier is to be on the slide from now on.
    """

    mark_chosen = Signal()
    about_to_mark = Signal()

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board
        self._classes: tuple[str, ...] = ()
        self._of = dict.fromkeys(KINDS, "")
        self._patching = False
        self._said = False
        self._wanted = ""
        self.kinds = {kind: _kind_button(kind) for kind in KINDS}
        self.menus = {kind: _menu_button(kind) for kind in KINDS if kind != "ignore"}
        self.tools = {tool: _tool_button(tool, *about) for tool, about in OWN_TOOLS.items()}
        self.chosen_button = NarrowButton("Mark the chosen patch")
        self.how = text_label()
        self._lay_out()
        self._connect()
        self.show_patch(None)
        self.show_state()

    @property
    def name(self) -> str:
        """What the next mark says, as it is drawn."""
        return self._board.current

    @property
    def is_patching(self) -> bool:
        """Whether a click on the slide marks a patch."""
        return self._patching

    def show_prediction(self, prediction: SlidePrediction | None) -> None:
        """Offer the classes of the model that made a prediction; what it sees wrongly is most often its positive class."""
        classes = () if prediction is None else prediction.classes
        if classes == self._classes:
            return
        self._classes = classes
        if prediction is None or not classes:
            self.stop()
            return
        wrong = prediction.positive_class
        self._of = {"is": next((name for name in classes if name != wrong), wrong), "is not": wrong, "ignore": ""}
        for kind, button in self.menus.items():
            menu: Any = button.menu()
            menu.clear()
            for name in classes:
                menu.addAction(_words(kind, name)).triggered.connect(lambda *_, kind=kind, name=name: self.say(kind, name))
        self.show_state()

    def show_patch(self, patch: Any) -> None:
        """Another patch was chosen in another dock, or none."""
        self.chosen_button.setEnabled(patch is not None)
        self.chosen_button.setToolTip(
            "Mark the patch that is chosen in the dock Regions or under Zoom inspector"
            if patch is not None
            else "Choose a patch in the dock Regions first"
        )

    def say(self, kind: str, class_name: str = "") -> None:
        """Let the next marks say that they are, or are not, of a class, or are to be ignored; and have a tool ready."""
        self._of[kind], self._said = class_name, True
        self.about_to_mark.emit()
        name = self._board.book.lend(drawn_name(kind, class_name))
        self._board.choose(name)
        if not self.tool:
            self.use(PATCH)
        self.show_state()

    @property
    def tool(self) -> str:
        """The tool in use, "" where the slide is only moved."""
        board = self._board
        active = board.viewer.layers.selection.active
        mode = str(getattr(active, "mode", "pan_zoom"))
        if mode == "pan_zoom":
            return PATCH if self._patching else ""
        return mode if active in (board.layer, board.brush) and mode in self.tools else ""

    def use(self, tool: str) -> None:
        """Have a tool ready; the same one again puts it away."""
        again = tool == self.tool
        self._wanted = "" if again else tool
        self.about_to_mark.emit()
        if not self._said or not self._kind():
            self._said = True
            self._board.choose(self._board.book.lend(drawn_name("is not", self._of["is not"])))
        self.stop()
        if again:
            pass
        elif tool == PATCH:
            self._patching = True
        elif tool == "paint":
            board, slide = self._board, self._board.slide
            offered = [] if slide is None else resolutions(slide, board.session.prediction)
            start_painting(board, tool, next((one for one in offered if not one.problem), None))
        else:
            self._board.start(tool)
        self.show_state()

    def again(self) -> None:
        """Regions of a file came onto the slide, in a new layer: have the tool ready on that."""
        if self._wanted not in ("", PATCH) and self._wanted != self.tool:
            self.use(self._wanted)

    def stop(self) -> None:
        """Only move the slide from now on."""
        self._patching = False
        for layer in (self._board.layer, self._board.brush):
            if layer is not None and str(layer.mode) != "pan_zoom":
                layer.mode = "pan_zoom"
        self.show_state()

    def follow_class(self) -> None:
        """Another class is drawn now, chosen here or in the dock "Annotate"."""
        for kind, name in self._sayable():
            if same_name(drawn_name(kind, name)) == same_name(self._board.current):
                self._of[kind], self._said = name, True
        self.show_state()

    def show_state(self, _: Any = None) -> None:
        """Another class, tool, layer or slide, chosen here or elsewhere: press what is meant."""
        active = self._board.viewer.layers.selection.active
        if str(getattr(active, "mode", "pan_zoom")) != "pan_zoom":
            self._patching = False
        told, tool = self._kind(), self.tool
        for kind, button in self.kinds.items():
            text = _words(kind, self._of[kind])
            button.setText(text)
            button.setToolTip(HINTS[kind].format(name=self._of[kind]))
            button.setIcon(swatch(DrawnClass(text, self._board.book.colour(drawn_name(kind, self._of[kind])))))
            button.setChecked(kind == told and bool(tool))
        for name, one in self.tools.items():
            one.setChecked(name == tool)
        self.how.setText(HOW[tool])

    def _kind(self) -> str:
        """Which of the buttons says what is drawn next; "" where the dock Annotate chose something else."""
        current = same_name(self._board.current)
        return next((kind for kind, name in self._sayable() if same_name(drawn_name(kind, name)) == current), "")

    def _sayable(self) -> list[tuple[str, str]]:
        """Everything that a mark can say: kind, and class."""
        return [(kind, name) for kind in KINDS for name in (self._classes if kind in self.menus else ("",))]

    def _connect(self) -> None:
        for kind, button in self.kinds.items():
            button.clicked.connect(lambda _=False, kind=kind: self._pressed(kind))
        for tool, one in self.tools.items():
            one.clicked.connect(lambda _=False, tool=tool: self.use(tool))
        self.chosen_button.clicked.connect(self.mark_chosen)

    def _pressed(self, kind: str) -> None:
        """The button that is down already is let go: marking ends."""
        if kind == self._kind() and self.tool:
            self.stop()
        else:
            self.say(kind, self._of[kind])

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(4)
        for number, button in enumerate(self.tools.values()):
            grid.addWidget(button, number // COLUMNS, number % COLUMNS)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for kind, one in self.kinds.items():
            row = QHBoxLayout()
            row.setSpacing(2)
            row.addWidget(one, 1)
            if kind in self.menus:
                row.addWidget(self.menus[kind])
            column.addLayout(row)
        column.addLayout(grid)
        column.addWidget(self.chosen_button)
        column.addWidget(self.how)
        self.how.setObjectName("correct_how")
        self.chosen_button.setObjectName("correct_mark_chosen")


def _words(kind: str, class_name: str) -> str:
    return "Ignore this" if kind == "ignore" else f"This {kind} {class_name}"


def _kind_button(kind: str) -> QPushButton:
    button = NarrowButton("")
    button.setObjectName(f"correct_{kind.replace(' ', '_')}")
    button.setCheckable(True)
    button.setStyleSheet("text-align: left; padding-left: 6px;")
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return button


def _menu_button(kind: str) -> QToolButton:
    button = QToolButton()
    button.setObjectName(f"correct_{kind.replace(' ', '_')}_class")
    button.setAccessibleName(f"This {kind} another class")
    button.setToolTip("Choose another class")
    button.setMenu(QMenu(button))
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    button.setText("▾")
    button.setStyleSheet("QToolButton::menu-indicator { image: none; }")
    return button


def _tool_button(tool: str, text: str, hint: str) -> QPushButton:
    button = NarrowButton(text)
    button.setObjectName(f"correct_tool_{tool}")
    button.setToolTip(hint)
    button.setCheckable(True)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button
