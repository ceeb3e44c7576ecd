"""Where on the Hugging Face hub a model goes, and who may see it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QDialog, QHBoxLayout, QLineEdit, QProgressBar, QPushButton, QVBoxLayout

from napari_wsimil.widgets.background import read_in_background
from napari_wsimil.widgets.parts import colour_as_error, form, link, narrow_combo, say, text_label

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

WIDTH = 440
LICENCES = {
    "Not decided": None,
    "CC BY-NC 4.0: with credit, not for business": "cc-by-nc-4.0",
    "CC BY 4.0: with credit": "cc-by-4.0",
    "Apache 2.0": "apache-2.0",
    "MIT": "mit",
    "BSD 3-Clause": "bsd-3-clause",
}
"""What others may do with it -> as the hub calls it."""
WIDEST = "Repository"
PRIVATE = "Only you, and whom you let in, can see it."
PUBLIC = "Everybody can see and download it."
TOKENS = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class PushWish:
    """What the user chose, as `push_model` takes it."""

    repository: str
    private: bool
    licence: str | None
    token: str | None
    keep_paths: bool


class PushDialog(QDialog):
    """A window that asks, and then shows how it went; closing it stops nothing.

    Parameters
    ----------
    name
        Offered for the repository.
    parent
        Who asks.
    theme
        Name of napari's theme.

    Signals
    -------
    wished
        The user pressed Push; carries a `PushWish`.
    """

    wished = Signal(object)

    def __init__(self, name: str, parent: QWidget, theme: str) -> None:
        super().__init__(parent)
        self._name, self._theme = name, theme
        self.setWindowTitle("Push to the Hugging Face hub")
        self.setObjectName("push_dialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(WIDTH)
        self.repository = QLineEdit(f"/{name}")
        self.private = QCheckBox("Private")
        self.licence = narrow_combo("push_licence")
        self.token = QLineEdit()
        self.keep_paths = QCheckBox("Include file paths and the command")
        self.who, self.login, self.outcome, self.message = text_label(), text_label(), text_label(), text_label()
        self.bar = QProgressBar()
        self.push_button, self.close_button = QPushButton("Push"), QPushButton("Close")
        self._set_up()
        self._lay_out()
        self._connect()
        colour_as_error(self.message, theme)
        self._follow()
        read_in_background(None, _login, self._take_login)

    def show_working(self) -> None:
        """The upload began."""
        say(self.message, "")
        say(self.outcome, "Uploading; it goes on when you close this window.")
        self.bar.show()
        self._follow()

    def show_outcome(self, address: str | None, problem: str) -> None:
        """The upload ended: where it is now, or why not."""
        self.bar.hide()
        say(self.message, problem)
        load = f"others load it as hf:{self.repository.text().strip()}"
        say(self.outcome, f"It is at {link(address, address, self._theme)}; {load}" if address else "")
        self._follow()

    def _set_up(self) -> None:
        tips = {
            self.repository: ("push_repository", "Whose it is, a slash, and what it is called: owner/name"),
            self.private: ("push_private", "Who may see the repository; it can be changed on its page"),
            self.token: ("push_token", "Of your account, with the right to write; it is not kept"),
            self.keep_paths: (
                "push_keep_paths",
                "Where manifest and run lie on this computer, the command, and remarks that name slides; otherwise left out",
            ),
            self.push_button: ("push_push", "Upload the model, its card, and nothing else"),
            self.close_button: ("push_close", "Close this window; an upload goes on"),
        }
        for part, (name, tip) in tips.items():
            part.setObjectName(name)
            part.setToolTip(tip)
        self.private.setChecked(True)
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        for text, licence in LICENCES.items():
            self.licence.addItem(text, licence)
        self.licence.setToolTip("What others may do with the model; without a licence they must ask")
        for label, name in ((self.login, "push_login"), (self.outcome, "push_outcome"), (self.message, "push_message")):
            label.setObjectName(name)
            label.setOpenExternalLinks(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.bar.setRange(0, 0)
        self.bar.setTextVisible(False)
        self.bar.hide()
        for button in (self.push_button, self.close_button):
            button.setAutoDefault(False)
        say(self.outcome, "")
        say(self.message, "")
        self.login.setText("Looking who is logged in…")

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        rows = [
            ("Repository", self.repository),
            ("", self.private),
            ("", self.who),
            ("Licence", self.licence),
            ("", self.keep_paths),
            ("Login", self.login),
            ("Token", self.token),
        ]
        self._form = form(rows, WIDEST)
        column.addLayout(self._form)
        self._form.setRowVisible(self.token, False)
        for part in (self.bar, self.outcome, self.message):
            column.addWidget(part)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.push_button)
        buttons.addWidget(self.close_button)
        column.addLayout(buttons)

    def _connect(self) -> None:
        self.repository.textChanged.connect(self._follow)
        self.token.textChanged.connect(self._follow)
        self.private.toggled.connect(self._follow)
        self.push_button.clicked.connect(self._push)
        self.close_button.clicked.connect(self.close)

    def _take_login(self, told: tuple[Any, Any]) -> None:
        """Who is logged in: offered as the owner; nobody: a token is asked for."""
        _, found = told
        if isinstance(found, Exception):
            self.login.setText("–")
            say(self.message, str(found))
        elif found is None:
            self.login.setText(f"Nobody; give a {link(TOKENS, 'token', self._theme)}:")
            self.login.setToolTip("Or log in once, with “hf auth login” in a terminal")
            self._form.setRowVisible(self.token, True)
        else:
            self.login.setText(found or "Somebody; the hub can't be reached to ask who")
            if self.repository.text() == f"/{self._name}" and found:
                self.repository.setText(f"{found}/{self._name}")
        self._follow()

    def _follow(self, _: Any = None) -> None:
        self.who.setText(PRIVATE if self.private.isChecked() else PUBLIC)
        owner, _, name = self.repository.text().strip().partition("/")
        token_missing = not self.token.isHidden() and not self.token.text().strip()
        self.adjustSize()  # texts may be longer now
        self.push_button.setEnabled(bool(owner and name) and not token_missing and self.bar.isHidden())

    def _push(self) -> None:
        self.wished.emit(
            PushWish(
                self.repository.text().strip(),
                self.private.isChecked(),
                self.licence.currentData(),
                self.token.text().strip() or None,
                self.keep_paths.isChecked(),
            )
        )


def _login() -> str | None:
    """Who is logged in, see `hub_upload.login`; loads the hub's library."""
    from napari_wsimil.packages.hub_upload import login

    return login()
