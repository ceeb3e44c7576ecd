"""The command line: `napari-wsimil`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from napari_wsimil.cli.commands import commands
from napari_wsimil.cli.console import BAD_INPUT, INTERRUPTED, complain, plain_warnings
from napari_wsimil.errors import WsimilError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends in one sentence and exit code 2, Ctrl-C in 130."""
    with plain_warnings():
        try:
            commands.main(arguments, standalone_mode=False)
        except (click.exceptions.Abort, KeyboardInterrupt):
            complain("interrupted; nothing was left half-written.")
            sys.exit(INTERRUPTED)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except WsimilError as error:
            complain(str(error))
            sys.exit(BAD_INPUT)
        except OSError as error:
            complain(f"{error.filename or 'a file'} can't be read or written ({error.strerror or error}).")
            sys.exit(BAD_INPUT)
