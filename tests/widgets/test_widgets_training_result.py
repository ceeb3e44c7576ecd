"""What a run ended in, in a real window: kept in the list, used, called otherwise, shared, pushed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget

import napari_wsimil as ws
from napari_wsimil.errors import ModelError
from napari_wsimil.packages import hub_upload, sharing
from napari_wsimil.packages.library import set_title
from napari_wsimil.widgets.model_card import ModelCard
from napari_wsimil.widgets.model_list import choose_model, models_changed
from napari_wsimil.widgets.reader import get_reader
from napari_wsimil.widgets.training.result import ResultPanel


def figure(value, low=None, high=None, reason=None):
    return {"value": value, "low": low, "high": high, "reason": reason}


@pytest.fixture
def finished(random_model, tmp_path):
    """The folder of a run that ended, as small as can be."""
    folder = tmp_path / "run"
    ws.share_model(random_model.source, folder / "model")
    set_title(folder / "model", "Nodes")
    metrics = {
        "split": "test",
        "cases": 24,
        "patients": 20,
        "classes": ["normal", "tumour"],
        "counts": {"normal": 12, "tumour": 12},
        "confusion_matrix": [[10, 2], [1, 11]],
        "figures": {
            "roc_auc": figure(0.93, 0.84, 0.99),
            "balanced_accuracy": figure(0.875, 0.75, 0.97),
            "f1": figure(None, reason="No slide is tumour."),
        },
        "validation": {"counts": {"normal": 5, "tumour": 6}},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "report.html").write_text("<p>Report</p>")
    return folder


@pytest.fixture
def panel(make_napari_viewer_proxy, qtbot):
    """A window with the panel, and with the dock "Slide analysis"."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1280, 800)
    _, analysis = viewer.window.add_plugin_dock_widget("napari-wsimil", "Slide analysis")
    shown = ResultPanel(viewer)
    around = QWidget()
    QVBoxLayout(around).addWidget(shown)
    viewer.window.add_dock_widget(around, name="Result", area="right")
    yield SimpleNamespace(viewer=viewer, analysis=analysis, panel=shown)
    from superqt.utils import WorkerBase

    WorkerBase.await_workers(20_000)


def press(qtbot, button):
    assert button.isVisible()
    assert button.isEnabled(), button.objectName()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def titles(analysis):
    combo = analysis.models.model_combo
    return [combo.itemText(row) for row in range(combo.count())]


def texts(panel):
    return "\n".join(label.text() for label in panel.findChildren(QLabel) if label.isVisible()).replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_from_a_finished_run_to_the_model_list_and_back(panel, finished, qtbot, monkeypatch):
    shown, analysis = panel.panel, panel.analysis
    assert not shown.isVisible()
    shown.show_run(finished / "nothing")
    shown.show_run(finished)
    qtbot.waitUntil(shown.isVisible)
    assert shown.title.text() == "Nodes"
    told = texts(shown)
    assert "Right on 21 of 24 test slides, ROC AUC 0.93 (0.84 to 0.99)." in told
    assert "Balanced accuracy\n0.88\n0.75 to 0.97" in told
    assert "F1\n–" in told
    assert "Measured on 24 test slides (12 normal, 12 tumour) of 20 patients." in told
    assert "chosen on 11 validation slides (5 normal, 6 tumour)" in told
    assert "Not calibrated." in told
    assert not shown.undo_button.isVisible()

    press(qtbot, shown.keep_button)
    qtbot.waitUntil(lambda: "scripts load it as “nodes”" in shown.note.text())
    qtbot.waitUntil(lambda: "Nodes" in titles(analysis))
    assert shown.keep_button.text() == "Take out of the list"
    press(qtbot, shown.use_button)
    qtbot.waitUntil(lambda: analysis.models.model == "nodes")
    assert shown.model == "nodes"

    qtbot.waitUntil(shown.title.isVisible)
    shown.title.selectAll()
    qtbot.keyClicks(shown.title, "Better nodes")
    qtbot.keyClick(shown.title, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "Better nodes" in titles(analysis))
    assert analysis.models.model == "nodes", "the choice stays"
    assert ws.load_model("nodes").title == ws.load_model(finished / "model").title == "Better nodes"
    qtbot.waitUntil(shown.title.isEnabled)
    shown.title.clear()
    qtbot.keyClick(shown.title, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "1 to 200 letters" in shown.message.text())
    assert shown.title.text() == "Better nodes"

    press(qtbot, shown.keep_button)
    qtbot.waitUntil(lambda: "Better nodes" not in titles(analysis))
    assert analysis.models.model == "bundled"
    assert "Better nodes is gone from the list of models; Demonstration (ABMIL) is chosen now." in analysis.message.text()
    qtbot.waitUntil(lambda: shown.undo_button.isVisible() and shown.keep_button.isEnabled())
    press(qtbot, shown.undo_button)
    qtbot.waitUntil(lambda: analysis.models.model == "nodes")
    assert not analysis.message.isVisible(), "it is chosen again"
    qtbot.waitUntil(lambda: shown.keep_button.isEnabled() and shown.model == "nodes")
    press(qtbot, shown.undo_button)
    qtbot.waitUntil(lambda: "Better nodes" not in titles(analysis) and shown.keep_button.isEnabled())
    assert shown.keep_button.text() == "Keep in the model list"

    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    press(qtbot, shown.report_button)
    assert opened == [str(finished / "report.html")]
    with qtbot.waitSignal(shown.used) as used:
        press(qtbot, shown.use_button)
    assert used.args == [str(finished / "model")]
    assert analysis.models.model == str(finished / "model")
    assert analysis.models.model_id == "random"

    (finished / "metrics.json").write_text("{}")
    shown.show_run(finished)
    qtbot.waitUntil(lambda: shown.message.isVisible() and "is damaged" in shown.message.text())
    assert not shown.keep_button.isVisible()
    shown.show_run(None)
    assert not shown.isVisible()


