"""The page of the dock "Training" that says which slides teach, in a real window."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QInputDialog, QMessageBox, QPushButton

from napari_wsimil.training.data.drafting import DraftRow
from napari_wsimil.training.data.drafting.looks import Look
from napari_wsimil.training.data.manifest import read_manifest
from napari_wsimil.widgets.parts import scrolled
from napari_wsimil.widgets.training.data import DataPanel
from napari_wsimil.widgets.training.data.model import LABEL, PATIENT, SLIDE, SPLIT

LEFT = Qt.MouseButton.LeftButton
CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier

pytestmark = pytest.mark.gui


@pytest.fixture(scope="session")
def pixels(tmp_path_factory, write_slide):
    return write_slide(tmp_path_factory.mktemp("pixels") / "slide.tiff", width=1024, height=1024)


@pytest.fixture
def folder(tmp_path, pixels):
    """Six slides in folders called by their class."""
    for label in ("normal", "tumour"):
        (tmp_path / "slides" / label).mkdir(parents=True)
        for number in range(3):
            shutil.copy(pixels, tmp_path / "slides" / label / f"{label[0]}{number}.tiff")
    return tmp_path / "slides"


@pytest.fixture
def page(make_napari_viewer_proxy, qtbot):
    """Call it for a window with the page: `.panel`, `.press(button)`, `.wait()`, `.cell(row, column)`, `.texts(column)` ..."""

    def build():
        viewer = make_napari_viewer_proxy(show=True)
        viewer.window.resize(1280, 800)
        panel = DataPanel(viewer)
        area = scrolled(panel)
        viewer.window.add_dock_widget(area, name="Data", area="right")
        qtbot.waitUntil(panel.isVisible)
        view, port = panel.view, panel.view.viewport()

        def press(button):
            area.ensureWidgetVisible(button)
            qtbot.waitUntil(button.isVisible)
            assert button.isEnabled(), button.text()
            qtbot.mouseClick(button, LEFT)

        def wait():
            qtbot.waitUntil(lambda: not panel.checking)

        def add(*paths):
            panel.add(*paths)
            wait()

        def place(row, column):
            return view.visualRect(panel.model.index(row, column)).center()

        def click(row, column=SLIDE, more=Qt.KeyboardModifier.NoModifier, double=False):
            # beside the box that is ticked
            at = place(row, column)
            qtbot.mouseClick(port, LEFT, more, at)
            if double:
                qtbot.mouseDClick(port, LEFT, more, at)

        def problem(kind, title):
            """Press the button of a problem; returns its sentence."""
            box = panel.list.findChild(object, f"problem_{kind.replace(' ', '_')}")
            assert box is not None, [one.kind for one in panel.problems]
            sentence = next(one.sentence for one in panel.problems if one.kind == kind)
            press(next(button for button in box.findChildren(QPushButton) if button.text() == title))
            wait()
            return sentence

        def texts(column):
            return [panel.model.index(row, column).data() for row in range(panel.model.rowCount())]

        return SimpleNamespace(
            viewer=viewer, panel=panel, draft=panel.draft, view=view, port=port, press=press, wait=wait, add=add, click=click,
            problem=problem, texts=texts, kinds=lambda: [one.kind for one in panel.problems],
        )  # fmt: skip

    return build


def dialog(kind, qtbot):
    """The dialog of a kind that is open."""
    found = []

    def there():
        found[:] = [one for one in QApplication.topLevelWidgets() if isinstance(one, kind) and one.isVisible()]
        return bool(found)

    qtbot.waitUntil(there)
    return found[0]


def choose(path, qtbot):
    """Choose a file or a folder in the dialog that is open."""
    box = dialog(QFileDialog, qtbot)
    box.fileSelected.emit(str(path))
    box.reject()


def test_from_an_empty_manifest_to_slides_that_are_ready(page, qtbot, tmp_path, folder):
    the = page()
    panel = the.panel
    (tmp_path / "empty.csv").write_text("slide,label,patient\n")
    assert panel.hint.isVisible()
    assert "Which slides teach the model?" in panel.hint.text()
    assert not panel.tools.isVisible()
    assert panel.folder_hint is None
    the.press(panel.add_buttons.manifest)
    choose(tmp_path / "empty.csv", qtbot)
    qtbot.waitUntil(lambda: "empty.csv names no slides yet" in panel.notice.text())
    assert (panel.ready, panel.folder_hint) == (False, tmp_path)
    the.press(panel.add_buttons.folder)
    choose(folder / "normal", qtbot)
    qtbot.waitUntil(lambda: panel.view.isVisible() and not panel.checking)
    assert the.texts(LABEL) == ["no label"] * 3
    assert the.kinds() == ["no label"]
    # labelled all at once, by a name that is typed
    the.problem("no label", "Select the 3")
    assert len(the.view.selected()) == 3
    entry = panel.for_selected.label.lineEdit()
    assert "Label 3 slides as" in entry.placeholderText()
    entry.setFocus()
    qtbot.keyClicks(entry, "benign")
    qtbot.keyClick(entry, Qt.Key.Key_Return)
    the.wait()
    assert the.texts(LABEL) == ["benign"] * 3
    assert entry.text() == ""
    assert the.kinds() == ["one class"]
    the.add(folder)
    assert panel.notice.text().endswith("3 slides are in the list already.")
    the.click(3)
    the.click(5, more=SHIFT)
    # in place: begun by typing, it goes to all that are selected
    the.view.setFocus()
    the.view.setCurrentIndex(panel.model.index(5, LABEL))
    the.view.select([row.key for row in the.draft.rows[3:]])
    the.view.edit(panel.model.index(3, LABEL))
    box = the.view.findChild(QComboBox)
    assert [box.itemText(at) for at in range(box.count())] == ["benign", "tumour"]
    box.lineEdit().selectAll()
    qtbot.keyClicks(box.lineEdit(), "malignant")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: the.texts(LABEL) == ["benign"] * 3 + ["malignant"] * 3)
    the.wait()
    assert panel.ready
    assert panel.state.text() == "6 slides · 6 patients · 2 classes · from empty.csv, changed"
    assert sorted(the.texts(SPLIT)) == sorted(["train", "validation", "test"] * 2)
    written = read_manifest(the.draft.write(tmp_path / "run.csv"))
    assert written.classes == ("benign", "malignant")


def test_keys_and_the_clipboard(page, qtbot, folder):
    the = page()
    panel, draft = the.panel, the.draft
    the.add(folder)
    clipboard = QApplication.clipboard()
    the.click(1)
    the.view.setFocus()
    qtbot.keyClick(the.view, Qt.Key.Key_Space)
    the.wait()
    assert panel.state.text() == "5 slides · 5 patients · 2 classes · 1 left out"
    assert panel.model.index(1, SLIDE).data(Qt.ItemDataRole.FontRole).strikeOut()
    qtbot.keyClick(the.view, Qt.Key.Key_Delete)
    assert [row.name for row in draft.rows] == ["n0", "n2", "t0", "t1", "t2"]
    qtbot.keyClick(the.view, Qt.Key.Key_Z, CTRL)
    qtbot.keyClick(the.view, Qt.Key.Key_Z, CTRL)
    assert [row.used for row in draft.rows] == [True] * 6
    qtbot.keyClick(the.view, Qt.Key.Key_Z, CTRL | SHIFT)
    assert not draft.rows[1].used
    the.press(panel.tools.undo)
    assert draft.rows[1].used
    the.press(panel.tools.redo)
    the.press(panel.tools.undo)
    # a column of a spreadsheet, from the cell that is pointed at
    clipboard.setText("P1\nP1\nP2\nP3\n")
    the.view.fit_columns()
    the.view.setColumnHidden(PATIENT, False)
    the.click(0, PATIENT)
    qtbot.keyClick(the.view, Qt.Key.Key_V, CTRL)
    assert [row.patient for row in draft.rows] == ["P1", "P1", "P2", "P3", "", ""]
    the.wait()
    splits = the.texts(SPLIT)
    assert splits[0] == splits[1]
    qtbot.keyClick(the.view, Qt.Key.Key_A, CTRL)
    qtbot.keyClick(the.view, Qt.Key.Key_C, CTRL)
    lines = clipboard.text().splitlines()
    assert lines[0].split("\t") == ["slide", "label", "patient", "split", "annotation"]
    assert lines[1].split("\t")[:3] == ["n0", "normal", "P1"]
    clipboard.setText("slide\tlabel\nt2\tother\nn0\tother\n")
    qtbot.keyClick(the.view, Qt.Key.Key_V, CTRL)
    assert (draft.rows[0].label, draft.rows[5].label) == ("other", "other")
    clipboard.setText("")
    qtbot.keyClick(the.view, Qt.Key.Key_V, CTRL)
    assert "no text to paste" in panel.message.text()
    panel.tools.copy.trigger()
    assert len(clipboard.text().splitlines()) == 7
    # search and sort
    qtbot.keyClicks(panel.tools.search, "other")
    assert the.texts(SLIDE) == ["n0", "t2"]
    qtbot.keyClicks(panel.tools.search, " zzz")
    assert panel.hint.text() == "No slide has these words."
    panel.tools.search.clear()
    header = the.view.horizontalHeader()
    for first in ("normal", "tumour"):
        at = header.sectionViewportPosition(LABEL) + 10
        qtbot.mouseClick(header.viewport(), LEFT, pos=QPointF(at, 8).toPoint())
        assert the.texts(LABEL)[0] == first
    menu = the.view.menu()
    assert [action.text() for action in menu.actions() if action.text()][:3] == ["Label", "Split", "Patient…"]
    menu.close()
    panel.tools.clear.trigger()
    the.wait()
    assert panel.hint.isVisible()
    assert not panel.list.isVisible()
    the.press(panel.tools.undo)
    assert len(draft.rows) == 6


def test_problems_are_put_right_by_their_buttons(page, qtbot, folder, tmp_path, monkeypatch):
    the = page()
    panel, draft = the.panel, the.draft
    the.add(folder)
    keys = [row.key for row in draft.rows]
    draft.set_label(keys[:1], "")
    the.wait()
    assert the.problem("no label", "Leave out n0") == "1 slide has no label: n0."
    draft.set_patient(keys[1:3], "P1")
    the.click(1)
    panel.for_selected.side.setCurrentText("test")
    panel.for_selected.side.activated.emit(panel.for_selected.side.findText("test"))
    the.click(2)
    panel.for_selected.side.activated.emit(panel.for_selected.side.findText("train"))
    the.wait()
    # by the closed list of a cell
    the.view.edit(panel.model.index(3, SPLIT))
    box = the.view.findChild(QComboBox)
    assert [box.itemText(at) for at in range(box.count())] == ["train", "validation", "test", "none"]
    qtbot.keyClick(box, Qt.Key.Key_Escape)
    assert "patient torn" in the.kinds()
    marked = panel.model.index(1, SLIDE)
    assert "Patient P1 has slides in test and train" in marked.data(Qt.ItemDataRole.ToolTipRole)
    assert marked.data(Qt.ItemDataRole.DecorationRole) is not None
    the.problem("patient torn", "Put P1 into train")
    assert [row.split for row in draft.rows[1:3]] == ["train", "train"]
    assert "as chosen by hand" in panel.split.note.text()
    draft.set_patient(keys, "")
    draft.use(keys, used=True)
    draft.set_label(keys[:1], "normal")
    the.press(panel.split.again_button)
    the.wait()
    assert panel.ready
    assert not panel.list.isVisible()
    # a slide that is gone, found again by its name
    (folder / "normal").rename(tmp_path / "moved")
    draft.looks._known.clear()
    draft.look_again()
    the.wait()
    the.problem("gone", "Find…")
    choose(folder / "tumour", qtbot)
    qtbot.waitUntil(lambda: "holds none of them" in panel.message.text())
    the.problem("gone", "Find…")
    choose(tmp_path / "moved", qtbot)
    qtbot.waitUntil(lambda: draft.rows[0].path == tmp_path / "moved" / "n0.tiff")
    the.wait()
    assert panel.ready
    # slides that do not say their pixel size
    look = "napari_wsimil.training.data.drafting.looks.look_at"
    monkeypatch.setattr(look, lambda path: Look("slides", mpp=None))
    draft.looks._known.clear()
    draft.look_again()
    the.wait()
    the.problem("no pixel size", "Say it…")
    asked = dialog(QInputDialog, qtbot)
    asked.setDoubleValue(0.5)
    asked.accept()
    the.wait()
    assert {row.mpp for row in draft.rows} == {0.5}
    assert panel.ready


def test_shares_folds_and_many_classes(page, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_wsimil.training.data.drafting.looks.look_at", lambda path: Look("slides", mpp=0.5))
    the = page()
    panel, draft = the.panel, the.draft
    lines = ["slide,label,fold", *(f"{number}.svs,c{number % 9:02},{number % 3}" for number in range(90))]
    (tmp_path / "folds.csv").write_text("\n".join(lines))
    the.add(tmp_path / "folds.csv")
    assert set(the.texts(SPLIT)) == {"fold 0", "fold 1", "fold 2"}
    assert not panel.split.validation.isVisible()
    assert panel.split.note.text().startswith("and 1 more classes.")
    the.press(panel.split.again_button)
    the.wait()
    assert set(the.texts(SPLIT)) == {"train", "validation", "test"}
    assert panel.split.validation.isVisible()
    before = the.texts(SPLIT)
    the.press(panel.split.again_button)
    the.wait()
    assert the.texts(SPLIT) != before
    field = panel.split.test
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, "40")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    the.wait()
    assert (draft.shares.test, the.texts(SPLIT).count("test")) == (0.4, 36)
    assert panel.ready


def test_slides_of_the_dock_and_of_the_window(page, qtbot, folder):
    the = page()
    panel, draft = the.panel, the.draft
    the.press(panel.add_buttons.open_slide)
    assert panel.message.text() == "No slide is open; open one, or add a folder."
    the.press(panel.add_buttons.listed)
    assert "lists no slides yet" in panel.message.text()
    table = the.viewer.window.add_plugin_dock_widget("napari-wsimil", "Slides")[1]
    with qtbot.waitSignal(table.listed):
        table.open(folder)
    table.model.label([0, 1], "benign")
    (folder / "tumour" / "t2.annotations.geojson").write_text("{}")
    the.press(panel.add_buttons.listed)
    qtbot.waitUntil(lambda: len(draft.rows) == 6 and not panel.checking)
    assert the.texts(LABEL)[:3] == ["benign", "benign", "no label"]
    assert draft.rows[5].annotation == folder / "tumour" / "t2.annotations.geojson"
    draft.clear()
    the.viewer.open(str(folder / "tumour" / "t2.tiff"), plugin="napari-wsimil")
    the.press(panel.add_buttons.open_slide)
    the.wait()
    assert [(row.name, row.annotation is not None) for row in draft.rows] == [("t2", True)]
    layers = len(the.viewer.layers)
    the.click(0, double=True)
    qtbot.waitUntil(lambda: len(the.viewer.layers) > layers)


def test_larger_saved_and_dropped(page, qtbot, folder, tmp_path):
    the = page()
    panel, draft = the.panel, the.draft
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(folder / "normal")), QUrl.fromLocalFile(str(folder / "tumour" / "t0.tiff"))])
    action = Qt.DropAction.CopyAction
    drop = QDropEvent(QPointF(5, 5), action, data, LEFT, Qt.KeyboardModifier.NoModifier)
    panel.dropEvent(drop)
    qtbot.waitUntil(lambda: len(draft.rows) == 4 and not panel.checking)
    the.press(panel.tools.larger)
    larger = panel._larger
    qtbot.waitUntil(larger.isVisible)
    larger.resize(1000, 500)
    larger.view.select([row.key for row in draft.rows[:3]])
    larger.for_selected.labelled.emit("benign")
    assert the.texts(LABEL) == ["benign"] * 3 + ["no label"]
    assert not larger.view.isColumnHidden(PATIENT)
    qtbot.keyClicks(larger.search, "t0")
    assert the.texts(SLIDE) == ["t0"]
    assert larger.view.model().rowCount() == 1
    larger.search.clear()
    larger.close()
    qtbot.waitUntil(lambda: panel._larger is None)
    draft.set_label([draft.rows[3].key], "other")
    panel.tools.save.trigger()
    assert dialog(QFileDialog, qtbot).selectedFiles()[0].endswith("slides.csv")
    choose(tmp_path / "mine.csv", qtbot)
    assert panel.notice.text() == "Saved mine.csv."
    assert [case.label for case in read_manifest(tmp_path / "mine.csv").cases] == ["benign"] * 3 + ["other"]
    assert not draft.changed
    # a file that is there is not written over without being asked
    panel.tools.save.trigger()
    box = dialog(QFileDialog, qtbot)
    assert not box.testOption(QFileDialog.Option.DontConfirmOverwrite)
    assert Path(box.selectedFiles()[0]) == tmp_path / "mine.csv"
    box.reject()
    draft.use([row.key for row in draft.rows], used=False)
    panel.save_manifest(str(tmp_path / "none.csv"))
    assert "There are no slides to write" in panel.message.text()
    panel.add(tmp_path / "nothing-there.csv")
    the.wait()
    assert not [one for one in QApplication.topLevelWidgets() if isinstance(one, QMessageBox) and one.isVisible()]


def test_what_is_typed_stays_when_a_check_ends_and_a_slow_disk_blocks_nothing(page, qtbot, monkeypatch):
    import threading

    gate = threading.Event()

    def look(path):
        gate.wait(20)
        return Look("slides", mpp=0.5)

    monkeypatch.setattr("napari_wsimil.training.data.drafting.looks.look_at", look)
    the = page()
    panel, draft = the.panel, the.draft
    draft.take(DraftRow(f"s{n}", Path(f"/x/{n}.svs"), "ab"[n % 2]) for n in range(40))
    qtbot.waitUntil(lambda: "Looking at the files: 0 of 40" in panel.state.text())
    assert not panel.ready
    the.view.edit(panel.model.index(0, LABEL))
    box = the.view.findChild(QComboBox)
    box.lineEdit().setText("typ")
    gate.set()
    the.wait()
    assert panel.ready
    assert box.lineEdit().text() == "typ"
    # changed in the midst of a check: the older one is given up
    gate.clear()
    draft.looks._known.clear()
    draft.look_again()
    qtbot.waitUntil(lambda: "0 of 40" in panel.state.text())
    draft.set_label([draft.rows[0].key], "")
    qtbot.wait(20)
    gate.set()
    the.wait()
    assert the.kinds() == ["no label"]
    gate.clear()
    draft.looks._known.clear()
    draft.look_again()
    qtbot.waitUntil(lambda: "0 of 40" in panel.state.text())
    the.viewer.close()
    gate.set()
