"""Values that commands take: places on a slide, and tables to write."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

# click made its types generic later than the oldest one that is good enough here
if TYPE_CHECKING:
    _Value = click.ParamType[Any]
else:
    _Value = click.ParamType


class _Numbers(_Value):
    """Level-0 pixels with commas between them."""

    name = "numbers"
    letters: tuple[str, ...]
    example: str

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[float, ...]:
        """Read as many finite numbers as there are letters."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != len(self.letters) or not all(map(isfinite, numbers)):
            form = ",".join(self.letters)
            self.fail(
                f"{value!r} is no {self.name}; give level-0 pixels as {form}, for example {self.example}.", parameter, context
            )
        return numbers

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """What stands in the help."""
        return ",".join(self.letters)


class Point(_Numbers):
    """A point, for example "12000,8500"."""

    name = "point"
    letters = ("X", "Y")
    example = "12000,8500"


class Region(_Numbers):
    """A region, for example "4000,4000,9000,8000"."""

    name = "region"
    letters = ("X0", "Y0", "X1", "Y1")
    example = "4000,4000,9000,8000"


class CsvFile(click.Path):
    """A CSV to write: a file of another kind, a prediction say, is not replaced by a slip of the keyboard."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Give a path that ends in .csv."""
        if Path(value).suffix.lower() != ".csv":
            self.fail(f"{value!r} is no name for a table; let it end in .csv.", parameter, context)
        return super().convert(value, parameter, context)