def test_sharing_and_pushing(panel, finished, qtbot, monkeypatch, tmp_path):
    shown = panel.panel
    shown.show_run(finished)
    qtbot.waitUntil(shown.isVisible)
    buttons = shown.sharing
    folder, archive, _, paths = buttons.menu.actions()
    archive.trigger()
    dialog = buttons.findChild(QFileDialog)
    dialog.setDirectory(str(tmp_path))
    assert Path(dialog.selectedFiles()[0]).name == "nodes.zip"
    dialog.selectFile("mine.zip")
    dialog.accept()
    qtbot.waitUntil(lambda: shown.note.text() == f"Written to {tmp_path / 'mine.zip'}.")
    assert ws.load_model(tmp_path / "mine.zip").title == "Nodes"
    buttons._share_to_folder(str(tmp_path))
    qtbot.waitUntil(lambda: shown.note.text() == f"Written to {tmp_path / 'nodes'}.")
    assert (tmp_path / "nodes" / "model.json").is_file()
    buttons._share_to_folder(str(tmp_path))
    qtbot.waitUntil(lambda: "is there already" in shown.message.text())
    assert folder.text() == "To a folder…"
    assert paths.isCheckable()

    pushed, login = [], ["me"]
    monkeypatch.setattr(hub_upload, "login", lambda token=None: login[0])

    def upload(folder, spec, name, **how):
        pushed.append((name, how))
        if how["token"] == "bad":
            raise ModelError("You may not write to that.")
        return f"https://huggingface.co/{name}"

    monkeypatch.setattr(sharing, "upload", upload)
    press(qtbot, buttons.push_button)
    dialog = buttons._dialog
    qtbot.waitUntil(lambda: dialog.repository.text() == "me/nodes")
    assert not dialog.token.isVisible()
    assert dialog.private.isChecked()
    dialog.licence.setCurrentIndex(1)
    press(qtbot, dialog.push_button)
    qtbot.waitUntil(lambda: "https://huggingface.co/me/nodes" in dialog.outcome.text())
    assert pushed == [("me/nodes", {"private": True, "licence": "cc-by-nc-4.0", "token": None})]
    press(qtbot, dialog.close_button)
    qtbot.waitUntil(lambda: buttons._dialog is None)

    login[0] = None
    press(qtbot, buttons.push_button)
    dialog = buttons._dialog
    qtbot.waitUntil(dialog.token.isVisible)
    qtbot.keyClicks(dialog.token, "bad")
    assert not dialog.push_button.isEnabled(), "nobody says whose repository"
    dialog.repository.setText("them/nodes")
    dialog.private.click()
    assert "Everybody" in dialog.who.text()
    press(qtbot, dialog.push_button)
    qtbot.waitUntil(lambda: dialog.message.isVisible() and dialog.message.text() == "You may not write to that.")
    assert pushed[1] == ("them/nodes", {"private": False, "licence": None, "token": "bad"})
    dialog.close()


def test_the_card_takes_a_model_out_of_the_list(panel, package, qtbot):
    ws.add_to_library(package)
    models_changed.emit()
    assert choose_model(panel.viewer, "random") is panel.analysis
    qtbot.waitUntil(lambda: panel.analysis.models.model == "random")
    press(qtbot, panel.analysis.models.card_button)
    card = panel.analysis.findChild(ModelCard)
    qtbot.waitUntil(card.remove_button.isVisible)
    assert "Looks at" in card.text.toPlainText()
    press(qtbot, card.remove_button)
    qtbot.waitUntil(lambda: panel.analysis.models.model == "bundled")
    assert "kept until" in card.message.text()
    assert not card.sharing.isEnabled()
    press(qtbot, card.remove_button)
    qtbot.waitUntil(lambda: "random" in titles(panel.analysis))
    assert card.sharing.isEnabled()
    card.close()
    choose_model(panel.viewer, "nowhere")
    qtbot.waitUntil(lambda: "There is no model 'nowhere' any more" in panel.analysis.message.text())


def test_a_zip_dropped_on_the_window_is_kept(panel, package, told, qtbot, tmp_path):
    path = ws.share_model(package, tmp_path / "sent.zip")
    for _ in range(2):
        panel.viewer.open(str(path), plugin="napari-wsimil")
        qtbot.waitUntil(lambda: panel.analysis.models.model == "random")
        choose_model(panel.viewer, "bundled")
    qtbot.waitUntil(lambda: len(told()) == 2)
    assert told()[0] == "random is the chosen model now, and in the list of models; press Predict to use it."
    path.unlink()
    assert ws.load_model("random").title == "random"
    assert [model.name for model in ws.installed_models() if model.origin == "library"] == ["random"]
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as packed:
        packed.writestr("notes.txt", "no model")
    assert get_reader(str(other)) is None
    other.write_bytes(b"no zip")
    assert get_reader(str(other)) is None
