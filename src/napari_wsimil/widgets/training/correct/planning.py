"""From what is corrected to a run in the background; all of it takes long, so call it off the GUI thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil.annotations.classes import same_name
from napari_wsimil.errors import TrainingError, WsimilError
from napari_wsimil.widgets.annotate.keeping import keep_draft, offered_file
from napari_wsimil.widgets.training.correct.corrected import teaches
from napari_wsimil.widgets.training.correct.recipe import correcting_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.slides import Slide
    from napari_wsimil.training.corrections import Correction
    from napari_wsimil.widgets.annotate.class_book import ClassBook
    from napari_wsimil.widgets.annotate.region_layer import Drawn
    from napari_wsimil.widgets.recipes import Recipe
    from napari_wsimil.widgets.training.correct.corrected import CorrectedSlide

RUNS = "corrections"
"""Folder of the runs, in that of what the program remembers."""


@dataclass(frozen=True)
class OnSlide:
    """What is drawn on a slide that is open, and the file that holds just that, if one does."""

    slide: Slide
    drawn: Drawn
    saved: Path | None


@dataclass(frozen=True)
class Wish:
    """What Fine-tune was pressed for.

    Attributes
    ----------
    model
        For `load_model`.
    classes
        Its own.
    slides
        What is corrected.
    open
        Fingerprint -> what is drawn there; others are read from their files.
    book
        Colours of the files.
    tune, rehearsal
        See `correction_plan`.
    settings
        What differs from the usual ones; "strength" is a factor of the learning rate.
    keep
        Whether features are read from, and go to, the folder of the window's kept features.
    out
        Folder of the run; None: a new one.
    """

    model: str
    classes: tuple[str, ...]
    slides: tuple[CorrectedSlide, ...]
    open: Mapping[str, OnSlide]
    book: ClassBook
    tune: Any
    rehearsal: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    keep: bool = True
    out: Path | None = None


@dataclass(frozen=True)
class Usual:
    """What is usual for a model: its old slides in words, what changes, and how many epochs a correction takes."""

    words: str
    tune: str
    epochs: int


def start(wish: Wish) -> tuple[Any, Recipe]:
    """Write marks down, plan, and start; returns the `BackgroundRun`, and how to do it again.

    Raises
    ------
    WsimilError
        Something can't be used; one sentence says what.
    """
    from napari_wsimil.bags.store import default_store_folder
    from napari_wsimil.training.background import start_run
    from napari_wsimil.training.corrections import correction_plan

    settings = settings_of(wish)
    plan = correction_plan(
        wish.model,
        corrections_of(wish),
        new_folder(wish.model) if wish.out is None else wish.out,
        tune=wish.tune,
        rehearsal=wish.rehearsal,
        settings=settings,
        store=default_store_folder() if wish.keep else None,
    )
    return start_run(plan), correcting_recipe(wish, settings, plan.out, plan.manifest)


def settings_of(wish: Wish) -> dict[str, Any]:
    """What differs from the usual settings, as fine-tuning has it."""
    from napari_wsimil.training.corrections.defaults import LEARNING_RATES

    settings = {name: value for name, value in wish.settings.items() if name != "strength"}
    strength = wish.settings.get("strength", 1.0)
    if strength != 1.0:
        settings["learning_rate"] = LEARNING_RATES[wish.tune] * strength
    return settings


def corrections_of(wish: Wish) -> list[Correction]:
    """What the model can learn from, slide by slide; unsaved marks are kept in the cache first.

    Raises
    ------
    TrainingError
        A slide, or the marks on it, are gone.
    """
    from napari_wsimil.training.corrections import Correction

    known = [same_name(name) for name in wish.classes]
    found = []
    for one in wish.slides:
        label = one.label if one.label is not None and same_name(one.label) in known else None
        useful = any(teaches(name, wish.classes) for name in one.marks)
        if label is None and not useful:
            continue
        if not one.path.exists():
            raise TrainingError(f"The corrected slide {one.path} is gone; bring it back, or remove it from the list.")
        found.append(Correction(one.path, _marks_of(one, wish) if one.marks else None, label, mpp=one.mpp))
    return found


def _marks_of(one: CorrectedSlide, wish: Wish) -> Path:
    """The file with the marks of a slide."""
    shown = wish.open.get(one.fingerprint)
    if shown is not None:
        path = shown.saved or keep_draft(shown.drawn, shown.slide, wish.book)
        if path is not None:
            return path
    path = marks_file(one)
    if path is None:
        raise TrainingError(
            f"The marks on {one.name} are gone: they were deleted or not saved; mark it again, or remove it from the list."
        )
    return path


def marks_file(one: CorrectedSlide) -> Path | None:
    """Where the marks of a slide that is not open lie: those not saved yet, else the file that they were saved to."""
    found = offered_file(one)
    if one.file is not None and one.file.is_file() and (found is None or one.file.parent != found.parent):
        return one.file
    return found


def new_folder(model: str) -> Path:
    """A folder for a run, named by the time; it is not there yet."""
    from napari_wsimil.packages.places import safe_name
    from napari_wsimil.training.background.recent import state_folder

    name = Path(model).parent.name if Path(model).name == "model" else Path(model).name
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d %H.%M.%S")
    return state_folder() / RUNS / f"{stamp} {safe_name(name.split(' ')[-1])}"


def usual_for(model: str) -> Usual:
    """What is usual for a model; bad input is told in words."""
    from napari_wsimil.packages import load_model
    from napari_wsimil.training.corrections import usual_rehearsal, usual_validation
    from napari_wsimil.training.corrections.defaults import SETTINGS, TUNE
    from napari_wsimil.training.fine_tuning.old_slides import judging, rehearsed

    usual: dict[str, Any] = {"tune": TUNE, "epochs": int(SETTINGS["epochs"])}
    known = usual_rehearsal(model)
    if known is None:
        words = (
            "The slides that this model was trained on are not known here: it may forget what it learned from them. Choose a "
        )
        return Usual(words + "manifest of slides that it does well on.", **usual)
    if not known.manifest.is_file():
        return Usual(known.notice or "Its old slides are made when they are needed.", **usual)
    try:
        loaded = load_model(model)
        old = sum(len(part.cases) for part in rehearsed(known.manifest, loaded.classes)[0])
        by = usual_validation(loaded)
        judges = 0 if by is None or not by.is_file() else len(judging(by, loaded.classes)[0].cases)
    except WsimilError as error:
        return Usual(f"The slides that this model was trained on can't be read: {error}", **usual)
    shown = "1 slide that it was trained on is" if old == 1 else f"{old:,} slides that it was trained on are"
    words = f"{shown} shown again; {judges:,} {'other judges' if judges == 1 else 'others judge'} before and after."
    return Usual(f"{words} {known.notice}".strip(), **usual)


def drawn_on_open(slides: Sequence[CorrectedSlide], board: Any, open_slides: Mapping[str, Slide]) -> dict[str, OnSlide]:
    """What is drawn on those slides that have a layer to draw on now; to be called in the GUI thread."""
    from napari_wsimil.widgets.annotate.region_layer import drawn_on, is_drawn_on

    found = {}
    for one in slides:
        slide = open_slides.get(one.fingerprint)
        if slide is not None and is_drawn_on(board.viewer, slide):
            saved = board.files.get(one.fingerprint) if one.fingerprint not in board.dirty else None
            found[one.fingerprint] = OnSlide(slide, drawn_on(board.viewer, slide), saved)
    return found
