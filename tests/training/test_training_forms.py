"""What a form knows of methods, and what it keeps of what was chosen; no window."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest

from napari_wsimil.cli.training import train
from napari_wsimil.cli.training_plans import training_plan
from napari_wsimil.encoders.foreign.listing import encoder_choice, encoder_choices
from napari_wsimil.errors import ModelError, TrainingError
from napari_wsimil.mil import METHODS
from napari_wsimil.training.recipes import RECIPES
from napari_wsimil.training.runs.forms import MAGNIFICATIONS, MAIN, method_form, method_forms
from napari_wsimil.training.runs.plan import TrainingPlan, usual_mpps
from napari_wsimil.widgets.training.recipe import training_command, training_recipe
from napari_wsimil.widgets.training.runs.desk import RunDesk
from napari_wsimil.widgets.training.settings.chosen import Chosen
from napari_wsimil.widgets.training.settings.places import fresh_run, runs_folder


def test_every_field_of_every_method():
    forms = method_forms()
    assert {form.name for form in forms} == set(METHODS) & set(RECIPES)
    assert [form.magnifications for form in forms] == sorted([form.magnifications for form in forms], key=lambda n: n != (1, 1))
    for form in forms:
        names = {*METHODS[form.name].parameters.model_fields, *RECIPES[form.name].settings.model_fields} - {MAGNIFICATIONS}
        assert {field.name for field in form.fields} == names, form.name
        assert tuple(field.name for field in form.of_group("main")) == MAIN
        for field in form.fields:
            assert field.problem(field.default) == "", (form.name, field.name)
            assert field.help in field.about()
            assert field.source in field.about()
            assert ("guess" in field.about().lower()) >= field.guess
            if field.kind == "choice":
                assert field.shown(field.default) in field.words
            elif field.kind != "switch":
                assert field.read(field.shown(field.default)) == field.default, (form.name, field.name)


@pytest.mark.parametrize(
    ("name", "typed", "sentence"),
    [
        ("betas", "0.9", "Betas can't be 0.9: it takes 2 numbers with commas between."),
        ("betas", "a, b", "Betas can't be 'a, b': it takes 2 numbers with commas between."),
        ("schedule_at", "1.5", "Falls before epochs can't be 1.5: it takes whole numbers with commas between."),
        ("learning_rate", "0", "Learning rate can't be 0: it takes a number above 0 and up to 10."),
        ("dropout", "1", "Dropout can't be 1: it takes a number from 0 and below 1."),
    ],
)
def test_what_can_not_be_is_said_in_a_sentence(name, typed, sentence):
    field = method_form("abmil").field(name)
    if field.kind == "text":
        with pytest.raises(TrainingError) as error:
            field.read(typed)
        assert str(error.value) == sentence
    else:
        assert field.problem(float(typed)) == sentence


def test_special_fields():
    fields = method_form("lrmil")
    assert fields.magnifications == (2, 2)
    assert fields.field("patch_learning_rate").read("") is None
    assert fields.field("patch_learning_rate").read("1e-3") == 1e-3
    aggregator = method_form("ainet").field("aggregator")
    assert aggregator.kind == "choice"
    assert {"attention", "transmil"} <= set(aggregator.choices)
    assert "zoommil" not in aggregator.choices
    assert aggregator.problem("zoommil")
    assert method_form("abmil").field("balanced").words[0] == "No"
    assert usual_mpps("abmil", 0.5, {}) == method_form("abmil").usual_mpps(0.5) == (0.5,)
    assert method_form("lrmil").usual_mpps(0.5) == (2.0, 0.5)
    assert method_form("zoommil").usual_mpps(0.5) == (2.0, 1.0, 0.5)
    assert usual_mpps("zoommil", 0.25, {"magnifications": 2}) == (0.5, 0.25)


def test_choices_are_kept_for_each_method():
    chosen = Chosen(method_form("abmil"))
    epochs, hidden, betas = (chosen.form.field(name) for name in ("epochs", "hidden", "betas"))
    assert chosen.given() == ({}, {})
    assert chosen.set(epochs, 3) == ""
    assert chosen.set(hidden, 64) == ""
    chosen.mpps = (0.5, 1.0)
    assert chosen.given() == ({"hidden": 64}, {"epochs": 3})
    assert chosen.set(epochs, 0).startswith("Epochs can't be 0")
    assert chosen.problem.startswith("Epochs")
    assert chosen.value(epochs) == 3
    assert chosen.set(epochs, epochs.default) == ""
    assert chosen.problem == ""
    assert chosen.given() == ({"hidden": 64}, {})
    chosen.refuse(betas, "No.")
    chosen.form = method_form("mean")
    assert (chosen.given(), chosen.problem, chosen.mpps) == (({}, {}), "", ())
    chosen.form = method_form("abmil")
    assert (chosen.problem, chosen.mpps) == ("No.", (1.0, 0.5))
    assert chosen.differs(betas)
    assert not chosen.differs(epochs)


def test_encoders_say_why_they_can_not_be_loaded(random_encoder, tmp_path):
    bundled, *others = encoder_choices()
    assert (bundled.name, bundled.mpp, bundled.problem) == ("bundled", 0.5, "")
    assert {choice.name for choice in others} >= {"uni", "phikon"}
    assert all(choice.problem.endswith(".") for choice in others if choice.problem)
    encoder, folder = random_encoder
    assert encoder_choice(folder).title.startswith(encoder.id)
    with pytest.raises(ModelError, match="no encoder"):
        encoder_choice(str(tmp_path / "nothing"))


def test_places_of_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    slides = tmp_path / "slides"
    slides.mkdir()
    assert runs_folder(slides) == slides / "training"
    documents = runs_folder(None)
    assert documents.parts[-2:] == ("napari-wsimil", "training")
    (slides / ".git").mkdir()
    assert runs_folder(slides) == documents, "runs do not belong into a repository"
    assert runs_folder(tmp_path / "gone") == documents
    day = date(2026, 11, 21)
    first = fresh_run(slides, "abmil", day)
    assert first == slides / "abmil-2026-11-21"
    first.mkdir()
    assert fresh_run(slides, "abmil", day).name == "abmil-2026-11-21-2"


def test_a_training_as_python_and_as_a_command(tmp_path):
    plan = TrainingPlan(
        manifest=tmp_path / "manifest.csv",
        method="zoommil",
        out=tmp_path / "run",
        mpps=(2.0, 0.5),
        store=tmp_path / "features",
        parameters={"selected": 4, "dual": False},
        settings={"epochs": 2, "betas": (0.9, 0.99), "balanced": "loss"},
        positive_class="tumour",
        title="Two words",
    )
    recipe = training_recipe(plan)
    names: dict = {}
    called: dict = {}

    def call(*arguments, **options):
        called.update(options, arguments=arguments)
        return SimpleNamespace(model="", metrics={})

    source = recipe.python.replace("import napari_wsimil as ws", "")
    exec(source, {"ws": SimpleNamespace(train=call), "print": lambda *_: None}, names)
    assert called["arguments"] == (str(plan.manifest), "zoommil", str(tmp_path / "run-again"))
    assert called["parameters"] == plan.parameters
    assert {**called["settings"], "betas": tuple(called["settings"]["betas"])} == plan.settings
    assert (called["mpps"], called["positive_class"], called["title"]) == ((2.0, 0.5), "tumour", "Two words")
    assert "encoder" not in called
    assert str(tmp_path / "run-again") in recipe.command
    assert _planned(training_command(plan, plan.out)) == plan


def _planned(command: str) -> TrainingPlan:
    """What the command line makes of it."""
    options = train.make_context("train", shlex.split(command)[2:]).params
    plan = training_plan(options["out"], options)
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in plan.settings.items()}
    return replace(plan, settings=settings, command="")


def state(phase, wanted="run", sentence=""):
    living = phase in ("starting", "running", "paused")
    return SimpleNamespace(phase=phase, wanted=wanted, sentence=sentence, living=living)


def buttons(desk):
    shown = desk.shown()
    return "".join(name[0] for name in ("start", "pause", "resume", "Stop") if getattr(shown, name.lower()))


def test_which_buttons_are_of_use_when():
    desk = RunDesk()
    assert (buttons(desk), desk.shown().said) == ("s", "")
    desk.refuse("Labels are missing.")
    assert desk.shown().wrong
    assert buttons(desk) == "s"
    desk.ask("start")
    assert (buttons(desk), desk.shown().said, desk.shown().wrong) == ("", "Starting…", False)
    desk.attach("train")
    assert buttons(desk) == ""
    desk.take(state("starting"))
    desk.take(state("running"))
    assert (buttons(desk), desk.shown().said[:9]) == ("pS", "Training.")
    desk.ask("pause")
    assert (buttons(desk), desk.shown().said) == ("rS", "Pausing after this step…")
    desk.take(state("running", "pause"))
    assert desk.shown().said == "Pausing after this step…"
    desk.take(state("paused", "pause"))
    assert (buttons(desk), desk.shown().said) == ("rS", "Paused.")
    desk.ask("resume")
    desk.take(state("paused", "run"))
    assert desk.shown().said == "Going on…"
    desk.take(state("running"))
    assert buttons(desk) == "pS"
    desk.ask("stop")
    assert (buttons(desk), desk.shown().said) == ("r", "Stopping after this step…")
    desk.take(state("stopped", "stop"))
    assert (buttons(desk), desk.shown().said) == ("sr", "Stopped; nothing is lost. Resume goes on.")
    desk.ask("resume")
    desk.take(state("stopped", "run"))
    assert desk.shown().said == "Going on…"
    desk.take(state("running"))
    desk.take(state("lost", sentence="It was ended from outside."))
    assert (buttons(desk), desk.shown().said, desk.shown().wrong) == ("sr", "It was ended from outside.", True)
    desk.ask("resume")
    desk.refuse("The disk is full.")
    assert (buttons(desk), desk.shown().said) == ("sr", "The disk is full.")
    desk.take(state("running"))
    assert not desk.shown().wrong
    desk.take(state("finished"))
    assert (buttons(desk), desk.shown().said) == ("s", "Finished.")
    desk.attach("fine-tune")
    desk.take(state("running"))
    assert desk.shown().said.startswith("Fine-tuning.")
    # asked for by another window
    desk.take(state("running", "stop"))
    assert (buttons(desk), desk.shown().said) == ("r", "Stopping after this step…")
    desk.attach(None)
    assert (buttons(desk), desk.shown().said) == ("s", "")


def test_a_run_that_can_not_start_leaves_nothing(tmp_path):
    from napari_wsimil.widgets.training.runs.deeds import find, manifest_place, start

    out = tmp_path / "training" / "abmil"
    plan = TrainingPlan(manifest=manifest_place(out), method="abmil", out=out)

    def write(path):
        path.write_text("slide,label\n/nowhere/a.h5,x\n/nowhere/b.h5,y\n", encoding="utf-8")

    with pytest.raises(TrainingError):
        start(SimpleNamespace(write=write), plan)
    assert list(tmp_path.iterdir()) == []
    out.mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="is not empty"):
        start(SimpleNamespace(write=write), plan)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    with pytest.raises(TrainingError, match="holds no run"):
        find(out)
