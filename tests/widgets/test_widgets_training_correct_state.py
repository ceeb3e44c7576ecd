"""What the page "Correct" knows, without a window: the list of slides, what can be undone, and the way to a decision."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import shapely

import napari_wsimil as ws
from napari_wsimil.annotations import Annotations, Region
from napari_wsimil.errors import TrainingError
from napari_wsimil.training.fine_tuning.before_after import BeforeAfter, RegionChange, SlideChange
from napari_wsimil.widgets.annotate.class_book import ClassBook
from napari_wsimil.widgets.annotate.keeping import draft_of
from napari_wsimil.widgets.training.correct.attempt import Attempt, Candidate
from napari_wsimil.widgets.training.correct.corrected import (
    CorrectedSlide,
    CorrectedSlides,
    drawn_name,
    marks_text,
    teaches,
    why_not,
)
from napari_wsimil.widgets.training.correct.deeds import Deeds
from napari_wsimil.widgets.training.correct.figures import table_of, words_of
from napari_wsimil.widgets.training.correct.planning import Wish, corrections_of, settings_of, usual_for
from napari_wsimil.widgets.training.correct.recipe import correcting_recipe

CLASSES = ("normal", "tumour")


def slide(name="a.tiff", **more):
    return CorrectedSlide(path=Path("/slides") / name, fingerprint=name, **more)


def test_the_list_outlives_the_window(tmp_path):
    file = tmp_path / "state" / "corrected.json"
    slides = CorrectedSlides(file)
    told = []
    slides.changed.connect(lambda: told.append(len(slides.slides)))
    slides.put(slide())
    assert not told, "nothing is corrected on it"
    slides.put(slide(marks={"!tumour": 2}))
    slides.put(slide("b.tiff", label="normal"))
    slides.put(slide("b.tiff", label="normal"))
    assert told == [1, 2]
    assert CorrectedSlides(file).slides == slides.slides
    before = slides.slides
    slides.remove("a.tiff")
    slides.put_back(before)
    slides.put(slide("b.tiff"))
    assert [one.name for one in CorrectedSlides(file).slides] == ["a.tiff"]
    file.write_text("{", encoding="utf-8")
    assert CorrectedSlides(file).slides == ()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "Nothing is corrected yet"),
        ([slide(marks={"Stroma": 1, "Ignore*": 2})], "what is marked is only: Stroma, ignored"),
        ([slide(label="benign")], "what is marked is only: nothing"),
        ([slide(marks={"!Tumor": 1})], ""),
        ([slide(label="Normal")], ""),
    ],
)
def test_what_nothing_can_be_learned_from_is_told(found, told):
    assert (told in why_not(found, CLASSES)) if told else not why_not(found, CLASSES)


def test_marks_are_the_classes_that_training_reads():
    names = [drawn_name("is", "tumour"), drawn_name("is not", "tumour"), drawn_name("ignore", "")]
    assert names == ["tumour", "!tumour", "Ignore*"]
    assert [teaches(name, CLASSES) for name in names] == [True, True, False]
    assert marks_text({"!tumour": 2, "Ignore*": 1, "normal": 3}) == "2 not tumour, 1 ignored, 3 normal"


def test_the_last_deed_on_this_slide_is_undone_first():
    deeds, done = Deeds(), []

    def undo(what):
        done.append(what)
        deeds.did("noise", lambda: None)  # what comes of undoing is no deed

    deeds.did("mark", lambda: undo("mark on a"), "a")
    deeds.did("Keep", lambda: undo("keep"))
    deeds.did("label", lambda: undo("label of b"), "b")
    assert deeds.last("a").words == "Keep"
    deeds.undo("a")
    deeds.undo("a")
    assert deeds.undo("a") is None
    assert done == ["keep", "mark on a"]
    assert deeds.last("b").words == "label"
    deeds.forget("label")
    assert deeds.last("b") is None


def test_a_decision_can_be_taken_back_and_taken_again():
    attempt, phases = Attempt(), []
    attempt.changed.connect(phases.append)
    candidate = Candidate(Path("run"), Path("run/model"), "bundled")
    attempt.prepare()
    attempt.run()
    assert attempt.is_busy
    attempt.run()
    attempt.look(candidate)
    attempt.judge()
    assert not attempt.is_busy
    attempt.keep("mine")
    assert attempt.kept_as == "mine"
    attempt.judge()
    attempt.discard()
    attempt.judge()
    attempt.prepare()
    assert attempt.candidate is None
    attempt.fail()
    expected = "preparing running looking judging kept judging discarded judging preparing idle"
    assert phases == expected.split()
    with pytest.raises(ValueError, match="after idle can't come kept"):
        attempt.keep("again")


def test_before_and_after_in_few_lines():
    change = SlideChange("s7", "normal", "validation", {"normal": 0.2, "tumour": 0.8}, {"normal": 0.9, "tumour": 0.1})
    corrected = SlideChange("a", None, "corrected", {"normal": 0.1, "tumour": 0.9}, {"normal": 0.3, "tumour": 0.7}, 0.6, 0.1)
    regions = (RegionChange("a", "!tumour", 0, 30, 0.0, 1.0), RegionChange("a", "normal", 1, 10, 0.4, 0.8))
    before, after = {"roc_auc": 0.91, "balanced_accuracy": None}, {"roc_auc": 0.93, "balanced_accuracy": None}
    found = BeforeAfter(CLASSES, "tumour", (corrected, change), regions, 12, before, after)
    lines = {line[0]: line[1:] for line in table_of({"tumour": 0.9}, {"tumour": 0.1}, found)}
    assert lines["This slide: tumour"] == ("90.0 %", "10.0 %")
    assert lines["Marked patches that agree"] == ("10.0 %", "95.0 %")
    assert lines["Attention where it was marked wrong"] == ("60.0 %", "10.0 %")
    assert lines["AUC, 12 other slides"] == ("0.910", "0.930")
    assert "Balanced accuracy, 12 other slides" not in lines
    assert words_of(found) == "Changed class: s7 from tumour to normal (now right)."
    assert "left no comparison" in words_of(None)
    assert table_of({}, {}, None) == []


def test_corrections_are_found_where_marks_are_kept(tmp_path, tiny_slide, random_model, monkeypatch):
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path / "cache"))
    with ws.open_slide(tiny_slide) as opened:
        one = CorrectedSlide(path=tiny_slide, fingerprint=opened.fingerprint, marks={"!tumour": 1}, label="benign")
    wish = Wish(random_model.source, CLASSES, (one,), {}, ClassBook(), "all", None, {"epochs": 2, "strength": 3.0})
    with pytest.raises(TrainingError, match=r"marks on tiny\.tiff are gone"):
        corrections_of(wish)
    kept = draft_of(SimpleNamespace(path=tiny_slide, fingerprint=one.fingerprint))
    kept.parent.mkdir(parents=True)
    ws.write_annotations(Annotations(kept, (Region("!tumour", shapely.box(300, 300, 600, 600)),)), kept)
    (found,) = corrections_of(wish)
    assert (found.slide, found.annotations, found.label) == (tiny_slide, kept, None), "of labels only the model's own"
    settings = settings_of(wish)
    assert settings["epochs"] == 2
    assert settings["learning_rate"] > settings_of(Wish(*[getattr(wish, name) for name in list(vars(wish))[:6]], None)).get(
        "learning_rate", 0
    )
    gone = one.model_copy(update={"path": tmp_path / "gone.tiff"})
    with pytest.raises(TrainingError, match=r"gone\.tiff is gone"):
        corrections_of(Wish(random_model.source, CLASSES, (gone,), {}, ClassBook(), "all", None))
    assert "not known here" in usual_for(random_model.source).words


def test_a_correction_can_be_done_again_from_python_and_a_shell(tmp_path):
    from napari_wsimil.cli.correct import correct

    wish = Wish("bundled", CLASSES, (), {}, ClassBook(), "head", None)
    recipe = correcting_recipe(wish, {"epochs": 5}, tmp_path / "run", tmp_path / "run" / ".lesson" / "manifest.csv")
    compile(recipe.python, "recipe", "exec")
    assert "rehearsal=None" in recipe.python
    assert "read_corrections" in recipe.python
    typed = shlex.split(recipe.command)
    assert typed[:2] == ["napari-wsimil", "correct"]
    given = correct.make_context("correct", typed[2:], resilient_parsing=True).params
    assert (given["package"], given["tune"], given["rehearsal"], given["given"]) == ("bundled", "head", None, ("epochs=5",))
    assert given["out"] == tmp_path / "run-again"
