"""A correction as Python and as a command; both do it again, beside the run, which is not touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_wsimil.widgets.recipes import Code, Recipe, command_line, python_call, python_script

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.widgets.training.correct.planning import Wish

READING = "from napari_wsimil.training.corrections.reading import read_corrections"


def correcting_recipe(wish: Wish, settings: dict[str, Any], folder: Path, manifest: Path) -> Recipe:
    """How a model was corrected.

    Parameters
    ----------
    wish
        What Fine-tune was pressed for.
    settings
        Those that differ from the usual ones.
    folder, manifest
        Of the run, and the table of corrections in it.
    """
    again = folder.with_name(f"{folder.name}-again")
    corrections = Code(f"read_corrections(Path({str(manifest)!r}))")
    # None as text: `python_call` leaves options out that are None
    rehearsal = Code("None") if wish.rehearsal is None else wish.rehearsal
    options = {"tune": wish.tune, "rehearsal": rehearsal, "settings": settings or None}
    call = python_call("correct", wish.model, corrections, again, **options)
    given = {"from": wish.model, "out": again, "tune": wish.tune, "rehearsal": wish.rehearsal or "none"}
    command = command_line(
        "correct", manifest=manifest, **given, set=[f"{name}={json.dumps(value)}" for name, value in settings.items()]
    )
    python = python_script(f"run = {call}", "print(run.model, run.metrics)")
    return Recipe(f"Correct {wish.model}", f"from pathlib import Path\n\n{READING}\n{python}", command)
