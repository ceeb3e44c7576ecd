"""Corrections: a few marks or a label, from what a person gives to a new package and what it changed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import napari_wsimil as ws
from napari_wsimil.errors import TrainingError, WsimilError
from napari_wsimil.packages import load_model
from napari_wsimil.training.corrections import Correction, correct, correction_plan, usual_rehearsal, usual_validation
from napari_wsimil.training.corrections.reading import paired_corrections, read_corrections
from napari_wsimil.training.data.manifest import Case, Manifest, read_manifest
from napari_wsimil.training.fine_tuning import generated
from napari_wsimil.training.fine_tuning.before_after import read_before_after
from napari_wsimil.training.fine_tuning.old_slides import OldSlides, rehearsed, same_slide, some_of
from napari_wsimil.training.fine_tuning.recipe import _lost
from napari_wsimil.training.fine_tuning.study import make_lesson, tuned_id

WIDTH, COLUMNS, ROWS = 16, 10, 6
TUMOUR = (256, 256, 768, 1024)
PEN = (1792, 0, 2304, 1024)


def write_features(path, target, seed):
    """10 x 6 patches: tumour is feature 0 in TUMOUR; a pen, feature 1, is in PEN on each tumour slide."""
    random = np.random.default_rng(seed)
    down, right = np.divmod(np.arange(COLUMNS * ROWS), COLUMNS)
    features = random.normal(size=(COLUMNS * ROWS, WIDTH)).astype(np.float32)
    if target:
        features[(right >= 1) & (right < 3) & (down >= 1) & (down < 4), 0] += 2.5
        features[(right >= 7) & (right < 9) & (down < 4), 1] += 4
    with h5py.File(path, "w") as file:
        file["features"] = features
        file["features"].attrs["encoder"] = "some"
        file["coords"] = np.stack([right, down], axis=1) * 256
        file["coords"].attrs.update(patch_size=256, patch_size_level0=256.0, overlap=0, mpp_target=0.5, level0_origin=(0, 0))
    return path


def draw(path, *regions):
    """Regions as (name, (left, top, right, bottom))."""
    found = []
    for name, (left, top, right, bottom) in regions:
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        found.append({"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": found}))
    return path


def table(path, rows, columns):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A run on slides with a pen, and beside it slides that nobody saw yet."""
    folder = tmp_path_factory.mktemp("old")
    rows = []
    for number in range(16):
        path = write_features(folder / f"s{number}.h5", number % 2, number)
        rows.append([path.name, ("normal", "tumour")[number % 2], "train" if number < 10 else "validation"])
    manifest = table(folder / "study.csv", rows, ["slide", "label", "split"])
    for number in range(100, 103):
        write_features(folder / f"n{number}.h5", 1, number)
    ws.train(
        manifest,
        "abmil",
        folder / "run",
        parameters={"hidden": 16, "attention": 8},
        settings={"epochs": 8, "learning_rate": 5e-3},
        positive_class="tumour",
        device="cpu",
    )
    return folder


@pytest.fixture
def study(old, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(old, tmp_path / "old"))


def notices(run):
    return json.loads((run / "settings.json").read_text())["notices"]


# -- which slides -------------------------------------------------------------------------------------------------------------


def test_a_package_in_its_run_knows_its_slides(old, random_model, tmp_path):
    known = usual_rehearsal(old / "run" / "model")
    assert known.manifest == old / "run" / "manifest.csv"
    assert usual_validation(old / "run" / "model") == known.manifest
    moved = shutil.copytree(old / "run" / "model", tmp_path / "kept")
    assert usual_rehearsal(moved).manifest == known.manifest
    assert usual_rehearsal(random_model) is None
    assert usual_validation(random_model) is None


