"""The texts of the slide panel; no window needed."""

from __future__ import annotations

import pytest

from napari_wsimil.slides import open_slide
from napari_wsimil.widgets.slide_words import (
    as_text,
    fact_rows,
    file_size,
    level_rows,
    magnification_text,
    may_name_patient,
    number,
    size_text,
)


@pytest.mark.parametrize(
    "key",
    [
        "dicom.PatientName",
        "dicom.AccessionNumber",
        "dicom.SpecimenDescriptionSequence[0].SpecimenIdentifier",
        "dicom.PatientBirthDate",
        "tiff.ImageDescription",
        "aperio.Title",
        "aperio.Filename",
        "aperio.ImageID",
        "aperio.Header",
        "hamamatsu.Reference",
        "leica.barcode",
        "ventana.Barcode1D",
        "mirax.GENERAL.SLIDE_NAME",
        "openslide.comment",
        "Case Number",
    ],
)
def test_values_that_may_name_a_patient(key):
    assert may_name_patient(key)


@pytest.mark.parametrize(
    "key",
    [
        "aperio.MPP",
        "aperio.AppMag",
        "tiff.XResolution",
        "tiff.Software",
        "dicom.Rows",
        "dicom.Modality",
        "openslide.vendor",
        "camera.Lower",
    ],
)
def test_values_that_do_not(key):
    assert not may_name_patient(key)


@pytest.mark.parametrize(
    ("screen_pixel", "known", "text"),
    [
        (1.923, True, "5.2x · 1.9 µm/px"),
        (0.5, True, "20x · 0.5 µm/px"),
        (0.25, True, "40x · 0.25 µm/px"),
        (80.0, True, "0.12x · 80 µm/px"),
        (4.0, False, "25 % of full resolution"),
        (0.5, False, "200 % of full resolution"),
    ],
)
def test_magnification(screen_pixel, known, text):
    assert magnification_text(screen_pixel, known) == text


def test_numbers_and_sizes():
    assert [number(value) for value in (0.2504, 1.92, 12.34, 1234.5)] == ["0.25", "1.9", "12.3", "1234"]
    assert [size_text(count) for count in (0, 999, 1_938_955, 20_144_559, 3_200_000_000)] == [
        "0 bytes",
        "999 bytes",
        "1.9 MB",
        "20.1 MB",
        "3.2 GB",
    ]


def test_size_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(b"x" * 10)
    (tmp_path / "below" / "two").write_bytes(b"x" * 5)
    assert file_size(tmp_path) == 15
    assert file_size(tmp_path / "one") == 10


def test_facts_and_levels(sample):
    with open_slide(sample) as slide:
        rows = dict(fact_rows(slide))
        levels = level_rows(slide)
        fingerprint = slide.fingerprint
    assert rows["Name"] == "sample.tiff"
    assert rows["Size"] == "2,048 x 2,048 px"
    assert rows[""] == "1 x 1 mm"
    assert rows["Pixel size"] == "0.5 µm"
    assert rows[" "] == "from the TIFF resolution"
    assert rows["Objective"] == "not stated"
    assert rows["Format"] == "TIFF"
    assert rows["Fingerprint"] == fingerprint
    assert levels[0] == ("0", "2048 x 2048", "1", "0.5")
    assert levels[1] == ("1", "1024 x 1024", "2", "1")


def test_a_pixel_size_typed_in_is_said_to_be(no_mpp):
    with open_slide(no_mpp, mpp=(0.25, 0.5)) as slide:
        rows = dict(fact_rows(slide))
    assert rows["Pixel size"] == "0.25 x 0.5 µm"
    assert rows[" "] == "typed in"
    with open_slide(no_mpp) as slide:
        rows, levels = dict(fact_rows(slide)), level_rows(slide)
    assert rows["Pixel size"] == "not known"
    assert "" not in rows, "no size in mm"
    assert levels[0][-1] == "–"


def test_text_has_one_line_per_row():
    assert as_text([("a", "b\r\nc"), ("d", "")]) == "a\tb c\nd\t"
