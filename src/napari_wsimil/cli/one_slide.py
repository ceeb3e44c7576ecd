"""A job on one slide in this process: a bar while it runs, a sentence where it fails."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from napari_wsimil.cli.console import BAD_INPUT, complain, to_json
from napari_wsimil.errors import WsimilError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_wsimil.inference import Progress


@contextmanager
def patch_bar(name: str) -> Iterator[Callable[[Progress], None]]:
    """A progress bar on standard error; what it gives is called with each `Progress`, and tells which part limits the speed."""
    from tqdm import tqdm

    from napari_wsimil.inference.progress import rates_text

    with tqdm(desc=name, unit="patch", file=sys.stderr, leave=False, delay=0.5) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total or None
            bar.set_postfix_str(rates_text(progress.rates) or progress.stage, refresh=False)
            bar.update(progress.done - bar.n)

        yield show


@contextmanager
def refusing(slide: Path, *, as_json: bool) -> Iterator[None]:
    """End with exit code 2 and one sentence where what is done inside can't be."""
    try:
        yield
    except WsimilError as error:
        complain(str(error))
        if as_json:
            click.echo(to_json([{"slide": str(slide), "error": str(error)}]))
        sys.exit(BAD_INPUT)