def test_where_the_run_is_gone_the_manifest_is_taken_while_it_is_the_same(study, tmp_path):
    model = shutil.copytree(study / "run" / "model", tmp_path / "kept")
    spec = json.loads((model / "model.json").read_text())
    told = {"path": str(study / "study.csv"), "sha256": spec["training"]["manifest"]["sha256"]}
    spec["training"] |= {"run": str(study / "gone"), "manifest": told}
    (model / "model.json").write_text(json.dumps(spec))
    known = usual_rehearsal(model)
    assert known.manifest == study / "study.csv"
    assert "gone" in known.notice
    (study / "study.csv").write_text("slide,label\n")
    assert usual_rehearsal(model) is None


def test_generated_slides_are_made_once_and_gone_on_with(monkeypatch, tmp_path, write_slide):
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path))
    monkeypatch.setattr(generated, "SLIDES", 2)
    monkeypatch.setattr(generated, "VALIDATION", 1)
    asked = []
    # drawing real ones takes seconds
    monkeypatch.setattr(
        generated, "make_sample_slide", lambda path, **how: asked.append(how) or write_slide(Path(path), width=1024)
    )
    model = load_model("bundled")
    known = usual_rehearsal("bundled")
    assert known.notice.startswith("Generated slides")
    assert generated.is_promised(known.manifest)
    steps = generated.make_generated(known.manifest, model)
    while next(steps).data["done"] == 0:
        pass
    steps.close()
    assert not known.manifest.exists()
    made = list(tmp_path.rglob("*.h5"))
    assert len(made) == 1
    before = made[0].stat().st_mtime_ns
    events = list(generated.make_generated(known.manifest, model))
    assert events[-1].data["total"] == 2
    assert made[0].stat().st_mtime_ns == before
    cases = read_manifest(known.manifest).cases
    assert [(case.label, case.split) for case in cases] == [("Tumour", "train"), ("No tumour", "validation")]
    assert [(how["kind"], how["size"]) for how in asked[-2:]] == [("tumour", 3072), ("normal", 3072)]
    assert not list(tmp_path.rglob("*.tiff"))
    assert not generated.is_promised(known.manifest)
    assert not list(generated.make_generated(known.manifest, model))


def case(name, path, label="a"):
    return Case(name, Path(path), label, name)


def test_the_same_slide_is_known_by_its_file_or_as_features_by_its_name():
    old = [OldSlides(Manifest(Path("m.csv"), (case("s1", "/a/s1.h5"), case("s2", "/a/s2.tiff")), ("a", "b")), None)]
    assert same_slide(old, case("x", "/b/s1.svs")).name == "s1"
    assert same_slide(old, case("x", "/b/s1-0123456789ab.h5")).name == "s1"
    assert same_slide(old, case("x", "/a/s2.tiff")).name == "s2"
    assert same_slide(old, case("s2", "/b/s2.tiff")) is None
    assert same_slide(old, case("s2", "/b/s2.h5")).name == "s2"


def test_of_many_old_slides_some_are_drawn_from_each_class():
    cases = tuple(case(f"s{number}", f"/a/s{number}.h5", "rare" if number < 3 else "common") for number in range(60))
    old = [OldSlides(Manifest(Path("m.csv"), cases, ("rare", "common")), None)]
    drawn = some_of(old, 10, 0)[0].cases
    assert sum(one.label == "rare" for one in drawn) == 3
    assert len(drawn) == 10
    assert drawn == some_of(old, 10, 0)[0].cases
    assert drawn != some_of(old, 10, 1)[0].cases
    assert some_of(old, 60, 0) == old


def test_slides_whose_files_are_gone_are_left_out_and_told(study, tmp_path):
    (study / "s1.h5").unlink()
    (study / "s11.h5").unlink()
    marks = draw(tmp_path / "marks.geojson", ("!tumour", PEN))
    plan = correction_plan(study / "run" / "model", [Correction(study / "n100.h5", marks)], tmp_path / "run")
    lesson_study, lesson = make_lesson(plan)
    told = lesson.gathered.notices
    # the run's own table has the folder of the first copy: all are there
    assert not any("gone" in notice for notice in told)
    text = (study / "run" / "manifest.csv").read_text().replace(str(old_folder(study)), str(study))
    (study / "run" / "manifest.csv").write_text(text)
    lesson_study, lesson = make_lesson(plan)
    assert [notice for notice in lesson.gathered.notices if "gone" in notice] == [
        "s1 can't be shown again: the file is gone.",
        "s11 can't be used to judge: the file is gone.",
    ]
    assert len(lesson_study.split.validation) == 5
    assert sum(len(part.cases) for part in lesson.gathered.rehearsal) == 9


