"""What was done in the window, as Python and as a command: the same names, the same defaults, the same result."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any


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
        One line for a shell that does it again.
    """

    title: str
    python: str
    command: str


def python_call(function: str, *arguments: Any, **options: Any) -> str:
    """`ws.function(...)` with every argument written out; options that are None are left out."""
    parts = [*map(_literal, arguments), *(f"{name}={_literal(value)}" for name, value in options.items() if value is not None)]
    return f"ws.{function}({', '.join(parts)})"


def python_script(*lines: str) -> str:
    """Lines of Python with the import before them."""
    return "\n".join(["import napari_wsimil as ws", "", *lines, ""])


def command_line(verb: str, *arguments: Any, **options: Any) -> str:
    """`napari-wsimil verb ...`: True is a flag, None and False are left out, a list repeats its option."""
    words = ["napari-wsimil", *verb.split(), *map(str, arguments)]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is True:
                words.append(flag)
            elif item is not None and item is not False:
                words += [flag, str(item)]
    return shlex.join(words)


class Code(str):
    """An argument that is Python already, not a text."""

    __slots__ = ()


def _literal(value: Any) -> str:
    if isinstance(value, Code):
        return str(value)
    return repr(value if isinstance(value, bool | int | float | str | list | tuple | dict | None) else str(value))
