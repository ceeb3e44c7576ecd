"""How the command line speaks: one line for whatever goes wrong, and what commands have in common."""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.errors import CodeWarning, SlideWarning, WsimilError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BAD_INPUT = 2
INTERRUPTED = 130

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for other programs.")
file_path = click.Path(path_type=Path)
folder_path = click.Path(path_type=Path, file_okay=False)


def complain(sentence: str) -> None:
    """Print one line on standard error; names of files may hold line breaks."""
    click.echo(f"napari-wsimil: {' '.join(sentence.splitlines())}", err=True)


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


def to_json(document: Any) -> str:
    """Return the text of a JSON document."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def check_formats(formats: Sequence[str]) -> None:
    """Refuse a format that does not exist before any work is done."""
    from napari_wsimil.exports import FORMATS

    for name in formats:
        if name not in FORMATS:
            raise click.UsageError(f"There is no export format {name!r}; choose from {', '.join(FORMATS)}.")


def make_folder(folder: Path) -> None:
    """Make a folder for results, or say why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WsimilError(f"{folder} can't be made ({error.strerror}); choose another folder.") from error
