"""A list of slides in the making: what it takes, what it tells, how it is put right, and what is written in the end."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import napari_wsimil as ws
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.data.drafting import Draft, DraftRow, examine_steps
from napari_wsimil.training.data.drafting.arranging import arranged
from napari_wsimil.training.data.drafting.looks import Look
from napari_wsimil.training.data.drafting.pasting import as_table, pasted
from napari_wsimil.training.data.drafting.words import checking_text, counts_text
from napari_wsimil.training.data.manifest import read_manifest
from napari_wsimil.training.data.splits import split_cases


@pytest.fixture(scope="session")
def slide(tmp_path_factory, write_slide):
    return write_slide(tmp_path_factory.mktemp("one") / "slide.tiff", width=1024, height=1024)


@pytest.fixture
def folder(tmp_path, slide):
    """Six slides in folders called by their class; regions were drawn on one."""
    for label in ("normal", "tumour"):
        (tmp_path / label).mkdir()
        for number in range(3):
            shutil.copy(slide, tmp_path / label / f"{label[0]}{number}.tiff")
    (tmp_path / "tumour" / "t0.annotations.geojson").write_text("{}")
    return tmp_path


def features(path, width=8, count=5, encoder="e", mpp=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros((count, width), np.float32)
        file["features"].attrs["encoder"] = encoder
        file["coords"] = np.zeros((count, 2), np.int64)
        file["coords"].attrs["mpp_target"] = mpp
    return path


def draft_of(folder, *lines, name="list.csv"):
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft = Draft()
    notices = draft.add_manifest(folder / name)
    return draft, notices


def problem(draft, kind):
    found = [one for one in draft.problems() if one.kind == kind]
    assert found, (kind, [one.kind for one in draft.problems()])
    return found[0]


def press(draft, kind, title, answer=""):
    """Do what a button of a problem does; returns the sentence of the problem."""
    found = problem(draft, kind)
    way = next(way for way in found.remedies if way.title == title)
    way.apply(draft, way.work(answer) if way.work else answer)
    return found.sentence


def kinds(draft):
    return [one.kind for one in draft.problems()]


def test_a_folder_becomes_a_manifest(folder):
    draft = ws.draft_manifest(folder)
    assert draft.notices == ("Labels are the names of the folders: normal 3, tumour 3.",)
    assert [(row.name, row.label) for row in draft.rows] == [(f"{c[0]}{n}", c) for c in ("normal", "tumour") for n in range(3)]
    assert draft.rows[3].annotation == folder / "tumour" / "t0.annotations.geojson"
    assert draft.problems() == []
    assert {side.name: side.whole.slides for side in draft.split_table()} == {"train": 2, "validation": 2, "test": 2}
    manifest = read_manifest(draft.write(folder / "out.csv"))
    assert [replace(case, path=row.path) for case, row in zip(manifest.cases, draft.rows, strict=True)] == [
        row.case() for row in draft.rows
    ]
    split = split_cases(manifest)
    assert {case.name for case in split.train} == {row.name for row in draft.rows if row.split == "train"}


def test_what_is_left_out_is_not_written_but_stays(folder):
    draft = ws.draft_manifest(folder)
    draft.use([draft.rows[0].key], used=False)
    assert len(draft.rows) == 6
    assert [case.name for case in read_manifest(draft.write(folder / "out.csv")).cases] == ["n1", "n2", "t0", "t1", "t2"]
    draft.use([row.key for row in draft.rows], used=False)
    assert kinds(draft) == ["empty"]
    with pytest.raises(TrainingError, match="There are no slides to write"):
        draft.write(folder / "out.csv")
    press(draft, "empty", "Use all")
    assert kinds(draft) == []


def test_labels_of_folders_are_taken_where_they_can_be_meant(folder, slide):
    assert {row.label for row in ws.draft_manifest(folder, labels="none").rows} == {""}
    # a folder for each patient is no class
    for number in range(4):
        (folder / "patients" / f"P{number}").mkdir(parents=True)
        shutil.copy(slide, folder / "patients" / f"P{number}" / f"{number}.tiff")
    assert {row.label for row in ws.draft_manifest(folder / "patients").rows} == {""}
    asked = ws.draft_manifest(folder / "patients", labels="folders")
    assert [row.label for row in asked.rows] == ["P0", "P1", "P2", "P3"]
    shutil.copy(slide, folder / "patients" / "loose.tiff")
    with pytest.raises(TrainingError, match=r"loose\.tiff lies in no folder that could be its label"):
        ws.draft_manifest(folder / "patients", labels="folders")


def test_folders_of_sides_are_splits(tmp_path):
    for side in ("train", "val", "test"):
        for label in ("a", "b"):
            for number in range(2):
                features(tmp_path / side / label / f"{side}{label}{number}.h5")
    draft = ws.draft_manifest(tmp_path)
    assert [(row.label, row.split) for row in draft.rows if row.name == "vala1"] == [("a", "validation")]
    assert not draft.dealt
    assert kinds(draft) == []


def test_feature_files_of_several_magnifications_are_one_slide(tmp_path):
    for label in ("a", "b"):
        for number in range(3):
            for times, mpp in (("20x", 0.5), ("5x", 2.0)):
                features(tmp_path / label / f"{times}_256px_0px_overlap" / "features_e" / f"{number}.h5", mpp=mpp)
    (tmp_path / "a" / "x.prediction.h5").write_bytes(b"no features")
    draft = ws.draft_manifest(tmp_path)
    assert [(row.name, row.label, len(row.files)) for row in draft.rows[:3]] == [("0", "a", 2), ("0-2", "b", 2), ("1", "a", 2)]
    assert kinds(draft) == []
    again = read_manifest(draft.write(tmp_path / "m.csv"))
    assert [case.files for case in again.cases] == [row.files for row in draft.rows]
    reread = Draft()
    reread.add_manifest(tmp_path / "m.csv")
    assert [row.case() for row in reread.rows] == list(again.cases)


def test_folders_of_patch_images(tmp_path):
    for label, side in (("a", 32), ("b", 32)):
        for number in range(3):
            place = tmp_path / label / f"{label}{number}"
            place.mkdir(parents=True)
            Image.new("RGB", (side, side)).save(place / "1.png")
            Image.new("RGB", (side, side)).save(place / "2.tif")
    draft = ws.draft_manifest(tmp_path)
    assert [(row.name, row.label) for row in draft.rows][:2] == [("a0", "a"), ("a1", "a")]
    assert kinds(draft) == []
    Image.new("RGB", (48, 48)).save(tmp_path / "b" / "b0" / "1.png")
    draft.look_again()
    fresh = ws.draft_manifest(tmp_path)
    assert (
        problem(fresh, "sizes").sentence
        == "b0 has patches of 48 x 48 px, the others patches of 32 x 32 px: one model can't learn from both."
    )


def test_nothing_to_be_found(tmp_path):
    with pytest.raises(TrainingError, match="There are no slides, feature files"):
        ws.draft_manifest(tmp_path)
    with pytest.raises(TrainingError, match="There is no folder"):
        Draft().add_folder(tmp_path / "none")


def test_an_empty_manifest_is_a_beginning(tmp_path, slide):
    draft, notices = draft_of(tmp_path, "slide,label,patient")
    assert (draft.rows, notices, draft.manifest) == ([], (), tmp_path / "list.csv")
    assert kinds(draft) == ["empty"]
    assert counts_text(draft) == "from list.csv"
    draft.add_slides([slide], label="a")
    assert draft.changed
    assert [(row.name, row.label) for row in draft.rows] == [("slide", "a")]


def test_a_manifest_is_read_whatever_is_wrong_with_it(tmp_path):
    draft, notices = draft_of(
        tmp_path,
        "case_id;slide_id;wsi;class;set;mpp;fold",
        "P1;one;gone/a.svs;;later;40x;",
        ";;;x;;;",
        "P1;two;~nobody-at-all/b.svs;tumour;val;0,5;1",
    )
    assert notices == (
        "The split 'later' could not be understood and was left empty.",
        "The mpp '40x' could not be understood and was left empty.",
        "Line 3 names no slide; it was left out.",
    )
    first, second = draft.rows
    assert (first.name, first.label, first.patient, first.split, first.mpp) == ("one", "", "P1", "", None)
    assert (second.label, second.split, second.mpp, second.fold) == ("tumour", "validation", 0.5, None)
    with pytest.raises(TrainingError, match="no column that names the slides"):
        draft_of(tmp_path, "label", "x")
    assert {"no label", "gone", "patient torn", "one class"} <= set(kinds(draft))


def test_the_same_slides_again_are_not_added(folder):
    draft = ws.draft_manifest(folder)
    assert draft.add_folder(folder / "normal") == ("3 slides are in the list already.",)
    assert draft.add_slides([folder / "normal" / "n0.tiff"]) == ("1 slide is in the list already.",)
    (folder / "other").mkdir()
    shutil.copy(folder / "normal" / "n0.tiff", folder / "other" / "N0.tiff")
    draft.add_folder(folder / "other")
    assert draft.rows[-1].name == "N0-2"


def test_every_step_can_be_undone(folder):
    draft = ws.draft_manifest(folder)
    told = []
    draft.on_change = lambda: told.append(len(draft.rows))
    keys = [row.key for row in draft.rows]
    draft.set_label(keys[:2], "  high   grade ")
    draft.set_patient(keys[:2], "P1")
    draft.set_split(keys[:1], "test")
    draft.set_mpp(keys[:1], 0.25)
    draft.remove(keys[2:])
    first = draft.rows[0]
    assert (first.label, first.patient, first.split, first.mpp) == ("high grade", "P1", "test", 0.25)
    assert not draft.dealt
    for _ in range(5):
        draft.undo()
    assert [row.label for row in draft.rows] == ["normal"] * 3 + ["tumour"] * 3
    assert draft.dealt
    draft.redo()
    assert draft.rows[0].label == "high grade"
    assert draft.can_redo
    draft.set_label(keys[:1], "new")
    assert not draft.can_redo
    draft.clear()
    draft.undo()
    assert len(draft.rows) == 6
    assert len(told) == 14
    with pytest.raises(TrainingError, match="'later' is not known"):
        draft.set_split(keys, "later")
    with pytest.raises(TrainingError, match="no number of micrometres"):
        draft.set_mpp(keys, 0)
    before = draft.state
    draft.set_label(keys[:1], "new")
    assert draft.state is before, "what changes nothing is no step"


def test_missing_labels(folder):
    draft = ws.draft_manifest(folder, labels="none")
    assert problem(draft, "no label").sentence == "No slide has a label yet: say which class each of them is."
    keys = [row.key for row in draft.rows]
    draft.set_label(keys[:4], "a")
    assert problem(draft, "one class").sentence.startswith("All labels are “a”. A model needs slides of at least two")
    draft.set_label(keys[2:5], "A")
    said = press(draft, "two spellings", "Call all “A”")
    assert said == "“a” and “A” count as different classes."
    draft.set_label(keys[:2], "b")
    assert press(draft, "no label", "Leave out t2") == "1 slide has no label: t2."
    assert [row.used for row in draft.rows] == [True] * 5 + [False]
    draft.use(keys, used=True)
    draft.set_label(keys[4:], "")
    press(draft, "no label", "Leave out the 2 slides without a label")
    assert [row.used for row in draft.rows] == [True] * 4 + [False] * 2


def test_a_patient_on_two_sides(folder):
    draft = ws.draft_manifest(folder)
    keys = [row.key for row in draft.rows]
    for key, side in zip(keys, ("train", "train", "test", "train", "validation", "train"), strict=True):
        draft.set_split([key], side)
    draft.set_patient(keys[:3], "P1")
    said = press(draft, "patient torn", "Put P1 into train")
    assert said == "Patient P1 has slides in test and train; what is tested must not be learned from."
    assert [row.split for row in draft.rows[:3]] == ["train"] * 3
    draft.undo()
    press(draft, "patient torn", "Deal again")
    assert draft.dealt
    # three patients of a class: one on each side
    assert "patient torn" not in kinds(draft)
    sides = {row.patient or row.name: row.split for row in draft.rows}
    assert {sides["P1"]} == {row.split for row in draft.rows[:3]}


@pytest.fixture
def unseen(monkeypatch):
    """No file is looked at: all are slides that say their pixel size."""
    monkeypatch.setattr("napari_wsimil.training.data.drafting.looks.look_at", lambda path: Look("slides", mpp=0.5))


def listed(*lines):
    """A draft of (name, label, patient, split)."""
    draft = Draft()
    draft.take(DraftRow(name, Path("/slides", f"{name}.svs"), *rest) for name, *rest in lines)
    return draft


@pytest.mark.usefixtures("unseen")
def test_many_patients_on_two_sides_are_told_together():
    sides = ("train", "test")
    draft = listed(*((f"{who}-{side}", "ab"[who % 2], f"P{who}", side) for who in range(6) for side in sides))
    said = press(draft, "patient torn", "Put each where most of its slides are")
    assert said == "6 patients have slides on more than one side: P0, P1, P2 and 3 more."
    assert {row.split for row in draft.rows} == {"train"}


@pytest.mark.usefixtures("unseen")
def test_sides_that_lack_something():
    draft = listed(("1", "a", "", "train"), ("2", "b", "", "test"), ("3", "a", "", ""), ("4", "b", "", "train"))
    assert press(draft, "no side", "Put it into train") == "1 slide is on no side yet."
    assert problem(draft, "no validation").sentence == "No slide is in validation, by which the best epoch is chosen."
    draft.set_split([draft.rows[2].key], "validation")
    missing = problem(draft, "class not validated")
    assert (missing.serious, draft.examine().ready) == (False, True)
    draft.set_split([draft.rows[3].key], "test")
    assert problem(draft, "no training").sentence == "No slide of “b” is in train, so it can't be learned."


@pytest.mark.usefixtures("unseen")
def test_too_few_slides_to_deal_out():
    draft = listed(*((f"{label}{number}", label) for label in "ab" for number in range(2)))
    said = press(draft, "too few", "Do without test slides")
    assert said.startswith("The list has slides of too few patients of class 'a' for validation beside training; add slides")
    assert kinds(draft) == []
    assert {side.name: side.whole.slides for side in draft.split_table()} == {"train": 2, "validation": 2, "test": 0}
    lonely = listed(("1", "a"), ("2", "b"), ("3", "b"))
    lonely.deal(test=0.0)
    assert not problem(lonely, "too few").remedies


@pytest.mark.usefixtures("unseen")
def test_dealing_is_for_patients_and_can_be_done_otherwise():
    draft = listed(*((f"s{number}", "ab"[number % 3 == 0], f"P{number // 2}") for number in range(60)))
    first = [row.split for row in draft.examine().rows]
    assert all(one == other for one, other in zip(first[::2], first[1::2], strict=True))
    assert {side.name: side.whole.patients for side in draft.split_table()}["train"] >= 18
    draft.deal(seed=1)
    assert [row.split for row in draft.examine().rows] != first
    draft.deal(validation=0.3, test=0.3)
    assert sum(row.split == "train" for row in draft.examine().rows) in range(20, 30)
    draft.undo()
    draft.undo()
    assert [row.split for row in draft.examine().rows] == first


@pytest.mark.usefixtures("unseen")
def test_folds_of_a_manifest_stay_until_slides_are_dealt(tmp_path):
    draft, _ = draft_of(tmp_path, "slide,label,patient,fold", "a,x,P,0", "b,y,P,1", "c,x,,1", "d,y,,")
    assert [side.name for side in draft.split_table()] == ["fold 0", "fold 1", ""]
    assert {"patient torn", "no side"} <= set(kinds(draft))
    press(draft, "patient torn", "Put P into fold 0")
    assert [row.fold for row in draft.rows] == [0, 0, 1, None]
    draft.set_split([draft.rows[0].key], "train")
    assert [row.part for row in draft.rows] == ["train", "", "", ""]


def test_slides_that_are_gone(folder):
    draft = ws.draft_manifest(folder)
    assert kinds(draft) == []
    moved = folder / "moved"
    (folder / "normal").rename(moved)
    draft = Draft()
    draft.take(DraftRow(name, folder / "normal" / f"{name}.tiff", "a") for name in ("n0", "n1"))
    draft.add_slides([folder / "tumour" / "t0.tiff"], label="b")
    found = problem(draft, "gone")
    assert found.sentence == f"2 slides are not where the list says: {folder / 'normal' / 'n0.tiff'} and 1 more."
    with pytest.raises(TrainingError, match=r"holds none of them \(n0\.tiff, n1\.tiff\)"):
        press(draft, "gone", "Find…", folder / "tumour")
    press(draft, "gone", "Find…", folder)
    assert [row.path for row in draft.rows[:2]] == [moved / "n0.tiff", moved / "n1.tiff"]
    assert "gone" not in kinds(draft)
    draft.undo()
    press(draft, "gone", "Leave out the 2 slides")
    assert [row.used for row in draft.rows] == [False, False, True]


def test_a_disk_that_is_back(folder):
    draft = ws.draft_manifest(folder)
    shutil.move(folder / "normal", folder / "elsewhere")
    assert problem(draft, "gone").rows == tuple(row.key for row in draft.rows[:3])
    shutil.move(folder / "elsewhere", folder / "normal")
    press(draft, "gone", "Look again")
    assert kinds(draft) == []


def test_names_of_slides_find_their_features(tmp_path):
    for name in ("A", "B"):
        for mpp in (0.5, 2.0):
            features(tmp_path / f"at{mpp}" / f"{name}.h5", mpp=mpp)
    draft, _ = draft_of(tmp_path, "case_id,slide_id,label", "P1,A,x", "P2,B,y")
    press(draft, "gone", "Find…", tmp_path)
    assert [len(row.files) for row in draft.rows] == [2, 2]


def test_the_same_slide_or_name_twice(tmp_path, folder):
    (folder / "link.tiff").symlink_to(folder / "normal" / "n0.tiff")
    draft, _ = draft_of(
        folder, "slide,name,label", "normal/n0.tiff,1,a", "link.tiff,2,b", "normal/n1.tiff,3,a", "tumour/t1.tiff,3,b"
    )
    assert press(draft, "same slide", "Leave out the second") == (
        "n0.tiff is in the list 2 times, with different labels (a and b)."
    )
    assert press(draft, "same name", "Call the second 3-2") == "Different slides have the same name: “3”."
    assert [(row.name, row.used) for row in draft.rows] == [("1", True), ("2", False), ("3", True), ("3-2", True)]


def test_kinds_are_not_mixed(folder):
    draft = ws.draft_manifest(folder)
    draft.take([DraftRow("f", features(folder / "f.h5"), "tumour")])
    assert press(draft, "mixed kinds", "Leave out the feature file") == (
        "The list mixes 6 slides with 1 feature file; a model learns from one kind."
    )
    assert kinds(draft) == []


def test_features_that_do_not_fit_or_do_not_open(tmp_path):
    draft = Draft()
    draft.take(DraftRow(f"s{n}", features(tmp_path / f"s{n}.h5"), "ab"[n % 2]) for n in range(6))
    draft.take([DraftRow("wide", features(tmp_path / "wide.h5", width=9, encoder="other"), "a")])
    draft.take([DraftRow("coarse", features(tmp_path / "coarse.h5", mpp=2.0), "a")])
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    draft.take([DraftRow("bad", tmp_path / "bad.h5", "a"), DraftRow("bad2", tmp_path / "bad.pt", "b")])
    said = {one.kind: one.sentence for one in draft.problems()}
    assert (
        said["widths"]
        == "wide has 9 features for each patch, the others 8 features for each patch: one model can't learn from both."
    )
    assert said["encoders"] == "wide is made by other, the others made by e: one model can't learn from both."
    assert said["magnifications"].startswith("coarse is at 2 µm per pixel, the others at 0.5 µm per pixel")
    assert said["damaged"].startswith("2 files can't be used; the first: ")
    press(draft, "widths", "Leave out wide")
    press(draft, "magnifications", "Leave out coarse")
    press(draft, "damaged", "Leave out the 2 slides")
    assert kinds(draft) == []


def test_features_of_two_encoders_in_one_folder(tmp_path):
    for label in ("a", "b"):
        for number in range(3):
            for encoder, width in (("one", 4), ("two", 8)):
                features(tmp_path / label / f"features_{encoder}" / f"{label}{number}.h5", width=width, encoder=encoder)
    draft = ws.draft_manifest(tmp_path)
    assert press(draft, "same magnification", "Only features_two") == (
        "6 slides have several feature files at one magnification, in features_one, features_two: choose one encoder and one "
        "way of cutting patches."
    )
    assert {row.sources[0].parent.name for row in draft.rows} == {"features_two"}
    assert kinds(draft) == []
    draft.set_label([draft.rows[0].key], "x" * 101)
    assert "long label" in kinds(draft)


def test_pixel_sizes_and_regions_that_are_missing(tmp_path, write_slide):
    draft = Draft()
    for number in range(3):
        write_slide(tmp_path / f"{number}.tiff", width=1024, height=1024, mpp=None)
    draft.add_slides([tmp_path / f"{number}.tiff" for number in range(3)], label="a")
    draft.take([DraftRow("x", tmp_path / "0.tiff", annotation=tmp_path / "no.geojson")])
    assert press(draft, "no pixel size", "Say it…", "0.5") == "0, 1, 2 do not say how many micrometres a pixel measures."
    assert {row.mpp for row in draft.rows} == {0.5}
    draft.set_annotation([draft.rows[0].key], tmp_path / "no.geojson")
    press(draft, "annotation gone", "Go on without them")
    assert kinds(draft) == ["one class"]


def test_a_check_tells_how_far_it_is_and_looks_at_each_file_once(folder, monkeypatch):
    seen = []

    def look(path):
        seen.append(path)
        return Look("slides", mpp=0.5)

    monkeypatch.setattr("napari_wsimil.training.data.drafting.looks.look_at", look)
    draft = Draft()
    draft.take(DraftRow(f"{n}", Path(f"/x/{n}.svs"), "ab"[n % 2]) for n in range(45))
    told = list(examine_steps(draft.state, draft.looks))
    assert [(one.done, one.total, one.finished) for one in told[:4]] == [
        (0, 0, False),
        (0, 45, False),
        (20, 45, False),
        (40, 45, False),
    ]
    assert checking_text(draft, told[0]) == "Checking 45 slides …"
    assert checking_text(draft, told[2]) == "Looking at the files: 20 of 45 …"
    assert checking_text(draft, told[-1]) == "Dealing 45 slides out to training, validation and test …"
    assert not any(one.ready for one in told)
    found = draft.examine()
    assert found.ready
    assert draft.examine() is found
    draft.set_label([draft.rows[0].key], "b")
    assert draft.examine() is not found
    assert not draft.accept(draft.state.__class__(), found)
    assert len(seen) == 45


def test_cells_of_a_spreadsheet():
    rows = [DraftRow(f"s{n}", Path(f"s{n}.svs"), key=n) for n in range(4)]
    assert pasted("a", rows, [1, 3], "label") == {1: {"label": "a"}, 3: {"label": "a"}}
    assert pasted("a\nb\nc\n", rows, [2], "label") == {2: {"label": "a"}, 3: {"label": "b"}}
    assert pasted("P1\tVal\r\nP2\ttest", rows, [0, 1], "patient") == {
        0: {"patient": "P1", "split": "validation"},
        1: {"patient": "P2", "split": "test"},
    }
    by_name = "slide_id\tclass\nS3.svs\tx\ns0\ty\nother\tz"
    assert pasted(by_name, rows, [], "label") == {3: {"label": "x"}, 0: {"label": "y"}}
    assert pasted(as_table(rows), rows, [], "label").keys() == {0, 1, 2, 3}
    for text, chosen, words in (
        (" ", [0], "no text to paste"),
        ("a", [], "Select the row"),
        ("soon", [0], "'soon' is no split"),
        ("slide\tlabel\nq\tx", [], "None of the pasted names"),
    ):
        with pytest.raises(TrainingError, match=words):
            pasted(text, rows, chosen, "split")
    draft = Draft()
    draft.take(rows)
    draft.edit(pasted("a\nb", draft.rows, [0], "label"))
    assert [row.label for row in draft.rows] == ["a", "b", "", ""]
    assert draft.dealt
    draft.edit(pasted("test", draft.rows, [0], "split"))
    assert (draft.rows[0].split, draft.dealt) == ("test", False)


def test_rows_are_sorted_and_searched():
    rows = [
        DraftRow("s10", Path("a"), "b", key=0),
        DraftRow("s2", Path("b"), "", "P1", "train", used=False, key=1),
        DraftRow("x", Path("c"), "a", key=2),
    ]
    assert arranged(rows) == [0, 1, 2]
    assert arranged(rows, by="slide") == [1, 0, 2]
    assert arranged(rows, by="label") == [2, 0, 1]
    assert arranged(rows, by="label", backwards=True) == [0, 2, 1]
    assert arranged(rows, "no label p1 TRAIN") == [1]
    assert arranged(rows, "left") == [1]


def test_the_command(folder, run):
    code, out, err = run("manifest", folder, "--out", folder / "m.csv")
    assert (code, out.splitlines()[0]) == (0, "6 slides · 6 patients · 2 classes")
    assert "train: 2 slides of 2 patients (normal 1, tumour 1)" in out
    assert "Labels are the names of the folders" in err
    assert len(read_manifest(folder / "m.csv").cases) == 6
    code, _, err = run("manifest", folder, "--out", folder / "m.csv")
    assert (code, "is there already; choose another name, or give --overwrite" in err) == (2, True)
    code, _, _ = run("manifest", folder, "--out", folder / "m.csv", "--overwrite", "--test", 0, "--seed", 3)
    assert {case.split for case in read_manifest(folder / "m.csv").cases} == {"train", "validation"}
    code, out, err = run("manifest", folder, "--labels-from", "none", "--json")
    told = json.loads(out)
    assert code == 2
    assert [one["kind"] for one in told["problems"]] == ["no label"]
    assert told["problems"][0]["slides"] == [slide["name"] for slide in told["slides"]]
    assert (told["ready"], told["manifest"]) == (False, None)
