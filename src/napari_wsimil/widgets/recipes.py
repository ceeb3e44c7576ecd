"""What was done in the window, as Python and as a command: the same names, the same defaults, the same result.

A prediction tells itself how it was made (`SlidePrediction.provenance`), so that one that was opened from a file has a recipe
as well.
"""

from __future__ import annotations

import os
import re
import shlex
import textwrap
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil.cohorts.slides import find_slides
from napari_wsimil.errors import WsimilError
from napari_wsimil.exports import export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wsimil.inference import SlidePrediction

LONGEST_LINE = 100
"""A longer call gets one line for each argument."""

PREDICTION_SUFFIX = ".prediction.h5"
HERE = "."
_NEEDS_NO_QUOTES = re.compile(r"[\w./:\\+@=,-]+", re.ASCII)


@dataclass(frozen=True)
class Recipe:
    """Something that was done.

    Attributes
    ----------
    title
        For a menu, for example "Predict slide.svs".
    python
        A script that does it again, imports included.
    command
        A line for a shell that does it again, or several, one after the other.
    """

    title: str
    python: str
    command: str


class Code(str):
    """An argument that is Python already, not a text."""

    __slots__ = ()


def python_call(function: str, *arguments: Any, **options: Any) -> str:
    """`ws.function(...)` with every argument written out; options that are None are left out."""
    parts = [*map(_literal, arguments), *(f"{name}={_literal(value)}" for name, value in options.items() if value is not None)]
    line = f"ws.{function}({', '.join(parts)})"
    if len(line) <= LONGEST_LINE or len(parts) < 2:
        return line
    indented = textwrap.indent("".join(f"{part},\n" for part in parts), "    ")
    return f"ws.{function}(\n{indented})"


def python_script(*lines: str) -> str:
    """Lines of Python with the import before them."""
    return "\n".join(["import napari_wsimil as ws", "", *lines, ""])


def command_line(verb: str, *arguments: Any, windows: bool = os.name == "nt", **options: Any) -> str:
    """`napari-wsimil verb ...`: True is a flag, None and False are left out, a list repeats its option.

    Quoted for cmd and PowerShell where `windows`, else for the shells of Unix.
    """
    words = ["napari-wsimil", *verb.split(), *map(str, arguments)]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is True:
                words.append(flag)
            elif item is not None and item is not False:
                words += [flag, str(item)]
    return " ".join(map(_for_windows, words)) if windows else shlex.join(words)


def predicting(prediction: SlidePrediction, **how: Any) -> Recipe:
    """How a prediction was made; both ways leave it in the current folder.

    Parameters
    ----------
    prediction
        Its provenance tells slide, model and options.
    how
        What else `ws.predict` was given: device, store, precision, compiled.
    """
    name = saved_name(prediction)
    python = (f"prediction = {_predict_call(prediction, how)}", f"prediction.save({_literal(name)})")
    return Recipe(
        f"Predict {_slide_path(prediction).name}",
        python_script(*python, "print(prediction.probabilities)"),
        _predict_command(prediction, how, HERE),
    )


def following(
    title: str, prediction: SlidePrediction, python: Sequence[str], verb: str, /, *arguments: Any, **options: Any
) -> Recipe:
    """Something that was done with a prediction: how to get the prediction, and then that.

    Parameters
    ----------
    title
        For a menu, for example "Export slide.geojson".
    prediction
        Is read from its file where it was saved or opened, and else predicted again.
    python
        Lines that use the name `prediction`.
    verb, arguments, options
        For `command_line`, which gets the file of the prediction as the first argument.
    """
    getting, commands, file = _getting("prediction", prediction, HERE)
    then = command_line(verb, file, *arguments, **options)
    return Recipe(title, python_script(getting, *python), "\n".join([*commands, then]))


def following_two(
    title: str,
    first: SlidePrediction,
    second: SlidePrediction,
    python: Sequence[str],
    verb: str,
    *arguments: Any,
    **options: Any,
) -> Recipe:
    """As `following`, of two predictions: the lines use the names `first` and `second`, the command gets both files."""
    getting = [_getting(name, one, name) for name, one in (("first", first), ("second", second))]
    commands = [line for _, lines, _ in getting for line in lines]
    then = command_line(verb, *(file for _, _, file in getting), *arguments, **options)
    return Recipe(title, python_script(*(line for line, _, _ in getting), *python), "\n".join([*commands, then]))


def exporting(prediction: SlidePrediction, path: str | Path, **options: Any) -> Recipe:
    """How a prediction was exported; of the `options` of `ws.export` those that are its defaults are left out."""
    path = Path(path)
    usual = signature(export).parameters
    options = {name: value for name, value in options.items() if value != usual[name].default}
    if path.name.lower().endswith(PREDICTION_SUFFIX):
        line = f"prediction.save({_literal(path)})"
        return Recipe(f"Save {path.name}", *_saving(prediction, line, path))
    line = python_call("export", Code("prediction"), path, **options)
    return following(f"Export {path.name}", prediction, [line], "export", out=path, **options)


