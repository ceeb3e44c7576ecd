"""Manifests as people and other tools write them, and one sentence for each fault."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import pytest

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.feature_folders import FeatureFolders, plain_name
from napari_wsimil.training.data.manifest import read_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path):
    for name in ("a.svs", "b.svs", "c d.svs"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a.geojson").write_text("{}")
    return tmp_path


def write(folder, *lines, name="manifest.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_manifest_with_everything(folder):
    path = write(
        folder,
        "slide,label,patient,split,annotation,mpp,remark",
        "a.svs,tumour,P1,Train,a.geojson,0.25,good",
        f"{folder / 'b.svs'},normal,P2,val,,,",
        '"c d.svs",normal,P3,TEST,,"0,5",',
    )
    manifest = read_manifest(path)
    first, second, third = manifest.cases
    assert manifest.path == path
    assert manifest.classes == ("normal", "tumour")
    assert [manifest.target(case) for case in manifest.cases] == [1, 0, 0]
    assert (first.name, first.path, first.label, first.patient) == ("a", folder / "a.svs", "tumour", "P1")
    assert (first.split, second.split, third.split) == ("train", "validation", "test")
    assert (first.annotation, second.annotation) == (folder / "a.geojson", None)
    assert (first.mpp, second.mpp, third.mpp) == (0.25, None, 0.5)
    assert third.name == "c d"
    assert first.files == ()
    assert first.fold is None


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_separators_and_encodings_of_spreadsheets(folder, separator, encoding):
    (folder / "m.csv").write_bytes(
        "\r\n".join(
            [separator.join(line) for line in (("WSI", "Label"), ("a.svs", "gutartig"), ("b.svs", "bösartig"), ("", ""))]
        ).encode(encoding)
    )
    assert read_manifest(folder / "m.csv").classes == ("bösartig", "gutartig")


def test_home_and_the_words_of_other_tools(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    path = write(
        folder, "case_id,slide_id,wsi,class,fold", "P1,one,~/a.svs,1,fold_0", "P1,two,~/b.svs,0,0.0", "P2,x,~/c d.svs,0,1"
    )
    manifest = read_manifest("~/manifest.csv")
    assert manifest.path == path
    assert [case.patient for case in manifest.cases] == ["P1", "P1", "P2"]
    assert [case.name for case in manifest.cases] == ["one", "two", "x"]
    assert [case.fold for case in manifest.cases] == [0, 0, 1]
    assert manifest.cases[0].path == folder / "a.svs"


def test_classes_are_sorted_as_numbers_or_as_asked(folder):
    path = write(folder, "slide,label", "a.svs,10", "b.svs,9", "c d.svs,2")
    assert read_manifest(path).classes == ("2", "9", "10")
    assert read_manifest(path, classes=["9", "2", "10", "11"]).classes == ("9", "2", "10", "11")
    with pytest.raises(TrainingError, match=r"manifest\.csv, line 2: the label '10' is none of the classes 9, 2"):
        read_manifest(path, classes=["9", "2"])


def test_without_labels(folder):
    manifest = read_manifest(write(folder, "slide", "a.svs", "b.svs"), labelled=False)
    assert manifest.classes == ()
    assert [manifest.target(case) for case in manifest.cases] == [-1, -1]


FAULTS = {
    "no heading for slides": (
        ("label,b", "x,y"),
        r"has no column that names the slides \(it has label, b\); add a column 'slide'",
    ),
    "no label column": (
        ("slide,grade", "a.svs,1"),
        r"no column with the classes \(it has slide, grade\); add a column 'label'",
    ),
    "split and fold": (
        ("slide,label,split,fold", "a.svs,x,train,1"),
        "has both a column 'split' and a column 'fold'; delete one",
    ),
    "column twice": (("slide,label,Label", "a.svs,x,x"), "has the column 'label' twice"),
    "no rows": (("slide,label", ""), "lists no slide"),
    "empty": (("",), "lists no slide"),
    "missing file": (("slide,label", "a.svs,x", "z.svs,y"), r"line 3: there is no file .*z\.svs; correct the path"),
    "no name of a file": (("slide,label", "a.svs,x", "b" * 5000 + ",y"), r"line 3: there is no file .*b{50,200}; correct"),
    "no such home": (("slide,label", "~nobody-at-all/a.svs,y"), r"line 2: there is no file ~nobody-at-all.*; correct"),
    "slide empty": (("slide,label", "a.svs,x", ",y"), "line 3: the slide is missing"),
    "label empty": (("slide,label", "a.svs,x", "", "b.svs,"), "line 4: the label of b is missing; write its class"),
    "same file": (("slide,name,label", "a.svs,1,x", "./a.svs,2,y"), r"line 3: the file .*a\.svs is in line 2 already"),
    "same name": (("slide,name,label", "a.svs,1,x", "b.svs,1,y"), "line 3: the name '1' is in line 2 already"),
    "one class": (("slide,label", "a.svs,x", "b.svs,x"), "all slides have the label 'x'; a model needs slides of at least two"),
    "split word": (
        ("slide,label,split", "a.svs,x,later"),
        "line 2: the split 'later' is not known; write train, validation or test",
    ),
    "fold word": (("slide,label,fold", "a.svs,x,first"), "line 2: the fold 'first' is no whole number"),
    "patient in two splits": (
        ("slide,label,patient,split", "a.svs,x,P,train", "b.svs,y,P,test"),
        "line 3: patient P is in split test here and in train in line 2; put all slides of a patient into one split",
    ),
    "patient in two folds": (
        ("slide,label,patient,fold", "a.svs,x,P,1", "b.svs,y,P,"),
        "line 3: patient P is in fold none here and in 1 in line 2",
    ),
    "annotation missing": (("slide,label,annotation", "a.svs,x,b.xml"), r"line 2: there is no annotation file .*b\.xml"),
    "mpp": (("slide,label,mpp", "a.svs,x,40x"), "line 2: the mpp '40x' is no number of micrometres per pixel"),
    "too many cells": (("slide,label", "a.svs,x", "b, c.svs,y"), "line 3: there are 3 cells but only 2 columns; quote"),
    "broken quotes": (("slide,label", 'a.svs,"x'), "line 2: this is no CSV"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_sentence_that_names_the_file(folder, fault):
    lines, words = FAULTS[fault]
    with pytest.raises(TrainingError, match=words) as raised:
        read_manifest(write(folder, *lines))
    assert "manifest.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_table_at_all(folder):
    with pytest.raises(TrainingError, match=r"There is no table .*none\.csv; give the path of a CSV file"):
        read_manifest(folder / "none.csv")
    (folder / "sheet.xlsx").write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(TrainingError, match="is no text; save the table as CSV, not as a spreadsheet"):
        read_manifest(folder / "sheet.xlsx")
    (folder / "odd.csv").write_bytes(codecs.BOM_UTF16_LE + b"\x00\xd8a")
    with pytest.raises(TrainingError, match="is no text; save the table as CSV in UTF-8"):
        read_manifest(folder / "odd.csv")


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_features_by_slide_id_where_clam_puts_them(folder):
    clam = folder / "clam"
    for name in ("one", "two"):
        touch(clam / "pt_files" / f"{name}.pt")
    touch(clam / "h5_files" / "one.h5")
    manifest = read_manifest(write(folder, "case_id,slide_id,label", "P1,one.svs,x", "P2,two.svs,y"), features=clam)
    assert [case.path for case in manifest.cases] == [clam / "h5_files" / "one.h5", clam / "pt_files" / "two.pt"]
    assert [case.name for case in manifest.cases] == ["one.svs", "two.svs"]


def test_features_of_several_magnifications_where_trident_and_we_put_them(folder):
    fine = touch(folder / "job" / "20x_256px_0px_overlap" / "features_uni" / "a.h5")
    coarse = touch(folder / "job" / "5x_256px_0px_overlap" / "features_uni" / "a.h5")
    touch(folder / "job" / "20x_256px_0px_overlap" / "patches" / "a_patches.h5")
    touch(folder / "job" / "20x_256px_0px_overlap" / "slide_features_titan" / "a.h5")
    ours = touch(folder / "job" / "20x_256px_0px_overlap-01234567" / "features_x-01234567" / "c_d-0123456789ab.h5")
    manifest = read_manifest(write(folder, "slide,label", "a.svs,x", "/gone/c d.svs,y"), features=folder / "job")
    assert set(manifest.cases[0].files) == {fine, coarse}
    assert manifest.cases[0].path == manifest.cases[0].files[0]
    assert (manifest.cases[1].path, manifest.cases[1].files) == (ours, ())


def test_faults_of_feature_folders(folder):
    path = write(folder, "slide,label", "a.svs,x", "b.svs,y")
    with pytest.raises(TrainingError, match="There is no folder of features"):
        read_manifest(path, features=folder / "none")
    with pytest.raises(TrainingError, match=r"holds no \.h5 or \.pt files"):
        read_manifest(path, features=folder)
    touch(folder / "features" / "a.h5")
    with pytest.raises(TrainingError, match=r"manifest\.csv, line 3: there are no features of b in .*features; extract them"):
        read_manifest(path, features=[folder / "features"])


def test_names_of_slides():
    assert plain_name(r"C:\slides\a.b.svs") == "a.b"
    assert plain_name("/slides/TCGA-01.a1b2") == "TCGA-01.a1b2"
    assert plain_name("x.ome.tiff") == "x"


def test_two_folders(tmp_path):
    coarse, fine = touch(tmp_path / "1" / "a.h5"), touch(tmp_path / "2" / "a.h5")
    assert FeatureFolders([tmp_path / "1", tmp_path / "2"]).files("a") == (coarse, fine)
