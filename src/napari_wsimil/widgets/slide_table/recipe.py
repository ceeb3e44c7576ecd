"""A run over many slides, as Python and as a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil.widgets.recipes import Code, Recipe, command_line, python_call, python_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.widgets.slide_table.search import Source
    from napari_wsimil.widgets.slide_table.settings import RunSettings


def predicting_slides(
    source: Source, results: Path, settings: RunSettings, count: int, *, only: Sequence[str] | None, store: Path | None
) -> Recipe:
    """How the slides of a table were predicted.

    Parameters
    ----------
    count
        Slides that were predicted, for the title.
    only
        Their names, where not all were asked for.
    store
        Where features were kept.
    """
    options = {name: value for name, value in settings.options.as_json().items() if value not in (None, "")}
    how: dict[str, Any] = {
        "device": None if settings.device == "auto" else settings.device,
        "precision": None if settings.precision == "auto" else settings.precision,
        "store": store,
        "only": None if only is None else list(only),
    }
    slides = str(source) if isinstance(source, Path) else [str(path) for path in source]
    call = python_call(
        "predict_cohort",
        slides,
        settings.model,
        results,
        workers=0,
        options=Code(python_call("PatchOptions", **options)) if options else None,
        compiled=settings.compiled or None,
        **how,
    )
    command = command_line(
        "predict",
        *([slides] if isinstance(slides, str) else slides),
        model=settings.model,
        out=results,
        workers=0,
        overlap=options.get("overlap"),
        at=list(options.get("mpps") or ()),
        whole_slide=not options.get("tissue_only", True),
        stain=options.get("stain"),
        compile=settings.compiled,
        **how,
    )
    title = f"Predict {count:,} slide{'' if count == 1 else 's'}"
    return Recipe(title, python_script(f"result = {call}", "print(result.report)"), command)