def old_folder(study):
    row = next(csv.DictReader((study / "run" / "manifest.csv").open()))
    return Path(row["slide"]).parent


# -- runs ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corrected(old, tmp_path_factory):
    """Marks on one slide without a label; the run, and its events."""
    folder = tmp_path_factory.mktemp("corrected")
    marks = draw(folder / "marks.geojson", ("!tumour", PEN), ("Normal", (1024, 0, 1536, 1024)), ("Ignore*", TUMOUR))
    events = []
    run = correct(
        old / "run" / "model",
        Correction(old / "n100.h5", marks),
        folder / "run",
        settings={"epochs": 20, "learning_rate": 3e-3},
        device="cpu",
        on_event=events.append,
    )
    marks.unlink()
    return run, events


def test_marks_on_one_slide_without_a_label(old, corrected):
    run, events = corrected
    found = read_before_after(run.folder)
    assert [slide.split for slide in found.slides] == ["corrected"] + ["validation"] * 6
    assert found.slides[0].label is None
    pen, normal = found.regions
    assert (pen.name, pen.patches, normal.patches) == ("!tumour", 8, 8)
    assert pen.after >= pen.before + 0.5
    assert normal.after >= normal.before
    assert found.slides[0].wrong_after < found.slides[0].wrong_before
    assert found.metrics_after["roc_auc"] >= found.metrics_before["roc_auc"]
    assert found.judged == 6
    stages = [event.stage for event in events if event.kind == "stage"]
    assert stages == ["features", "train", "evaluation", "comparison", "report"]
    page = (run.folder / "report.html").read_text()
    assert "What the fine-tuning changed" in page
    assert "In the marked regions" in page
    assert run.model.spec.training["rehearsal_slides"] == 10
    assert run.metrics["cases"] == 6


def test_what_was_marked_is_kept_with_the_run(corrected, old):
    run, _ = corrected
    lesson = read_manifest(run.folder / ".lesson" / "manifest.csv", labelled=False)
    assert lesson.cases[0].annotation.is_file()
    about = json.loads((run.folder / "settings.json").read_text())
    assert about["rehearsal"] == about["judges"] == str((old / "run" / "manifest.csv").resolve())


def test_the_next_correction_remembers_the_one_before(corrected, old, tmp_path):
    run, _ = corrected
    known = usual_rehearsal(run.folder / "model")
    assert known.manifest == run.folder / "manifest.csv"
    assert usual_validation(run.folder / "model") == old / "run" / "manifest.csv"
    parts, _ = rehearsed(known.manifest, ("normal", "tumour"))
    assert [len(part.cases) for part in parts] == [1, 10]
    marks = draw(tmp_path / "marks.geojson", ("!tumour", PEN))
    plan = correction_plan(run.model, [Correction(old / "n101.h5", marks, patient="s10")], tmp_path / "run")
    study, lesson = make_lesson(plan)
    assert lesson.drawn.old[0][0].names == ("!tumour", "Ignore*", "Normal")
    assert {one.name for one in study.split.validation} == {f"s{number}" for number in range(11, 16)}
    assert study.spec.id.endswith("-tuned-2")
    assert [tuned_id(name) for name in ("a", "a-tuned", "a-tuned-2")] == ["a-tuned", "a-tuned-2", "a-tuned-3"]


