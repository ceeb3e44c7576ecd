"""The dock "Slides" in a real window, and its parts that need none."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QDropEvent
from qtpy.QtWidgets import QApplication, QComboBox

import napari_wsimil as ws
from napari_wsimil.cohorts import CohortEvent
from napari_wsimil.cohorts.folder import CohortFolder
from napari_wsimil.cohorts.overview import SlideRow
from napari_wsimil.cohorts.records import Record, count_attempts
from napari_wsimil.widgets.slide_layer import facts, is_slide
from napari_wsimil.widgets.slide_table import run
from napari_wsimil.widgets.slide_table.listing import SlideList
from napari_wsimil.widgets.slide_table.model import AGREES, LABEL, NAME, PICTURE, STATUS
from napari_wsimil.widgets.slide_table.pace import Pace
from napari_wsimil.widgets.slide_table.pictures import MOST_WISHES, Wishes

LEFT = Qt.MouseButton.LeftButton


def done(name, tumour):
    return Record(
        name=name,
        slide="",
        request="",
        status="done",
        predicted_class="tumour" if tumour > 0.5 else "normal",
        probabilities={"normal": 1 - tumour, "tumour": tumour},
        files=(f"{name}.prediction.h5",),
    )


def test_a_list_follows_a_run():
    slides = SlideList()
    slides.fill([SlideRow(name, Path(name), label="Normal") for name in ("a", "b", "k")])
    slides.sort("uncertainty")
    slides.expect(["a", "b"])
    assert [row.status for row in slides.rows] == ["waiting", "waiting", "not predicted"]
    slides.take(CohortEvent("started", name="a"), Path())
    assert slides.take(CohortEvent("progress", name="a", stage="Encoding", patches=3, of=1200), Path()) == 0
    assert (slides.rows[0].status, slides.rows[0].told) == ("running", "3 of 1,200 patches")
    slides.take(CohortEvent("done", name="a", record=done("a", 0.9)), Path("out"))
    slides.label([1], "x")
    assert slides.take(CohortEvent("done", name="other"), Path()) is None
    slides.settle()
    assert [row.status for row in slides.rows] == ["done", "not predicted", "not predicted"]
    assert slides.rows[0].prediction == Path("out/a.prediction.h5")
    # what was labelled during the run stays so, and both spellings of a class are one
    assert slides.rows[1].label == "x"
    assert slides.classes() == ["Normal", "tumour", "x"]
    assert slides.relabelled
    slides.filter("", wrong=True)
    assert [slides.rows[at].name for at in slides.shown] == ["a"]
    slides.filter("k not", wrong=False)
    assert [slides.rows[at].name for at in slides.shown] == ["k"]


def test_a_pace_tells_how_long_it_takes():
    now = [0.0]
    pace = Pace(4, lambda: now[0])
    assert pace.seconds_left is None
    now[0] = 30.0
    pace.take(CohortEvent("done", name="a"))
    pace.take(CohortEvent("started", name="b"))
    pace.take(CohortEvent("progress", name="b", stage="Encoding", patches=50, of=100))
    assert pace.seconds_left == pytest.approx(50)
    assert pace.text() == "1 of 4 slides · 50 s left · b: Encoding 50 of 100"
    pace.take(CohortEvent("failed", name="b"))
    assert "1 failed" in pace.text()


def test_wishes_are_newest_first_and_few():
    wishes = Wishes()
    for number in range(MOST_WISHES + 5):
        wishes.add(Path(str(number)))
    wishes.add(Path("7"))
    taken = []
    while (path := wishes.take()) is not None:
        taken.append(int(path.name))
    assert taken[:2] == [7, MOST_WISHES + 4]
    assert (len(taken), min(taken)) == (MOST_WISHES, 5)


@pytest.fixture
def folder(tmp_path, write_slide):
    """Two slides and a broken one."""
    place = tmp_path / "slides"
    place.mkdir()
    for name, width in (("a", 1024), ("b", 1280)):
        write_slide(place / f"{name}.tiff", width=width, height=1024)
    (place / "c.svs").write_text("no slide")
    return place


@pytest.fixture
def many(window, package, qtbot):
    """A window with both docks, the small model chosen: `.table`, `.view`, `.open(source)`, `.press(button)`, `.wait()`."""
    base = window()
    base.dock.models.add_folder(str(package))
    base.dock.options.precision.setCurrentIndex(base.dock.options.precision.findData("fp32"))
    _, table = base.viewer.window.add_plugin_dock_widget("napari-wsimil", "Slides")
    qtbot.waitUntil(table.controls.isVisible, timeout=5000)

    def open_source(source, results=None):
        with qtbot.waitSignal(table.listed, timeout=20_000):
            table.open(source, results)

    def press(button):
        if button.isEnabled() is False:
            raise AssertionError(f"{button.objectName()} can't be pressed")
        qtbot.mouseClick(button, LEFT)

    def cell(name, column):
        at = next(at for at, row in enumerate(table.slides.rows) if row.name == name)
        return table.model.place(at).siblingAtColumn(column)

    def click(name, double=False, column=NAME):
        index = cell(name, column)
        place = table.view.visualRect(index).center()
        port = table.view.viewport()
        qtbot.mouseClick(port, LEFT, pos=place)
        if double:
            qtbot.mouseDClick(port, LEFT, pos=place)

    def wait(timeout=60_000):
        qtbot.waitUntil(lambda: not table.running, timeout=timeout)

    def texts(column):
        return [table.model.index(row, column).data() for row in range(table.model.rowCount())]

    return SimpleNamespace(
        viewer=base.viewer,
        analysis=base.dock,
        table=table,
        view=table.view,
        controls=table.controls,
        open=open_source,
        press=press,
        cell=cell,
        click=click,
        wait=wait,
        texts=texts,
    )


def slide_names(viewer):
    return [layer.name for layer in viewer.layers if is_slide(layer)]


def kinds(viewer, name):
    slide = next(layer for layer in viewer.layers if layer.name == name)
    return {
        facts(layer).get("kind") for layer in viewer.layers if facts(layer).get("fingerprint") == facts(slide)["fingerprint"]
    }


@pytest.mark.gui
def test_a_folder_from_listing_to_report(many, folder, qtbot, monkeypatch, random_model):
    table, view, controls = many.table, many.view, many.controls
    assert table.hint.isVisible()
    assert not controls.predict_button.isEnabled()
    many.open(folder)
    assert many.texts(NAME) == ["a", "b", "c"]
    assert many.texts(STATUS) == ["not predicted"] * 3

    # pictures of those that have one, a sign and a sentence for the other
    tips = [many.cell(name, PICTURE) for name in "abc"]
    qtbot.waitUntil(lambda: all(index.data(Qt.ItemDataRole.DecorationRole) is not None for index in tips), timeout=20_000)
    picture = tips[0].data(Qt.ItemDataRole.DecorationRole).pixmap(56, 36).toImage()
    middle = picture.pixelColor(picture.width() // 2, picture.height() // 2)
    assert middle.green() < 130
    assert "c.svs is no slide" in tips[2].data(Qt.ItemDataRole.ToolTipRole)
    assert str(folder) in tips[0].data(Qt.ItemDataRole.ToolTipRole)

    # a click on the name selects, a double-click opens, Enter too; the slide before is closed
    many.click("a")
    assert view.selected_rows()[0].name == "a"
    qtbot.wait(50)
    assert not slide_names(many.viewer)
    many.click("a", double=True)
    qtbot.waitUntil(lambda: slide_names(many.viewer) == ["a"], timeout=20_000)
    many.click("b")
    qtbot.keyClick(view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: slide_names(many.viewer) == ["b"], timeout=20_000)
    # a click on the picture is enough
    many.click("a", column=PICTURE)
    qtbot.waitUntil(lambda: slide_names(many.viewer) == ["a"], timeout=20_000)
    many.click("b", double=True)
    qtbot.waitUntil(lambda: slide_names(many.viewer) == ["b"], timeout=20_000)
    # both, where that is wanted; the first comes to the front again
    controls.more.close_before.trigger()
    many.click("a", double=True)
    qtbot.waitUntil(lambda: slide_names(many.viewer) == ["b", "a"], timeout=20_000)
    many.click("b", double=True)
    qtbot.waitUntil(lambda: slide_names(many.viewer) == ["a", "b"], timeout=20_000)
    assert table._session.slide_layer.name == "b"
    # a bad one is told of
    many.click("c", double=True)
    qtbot.waitUntil(lambda: "c.svs is no slide" in table.message.text(), timeout=20_000)
    assert table.message.isVisible()

    # predict all
    assert "random" in controls.predict_button.toolTip() or "package" in controls.predict_button.toolTip()
    many.press(controls.predict_button)
    assert not controls.open_button.isEnabled()
    many.wait()
    assert many.texts(STATUS)[:2] == ["done", "done"]
    assert many.texts(STATUS)[2].startswith("failed · c.svs is no slide")
    assert "c.svs is no slide" in many.cell("c", STATUS).data(Qt.ItemDataRole.ToolTipRole)
    assert "2 done · 1 failed" in table.progress.label.text()
    assert not controls.predict_button.isEnabled()
    assert (folder / "predictions" / "results.csv").is_file()
    assert controls.copy_button.isEnabled()
    recipe = table._session.deeds[0]
    assert recipe.title == "Predict 3 slides"
    assert "ws.predict_cohort(" in recipe.python
    assert "--workers 0" in recipe.command
    assert "--precision fp32" in recipe.command
    compile(recipe.python, "recipe", "exec")

    # sort by uncertainty: those that are done first
    many.press(controls.uncertain_button)
    rows = [table.model.row(table.model.index(row, 0)) for row in range(3)]
    assert rows[0].uncertainty >= rows[1].uncertainty
    assert rows[2].name == "c"

    # a slide that is open already gets the layers of its prediction
    many.click("b", double=True)
    qtbot.waitUntil(lambda: "attention" in kinds(many.viewer, "b"), timeout=20_000)
    assert slide_names(many.viewer) == ["a", "b"]
    saved = ws.load_prediction(folder / "predictions" / "b.prediction.h5")
    assert many.analysis.prediction.probabilities == pytest.approx(saved.probabilities)
    count = len(many.viewer.layers)
    many.click("b", double=True)
    qtbot.wait(300)
    assert len(many.viewer.layers) == count

    # mended and tried again
    (folder / "c.svs").write_bytes((folder / "a.tiff").read_bytes())
    many.press(controls.retry_button)
    many.wait()
    assert sorted(many.texts(STATUS)) == ["done"] * 3
    assert not controls.retry_button.isEnabled()

    # report, copies
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    many.press(controls.report_button)
    assert opened[0].toLocalFile() == str(folder / "predictions" / "report.html")
    controls.more.copy.trigger()
    assert len(QApplication.clipboard().text().splitlines()) == 4
    many.click("b")
    qtbot.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert [line.split("\t")[0] for line in QApplication.clipboard().text().splitlines()] == ["name", "b"]

    # what to label next: the slide, and the patches on it, that the model is least sure of; each slide once
    proposed = []
    for _ in range(3):
        many.press(controls.next_button)
        proposed.append(table.progress.label.text().removeprefix("Label ").partition(":")[0])
        shown = {"c": {"a", "c"}}.get(proposed[-1], {proposed[-1]})  # c is a copy of a by now, the same slide to the window
        qtbot.waitUntil(lambda shown=shown: table._session.slide_layer.name in shown, timeout=20_000)
        assert [row.name for row in view.selected_rows()] == proposed[-1:]
        qtbot.waitUntil(lambda: "Top regions · uncertainty" in {layer.name.partition(" – ")[0] for layer in many.viewer.layers})
    assert sorted(proposed) == ["a", "b", "c"]
    unsure = {row.name: row.uncertainty for row in table.slides.rows}
    assert [unsure[name] for name in proposed] == sorted(unsure.values(), reverse=True)
    many.press(controls.next_button)
    assert "has been proposed" in table.progress.label.text()

    # another folder for results knows nothing; the first knows all
    with qtbot.waitSignal(table.listed):
        table.choose_results(folder.parent / "other")
    assert set(many.texts(STATUS)) == {"not predicted"}
    many.open(folder)
    assert set(many.texts(STATUS)) == {"done"}


@pytest.mark.gui
def test_cancel_loses_nothing_and_labels_are_kept(many, folder, qtbot, tmp_path, write_slide, monkeypatch):
    table, view, controls = many.table, many.view, many.controls
    write_slide(folder / "d.tiff", width=1024, height=1280)
    manifest = folder / "m.csv"
    manifest.write_text("slide,label,patient\na.tiff,normal,p1\nb.tiff,tumour,p2\nd.tiff,,p3\n")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(manifest))])
    drop = QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, mime, LEFT, Qt.KeyboardModifier.NoModifier)
    with qtbot.waitSignal(table.listed, timeout=20_000):
        table.dropEvent(drop)
    assert many.texts(LABEL) == ["normal", "tumour", ""]
    assert not view.isColumnHidden(AGREES)

    # cancel after the first slide: it is kept, the others are what they were
    records = folder / "predictions" / "records"
    with monkeypatch.context() as patch:
        # the run waits, as it does for the dock, as soon as one slide is done
        patch.setattr(run, "any_running", lambda: any(records.glob("*.json")))
        many.press(controls.predict_button)
        qtbot.waitUntil(lambda: bool(table.slides.of_status("done")), timeout=20_000)
        many.press(controls.cancel_button)
        many.wait()
    assert sorted(many.texts(STATUS)) == ["done", "not predicted", "not predicted"]
    assert table.progress.label.text().startswith("Stopped.")
    first = table.slides.of_status("done")[0].name
    # only the selected one, then all others: what was done is not done again
    left = table.slides.of_status("not predicted")[0].name
    many.click(left)
    many.press(controls.selected_button)
    many.wait()
    assert many.cell(left, STATUS).data() == "done"
    assert [row.status for row in table.slides.rows].count("not predicted") == 1
    many.press(controls.predict_button)
    many.wait()
    assert many.texts(STATUS) == ["done"] * 3
    assert count_attempts(CohortFolder(folder / "predictions").attempts_path(first)) == 1

    # wrong ones
    predicted = {row.name: row.predicted_class for row in table.slides.rows}
    wrong = [name for name, label in (("a", "normal"), ("b", "tumour")) if predicted[name] != label]
    controls.wrong_box.click()
    assert many.texts(NAME) == wrong
    controls.wrong_box.click()
    qtbot.keyClicks(controls.filter_field, "p3")
    assert many.texts(NAME) == ["d"]

    # a label typed into its cell
    view.setCurrentIndex(many.cell("d", LABEL))
    view.setFocus()
    qtbot.keyClick(view, Qt.Key.Key_F2)
    editor = view.findChild(QComboBox)
    assert [editor.itemText(row) for row in range(editor.count())] == ["normal", "tumour"]
    editor.lineEdit().selectAll()
    qtbot.keyClicks(editor, "third")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: many.texts(LABEL) == ["third"], timeout=5000)
    controls.filter_field.clear()
    # and to several at once, from the menu
    view.selectRow(0)
    labels = next(action.menu() for action in view.menu().actions() if action.text() == "Label")
    next(action for action in labels.actions() if action.text() == "third").trigger()
    assert many.texts(LABEL) == ["third", "tumour", "third"]
    table.save_labels(str(tmp_path / "labels.txt"))
    assert "end it with .csv" in table.message.text()
    table.save_labels(str(folder / "labels.csv"))
    assert not table.message.isVisible()
    assert [case.label for case in ws.read_manifest(folder / "labels.csv").cases] == ["third", "tumour", "third"]

    # what can't be listed is told of
    (folder / "bad.csv").write_text("slide\nnone.tiff\n")
    table.open(folder / "bad.csv")
    qtbot.waitUntil(lambda: "line 2" in table.message.text(), timeout=10_000)
    assert many.texts(NAME) == ["a", "b", "d"]


def at_work():
    return any(thread.name == "wsimil-many-slides" for thread in threading.enumerate())


@pytest.mark.gui
def test_a_run_waits_for_the_dock_and_ends_with_the_window(many, folder, qtbot, monkeypatch):
    busy = [True]
    monkeypatch.setattr(run, "any_running", lambda: busy[0])
    many.open(folder)
    many.press(many.controls.predict_button)
    qtbot.waitUntil(lambda: run.PAUSED in many.table.progress.label.text(), timeout=20_000)
    qtbot.wait(200)
    assert not many.table.slides.of_status("done")
    assert at_work()
    many.viewer.window.remove_dock_widget(many.table)
    qtbot.waitUntil(lambda: not at_work(), timeout=20_000)
    # nothing is locked: another run can go on, in a new dock, until the window is closed
    _, table = many.viewer.window.add_plugin_dock_widget("napari-wsimil", "Slides")
    with qtbot.waitSignal(table.listed, timeout=20_000):
        table.open(folder)
    table.predict_all()
    qtbot.waitUntil(lambda: run.PAUSED in table.progress.label.text(), timeout=20_000)
    many.viewer.close()
    qtbot.waitUntil(lambda: not at_work(), timeout=20_000)
    with CohortFolder(folder / "predictions").held():
        pass
