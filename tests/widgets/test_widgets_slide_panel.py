"""Properties and associated images of the slide panel."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_wsimil.slides import open_slide
from napari_wsimil.widgets.parts import Fold
from napari_wsimil.widgets.pictures import pixmap_for, to_image
from napari_wsimil.widgets.slide_panel import SlidePanel

pytestmark = pytest.mark.gui

PROPERTIES = {"aperio.MPP": "0.25", "aperio.Title": "DOE^JANE", "tiff.Software": "Scanner 3", "dicom.PatientName": ""}
COLOURS = {"thumbnail": 10, "macro": 20, "label": 30}


@pytest.fixture
def panel(qtbot):
    panel = SlidePanel()
    qtbot.addWidget(panel)
    panel.resize(320, 900)
    panel.show()
    yield panel
    from superqt.utils import WorkerBase

    WorkerBase.await_workers(20_000)


@pytest.fixture
def slide(sample, monkeypatch):
    """The sample with properties and associated images; `.read` lists the names that were decoded."""
    with open_slide(sample) as slide:
        slide.properties = dict(PROPERTIES)
        backend = slide._backend
        slide.read = []

        def decode(name):
            assert threading.current_thread() is not threading.main_thread()
            slide.read.append(name)
            if name == "macro" and slide.broken:
                raise ValueError(name)
            return np.full((60, 90, 3), COLOURS[name], np.uint8)

        slide.broken = False
        monkeypatch.setattr(backend, "associated_names", lambda: ("label", "macro", "thumbnail"))
        monkeypatch.setattr(backend, "associated_image", decode)
        yield slide


def unfold(panel, title):
    (fold,) = [fold for fold in panel.findChildren(Fold) if title in fold.button.text()]
    fold.button.setChecked(True)


def test_the_thumbnail_is_read_when_seen_and_what_shows_the_label_when_asked_for(panel, slide, qtbot):
    panel.show_slide(slide)
    qtbot.wait(50)
    assert slide.read == [], "the section is folded in"
    unfold(panel, "Images")
    qtbot.waitUntil(lambda: set(panel.images.pictures) == {"thumbnail"}, timeout=5000)
    assert slide.read == ["thumbnail"]
    button = panel.images.private_button
    assert button.text() == "Show macro and label (may contain patient data)"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "label" in panel.images.pictures, timeout=5000)
    assert slide.read == ["thumbnail", "macro", "label"]
    assert panel.images.pictures["macro"].image.pixelColor(0, 0).red() == COLOURS["macro"]
    assert button.text() == "Hide macro and label"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert set(panel.images.pictures) == {"thumbnail"}
    assert button.text().startswith("Show macro and label")


def test_the_label_of_one_slide_does_not_stay_with_another(panel, slide, sample, qtbot):
    unfold(panel, "Images")
    panel.show_slide(slide)
    qtbot.mouseClick(panel.images.private_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "label" in panel.images.pictures, timeout=5000)
    qtbot.mouseClick(panel.images.pictures["label"], Qt.MouseButton.LeftButton)
    dialog = panel.images._dialog
    assert dialog.isVisible()
    with open_slide(sample) as other:
        panel.show_slide(other)
        assert panel.images.pictures == {}
        assert not panel.images.private_button.isVisible()
        assert panel.images.hint.text() == "The file holds no thumbnail."
        qtbot.waitUntil(lambda: panel.images._dialog is None, timeout=2000)
        panel.show_slide(None)


def test_what_arrives_late_is_not_shown(panel, slide, sample, qtbot):
    from superqt.utils import WorkerBase

    unfold(panel, "Images")
    panel.show_slide(slide)
    with open_slide(sample) as other:
        panel.show_slide(other)
        WorkerBase.await_workers(10_000)
        qtbot.wait(50)
        assert panel.images.pictures == {}
        panel.show_slide(None)


def test_an_image_that_is_damaged_leaves_the_others(panel, slide, qtbot):
    slide.broken = True
    unfold(panel, "Images")
    panel.show_slide(slide)
    qtbot.mouseClick(panel.images.private_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: {"thumbnail", "label"} <= set(panel.images.pictures), timeout=5000)
    column = panel.images._private_column
    texts = [item.widget().text() for item in (column.itemAt(row) for row in range(column.count()))]
    assert "The macro image of sample.tiff can't be decoded." in texts


def test_enlarging_a_picture(panel, slide, qtbot):
    unfold(panel, "Images")
    panel.show_slide(slide)
    qtbot.mouseClick(panel.images.private_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "macro" in panel.images.pictures, timeout=5000)
    qtbot.keyClick(panel.images.pictures["macro"], Qt.Key.Key_Space)
    dialog = panel.images._dialog
    assert (dialog.windowTitle(), dialog.width(), dialog.height()) == ("Macro image", 90, 60)
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: panel.images._dialog is None, timeout=2000)


def test_search_in_the_properties(panel, slide):
    panel.show_slide(slide)
    table = panel.properties
    assert [row[0] for row in table.listed()] == list(PROPERTIES)
    table.filter_field.setText("mpp")
    assert table.listed() == [("aperio.MPP", "0.25")]
    table.filter_field.setText("scanner")
    assert table.listed() == [("tiff.Software", "Scanner 3")]
    table.filter_field.setText("jane")
    assert table.listed() == [], "what is hidden is not found either"
    table.reveal.setChecked(True)
    assert table.listed() == [("aperio.Title", "DOE^JANE")]


def test_copying(panel, slide):
    panel.show_slide(slide)
    table = panel.properties
    clipboard = QApplication.clipboard()
    assert not table.copy_row_button.isEnabled()
    table.view.selectRow(2)
    table.copy_row_button.click()
    assert clipboard.text() == "tiff.Software\tScanner 3"
    table.copy_all_button.click()
    lines = clipboard.text().split("\n")
    assert lines == ["aperio.MPP\t0.25", "aperio.Title\thidden", "tiff.Software\tScanner 3", "dicom.PatientName\t"]
    panel.copy_button.click()
    text = clipboard.text()
    assert text.startswith("Name\tsample.tiff\nSize\t2,048 x 2,048 px\n")
    assert "\n0\t2048 x 2048\t1\t0.5\n" in text
    assert "JANE" not in text
    table.reveal.setChecked(True)
    panel.copy_button.click()
    assert "aperio.Title\tDOE^JANE" in clipboard.text()
    panel.show_slide(None)
    assert not table.reveal.isChecked(), "the next slide hides again"


def test_the_size_of_the_file_comes_from_a_worker(panel, slide, qtbot):
    panel.show_slide(slide)
    qtbot.waitUntil(lambda: panel.facts["File size"].text() != "…", timeout=5000)
    assert panel.facts["File size"].text().endswith(" kB") or panel.facts["File size"].text().endswith(" MB")


def test_notices_that_come_later(panel, slide):
    panel.show_slide(slide)
    assert not panel.notice.isVisible()
    slide._notices = ("A tile is damaged.",)
    panel.show_notices()
    assert panel.notice.isVisible()
    assert panel.notice.text() == "A tile is damaged."


def test_images_keep_their_pixels_and_density():
    pixels = np.random.default_rng(0).integers(0, 255, (7, 5, 3), np.uint8)
    image = to_image(pixels)
    assert (image.width(), image.height()) == (5, 7)
    colour = image.pixelColor(4, 6)
    assert (colour.red(), colour.green(), colour.blue()) == tuple(pixels[6, 4])
    drawn = pixmap_for(image, 50, 70, 2.0)
    assert (drawn.width(), drawn.height(), drawn.devicePixelRatio()) == (100, 140, 2.0)
    large = to_image(np.zeros((1024, 4096, 3), np.uint8))
    assert (large.width(), large.height()) == (2048, 512)


@pytest.mark.parametrize(("name", "images"), [("cmu1_small_region.svs", 3), ("tcga_cr_7395.svs", 1), ("dicom_cmu", 3)])
def test_real_slides_in_the_panel(panel, real_data, qtbot, name, images):
    unfold(panel, "Images")
    with open_slide(real_data(f"slides/{name}"), mpp=0.5) as slide:
        panel.show_slide(slide)
        private = panel.images.private_button
        assert private.isVisible() == ("label" in slide.associated_images)
        if private.isVisible():
            qtbot.mouseClick(private, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: len(panel.images.pictures) == images, timeout=10_000)
        qtbot.waitUntil(lambda: panel.facts["File size"].text() != "…", timeout=5000)
        panel.show_slide(None)
