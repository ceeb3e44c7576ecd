"""Many slides on the command line: the options of both verbs, their progress, and how they end."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import click

from napari_wsimil.cli.console import BAD_INPUT, complain
from napari_wsimil.errors import SlideWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_wsimil.cohorts import CohortEvent, CohortResult, Record

    Command = TypeVar("Command", bound=Callable[..., Any])

SLIDES_HELP = "SLIDE|FOLDER|LIST.txt|MANIFEST.csv..."
MOST_SHOWN = 3
"""Slides in hand that the progress bar names."""

_OPTIONS = (
    click.option(
        "--workers",
        type=click.IntRange(0),
        help="Processes on this computer, which share its cores and have one GPU each; 0: no other process.  "
        "[default: one for each GPU, or one; none for a single slide]",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Use the workers of this running Dask scheduler (tcp://HOST:8786, or its scheduler file), one slide each. "
        "They must see slides, model and results under the same paths.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0),
        default=2,
        show_default=True,
        help="Further attempts at a slide when a disk in the network failed for a moment, memory ran out or its worker died.",
    ),
    click.option("--skip-failed", is_flag=True, help="Leave slides that failed in an earlier run; else they are tried again."),
)

_COMPUTING = (
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
        default="auto",
        show_default=True,
        help="Numbers that the encoder computes in; auto: what is clearly faster here and gives nearly the same features.",
    ),
    click.option(
        "--compile", "compiled", is_flag=True, help="Compile the encoder first (torch.compile), worth it for many slides."
    ),
    click.option("--batch-size", type=click.IntRange(1), help="Patches at once.  [default: found while running]"),
)


def cohort_options(command: Command) -> Command:
    """Give a command --workers, --scheduler, --retries and --skip-failed."""
    return _all(command, _OPTIONS)


def computing_options(command: Command) -> Command:
    """Give a command --precision, --compile and --batch-size."""
    return _all(command, _COMPUTING)


def _all(command: Command, options: tuple[Callable[[Any], Any], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


class CohortBar:
    """Called with events: a bar over slides that tells what is in hand, and a line for each slide that ended.

    Parameters
    ----------
    text
        Puts a record in lines for people; None: slides that are done get none.
    """

    def __init__(self, text: Callable[[Record], str] | None) -> None:
        from tqdm import tqdm

        self._text = text
        self._bar = tqdm(desc="slides", unit="slide", file=sys.stderr, leave=False, delay=0.5)
        self._in_hand: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> CohortBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, event: CohortEvent) -> None:
        """Show an event."""
        if event.kind == "begin":
            self._begin(event)
        elif event.kind == "started":
            self._in_hand[event.name] = (event.name, 0.0)
        elif event.kind == "progress":
            done = f" {event.patches}/{event.of}" if event.of else ""
            self._in_hand[event.name] = (f"{event.name}{done}", event.rate)
        elif event.kind in ("done", "failed", "again"):
            self._in_hand.pop(event.name, None)
            self._ended(event)
        elif event.kind == "notice":
            self._say(event.text)
        self._show(event)

    def _begin(self, event: CohortEvent) -> None:
        self._bar.total = event.total
        self._bar.initial = event.done + event.failed
        if event.done or event.failed:
            skipped = f" and {event.failed} that failed are left as they are" if event.failed else ""
            self._say(f"{event.done} of {event.total} slides are done already{skipped}.")

    def _ended(self, event: CohortEvent) -> None:
        record = event.record
        if event.kind == "again" or record is None:
            self._say(event.text)
        elif record.status == "failed":
            self._say(record.error)
        else:
            with self._bar.external_write_mode(file=sys.stderr):
                if self._text is not None:
                    click.echo(self._text(record))
                for notice in record.notices:
                    warnings.warn(notice, SlideWarning, stacklevel=1)

    def _say(self, sentence: str) -> None:
        with self._bar.external_write_mode(file=sys.stderr):
            complain(sentence)

    def _show(self, event: CohortEvent) -> None:
        shown = [text for text, _ in self._in_hand.values()]
        more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
        rate = sum(rate for _, rate in self._in_hand.values())
        speed = f", {rate:.0f} patches/s" if rate else ""
        self._bar.set_postfix_str(f"{', '.join(shown[:MOST_SHOWN])}{more}{speed}", refresh=False)
        if event.total:
            self._bar.update(event.done + event.failed - self._bar.n)


def describe_record(record: Record, folder: Path) -> dict[str, Any]:
    """Return JSON-able facts of a slide of a cohort, named as those of a single slide."""
    if record.status == "failed":
        return {"slide": record.slide, "name": record.name, "error": record.error, "attempts": record.attempts}
    prediction = {
        "predicted_class": record.predicted_class,
        "probabilities": record.probabilities,
        "calibration": record.calibration,
    }
    return {
        "slide": record.slide,
        "name": record.name,
        **(prediction if record.predicted_class is not None else {}),
        "patches": record.patches,
        "encoded": record.encoded,
        "seconds": record.seconds,
        "attempts": record.attempts,
        "files": [str(path) for path in record.paths(folder)],
    }


def finish(result: CohortResult, *, quiet: bool) -> None:
    """Tell how a cohort ended; exit code 2 where a slide failed."""
    if not quiet:
        failed = f", {len(result.failed)} failed" if result.failed else ""
        written = ", ".join(str(path) for path in (result.table, result.report) if path.is_file())
        many = "" if len(result.done) == 1 else "s"
        click.echo(f"{len(result.done)} slide{many} done{failed}\n  wrote {written}")
    if result.failed:
        sys.exit(BAD_INPUT)