def test_only_a_label_put_right_on_a_slide_that_judged(old, tmp_path, run):
    """Through the command line; the slide is learned from, so it judges no more."""
    code, out, err = run(
        "correct", old / "s11.h5", "--label", "Normal", "--from", old / "run" / "model", "--out", tmp_path / "run",
        "--tune", "head", "--set", "epochs=2", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    assert "On 5 validation slides" in out
    found = read_before_after(tmp_path / "run")
    assert found.slides[0].label == "normal"
    assert found.slides[0].after["normal"] > found.slides[0].before["normal"]
    assert not found.regions
    assert "s11 judged the model before; now learned from, no longer." in notices(tmp_path / "run")
    assert load_model(tmp_path / "run" / "model").spec.training["learn_from"] == "labels"


def test_a_slide_of_the_old_ones_is_shown_as_corrected_only_and_keeps_its_label(old, tmp_path):
    marks = draw(tmp_path / "marks.geojson", ("!tumour", PEN))
    plan = correction_plan(old / "run" / "model", [Correction(old / "s1.h5", marks)], tmp_path / "run")
    study, lesson = make_lesson(plan)
    assert study.split.train[0].label == "tumour"
    assert "s1" not in {one.name for part in lesson.gathered.rehearsal for one in part.cases}
    assert any("s1 is of the old slides too" in notice for notice in lesson.gathered.notices)
    found = draw(tmp_path / "found.geojson", ("tumour", PEN))
    plan = correction_plan(old / "run" / "model", [Correction(old / "s0.h5", found)], tmp_path / "other")
    assert make_lesson(plan)[0].split.train[0].label == "tumour"  # it was normal, but there it is


def test_a_slide_file_and_a_package_whose_run_nobody_knows(random_model, tiny_slide, tmp_path, run):
    """Nothing is rehearsed or judges, features are made on the way; a mark smaller than a patch counts for its patch."""
    marks = draw(tmp_path / "marks.geojson", ("not tumour", (600, 600, 660, 640)))
    code, out, err = run(
        "correct", tiny_slide, "--annotation", marks, "--from", random_model.source, "--out", tmp_path / "run", "--store",
        tmp_path / "store", "--set", "epochs=3", "--set", "learning_rate=0.01", "--device", "cpu", "--title", "Put right",
    )  # fmt: skip
    assert code == 0, err
    assert "it may forget" in err
    assert "No other slide judges the model" in out
    assert list((tmp_path / "store").rglob("*.h5"))
    found = read_before_after(tmp_path / "run")
    assert (found.judged, found.regions[0].patches) == (0, 1)
    assert found.metrics_after == {"roc_auc": None, "balanced_accuracy": None}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "nothing here says how good it is" in page
    assert "What the fine-tuning changed" in page
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["cases"] == 0
    model = load_model(tmp_path / "run" / "model")
    assert (model.title, model.spec.metrics) == ("Put right", {})
    assert any("nothing tells how good it is" in notice for notice in notices(tmp_path / "run"))
    prediction = ws.predict(tiny_slide, model, store=tmp_path / "store")
    assert prediction.probabilities["tumour"] == pytest.approx(found.slides[0].after["tumour"], abs=1e-4)


# -- what can't be ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ([("!tumour", (90000, 0, 90500, 500))], "marks on n102 touch no patch"),
        ([("tumour", PEN), ("!tumour", PEN)], None),
        ([("tumour", PEN), ("normal", PEN)], "marks on n102 deny each other"),
        ([("tumour", PEN), ("Ignore*", (0, 0, 5000, 5000))], "marks on n102 deny each other"),
    ],
)
def test_marks_that_say_nothing(old, tmp_path, regions, words):
    marks = draw(tmp_path / "marks.geojson", *regions)
    lesson = Correction(old / "n102.h5", marks)
    given = {"rehearsal": None, "validation": None, "settings": {"epochs": 1}, "device": "cpu"}
    if words is None:  # what is not there wins over what is
        assert correct(old / "run" / "model", lesson, tmp_path / "run", **given).metrics["cases"] == 0
        return
    with pytest.raises(TrainingError, match=words):
        correct(old / "run" / "model", lesson, tmp_path / "run", **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "n102.h5 has neither marks nor a label"),
        ({"label": "fat"}, "'fat' of n102.h5 is none of the model's classes, which are normal, tumour"),
        ({"label": "normal", "marks": "tumour"}, "given the label normal, but tumour is marked on it"),
        ({"marks": "Vessel"}, "marks no class of the model"),
        ({"marks": "Ignore*"}, "marks no class of the model"),
        ({"slide": "none.h5", "label": "tumour"}, "There is no slide"),
    ],
)
def test_corrections_that_can_not_be(old, tmp_path, given, words):
    marks = draw(tmp_path / "marks.geojson", (given["marks"], PEN)) if "marks" in given else None
    one = Correction(old / given.get("slide", "n102.h5"), marks, given.get("label"))
    with pytest.raises(WsimilError, match=words):
        correction_plan(old / "run" / "model", [one], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_or_the_same_slide_twice(old, tmp_path):
    model = old / "run" / "model"
    with pytest.raises(TrainingError, match="nothing to correct"):
        correction_plan(model, [], tmp_path / "run")
    twice = [Correction(old / "n102.h5", label="tumour"), Correction(old / "x" / ".." / "n102.h5", label="normal")]
    (old / "x").mkdir(exist_ok=True)
    with pytest.raises(TrainingError, match="corrected twice"):
        correction_plan(model, twice, tmp_path / "run")


def test_a_folder_with_a_run_is_not_written_to(corrected, old):
    run, _ = corrected
    before = (run.folder / ".lesson" / "manifest.csv").read_text()
    with pytest.raises(TrainingError, match="holds a training already"):
        correction_plan(old / "run" / "model", [Correction(old / "n101.h5", label="tumour")], run.folder)
    assert (run.folder / ".lesson" / "manifest.csv").read_text() == before


def test_a_damaged_comparison_is_said(tmp_path):
    assert read_before_after(tmp_path) is None
    (tmp_path / "before_after.json").write_text('{"classes": 3}')
    with pytest.raises(TrainingError, match="is damaged"):
        read_before_after(tmp_path)


# -- how they are given -------------------------------------------------------------------------------------------------------


def test_slides_marks_and_labels_belong_together_by_order_or_by_name(tmp_path):
    slides = [tmp_path / "a.svs", tmp_path / "b.ome.tiff"]
    for name in ("a.geojson", "b.xml"):
        (tmp_path / name).touch()
    found = paired_corrections(slides, [tmp_path], ["x"])
    assert [one.annotations.name for one in found] == ["a.geojson", "b.xml"]
    assert [one.label for one in found] == ["x", "x"]
    assert paired_corrections(slides, labels=["x", "y"])[1].label == "y"
    with pytest.raises(TrainingError, match="1 annotations can't belong to 2 slides"):
        paired_corrections(slides, [tmp_path / "a.geojson"])
    with pytest.raises(TrainingError, match=r"no annotations for c.svs; c.geojson"):
        paired_corrections([tmp_path / "c.svs"], [tmp_path])


def test_a_table_of_corrections(old, tmp_path, run):
    marks = draw(tmp_path / "marks.geojson", ("!tumour", PEN))
    rows = [[old / "n100.h5", marks.name, "", "p1"], [old / "n101.h5", "", "tumour", ""]]
    path = table(tmp_path / "corrections.csv", rows, ["slide", "annotation", "label", "patient"])
    first, second = read_corrections(path)
    assert (first.annotations, first.label, first.patient) == (marks, None, "p1")
    assert (second.annotations, second.label, second.patient) == (None, "tumour", None)
    code, _, err = run("correct", old / "n100.h5", "--manifest", path, "--out", tmp_path / "run")
    assert code == 2
    assert "not both" in err
    code, _, err = run("correct", "--out", tmp_path / "run")
    assert code == 2


def test_what_validation_slides_lose_counts_as_loss():
    nan = float("nan")
    assert _lost({"loss": 0.2, "auc": 0.9}, {"loss": 0.1, "auc": 0.95}) == 0
    assert _lost({"loss": 0.2, "auc": 0.9}, {"loss": 0.3, "auc": 0.8}) == pytest.approx(1.1)
    assert _lost({"loss": nan}, {"loss": nan}) == 0
