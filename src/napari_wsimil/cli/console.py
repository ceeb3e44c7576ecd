"""How the command line speaks: one line for whatever goes wrong."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.errors import CodeWarning, SlideWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

BAD_INPUT = 2
INTERRUPTED = 130


def complain(sentence: str) -> None:
    """Print one line on standard error."""
    click.echo(f"napari-wsimil: {sentence}", err=True)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show what a slide or an encoder warns of as one line, once, without file and line of the program."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", SlideWarning)
        warnings.simplefilter("always", CodeWarning)
        usual, said = warnings.showwarning, set[str]()

        def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if not issubclass(category, SlideWarning | CodeWarning):
                usual(message, category, *rest, **named)
            elif str(message) not in said:
                said.add(str(message))
                complain(str(message))

        warnings.showwarning = show
        yield