def note_file(prediction: SlidePrediction, path: str | Path) -> None:
    """Remember in which file a prediction lies, as long as the prediction lives."""
    known = id(prediction)
    _FILES[known] = Path(path).absolute()
    weakref.finalize(prediction, _FILES.pop, known, None)


def file_of(prediction: SlidePrediction) -> Path | None:
    """The file that a prediction was saved to or opened from, where it is still there."""
    path = _FILES.get(id(prediction))
    return path if path is not None and path.exists() else None


def saved_name(prediction: SlidePrediction) -> str:
    """What the command `predict` calls the file of a prediction."""
    path = _slide_path(prediction)
    try:
        return find_slides(path)[0].name + PREDICTION_SUFFIX
    except WsimilError:
        return path.stem + PREDICTION_SUFFIX


_FILES: dict[int, Path] = {}


def _getting(name: str, prediction: SlidePrediction, folder: str) -> tuple[str, list[str], str]:
    """The line of Python that makes a prediction the value of `name`; the commands that make its file; and the file."""
    file = file_of(prediction)
    if file is not None:
        return f"{name} = {python_call('load_prediction', file)}", [], str(file)
    made = saved_name(prediction) if folder == HERE else str(Path(folder) / saved_name(prediction))
    return f"{name} = {_predict_call(prediction, {})}", [_predict_command(prediction, {}, folder)], made


def _saving(prediction: SlidePrediction, line: str, path: Path) -> tuple[str, str]:
    # `predict` names the file itself, after the slide: the folder is the user's choice, and the name may differ
    python = python_script(f"prediction = {_predict_call(prediction, {})}", line)
    return python, _predict_command(prediction, {}, str(path.parent))


def _slide_path(prediction: SlidePrediction) -> Path:
    return Path(str(prediction.provenance.get("slide", {}).get("path", "slide"))).absolute()


def _typed_mpp(prediction: SlidePrediction) -> float | None:
    """The pixel size, where the user typed it in: one number for both sides."""
    slide = prediction.provenance.get("slide", {})
    mpp = slide.get("mpp")
    typed = slide.get("mpp_source") == "user" and mpp and mpp[0] == mpp[1]
    return float(mpp[0]) if typed else None


def model_source(prediction: SlidePrediction) -> str:
    """What `load_model` takes; a folder by its whole path."""
    about = prediction.provenance.get("model", {})
    source = str(about.get("source") or about.get("id") or "bundled")
    folder = Path(source).expanduser()
    return str(folder.absolute()) if source != "bundled" and folder.is_dir() else source


def _options(prediction: SlidePrediction) -> Mapping[str, Any]:
    """What differs from the defaults of `PatchOptions`."""
    found = prediction.provenance.get("patches", {}).get("options")
    return found if isinstance(found, Mapping) else {}


def _predict_call(prediction: SlidePrediction, how: Mapping[str, Any]) -> str:
    options = _options(prediction)
    return python_call(
        "predict",
        _slide_path(prediction),
        model_source(prediction),
        mpp=_typed_mpp(prediction),
        options=Code(python_call("PatchOptions", **options)) if options else None,
        **_unlike_defaults(how),
    )


def _predict_command(prediction: SlidePrediction, how: Mapping[str, Any], folder: str) -> str:
    from napari_wsimil.annotations.outlines import outlines_as_wkt  # with shapely and more, which the job has loaded

    options = _options(prediction)
    inside = options.get("inside")
    given: dict[str, Any] = {
        "model": model_source(prediction),
        "out": folder,
        "mpp": _typed_mpp(prediction),
        "overlap": options.get("overlap"),
        "at": list(options.get("mpps") or ()),
        "whole_slide": not options.get("tissue_only", True),
        "inside": inside if inside is None or isinstance(inside, str) else outlines_as_wkt(inside),
        "stain": options.get("stain"),
    }
    how = {"compile" if name == "compiled" else name: value for name, value in _unlike_defaults(how).items()}
    return command_line("predict", _slide_path(prediction), **given, **how)


def _unlike_defaults(how: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in how.items() if value not in (None, False, "auto")}


def _for_windows(word: str) -> str:
    if _NEEDS_NO_QUOTES.fullmatch(word):
        return word
    # before a quote backslashes count double; elsewhere they are what they are
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', word)
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


def _literal(value: Any) -> str:
    """Python for a value; numbers of NumPy are plain numbers, paths are texts."""
    if isinstance(value, Code):
        return str(value)
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, list | tuple):
        inside = ", ".join(map(_literal, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    text = repr(str(value))
    return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text else text
