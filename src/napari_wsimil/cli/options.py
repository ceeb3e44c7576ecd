"""Options that commands share: which patches of a slide are looked at, and what is done to them."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_wsimil.inference.options import Outlines

    Command = TypeVar("Command", bound=Callable[..., Any])


class Inside(click.Path):
    """A file, a folder, or outlines as WKT."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Give a path, or outlines as `PatchOptions` takes them."""
        if isinstance(value, str) and value.upper().startswith(("POLYGON", "MULTIPOLYGON")) and "(" in value:
            from napari_wsimil.annotations.outlines import outlines_from_wkt

            return outlines_from_wkt(value)
        return super().convert(value, parameter, context)


_OVERLAP = click.option(
    "--overlap",
    type=click.FloatRange(0, 0.95, max_open=True),
    help="Share of its side that a patch has in common with the next: 0.5 looks four times as often, for a smoother heatmap.  "
    "[default: as the model was trained]",
)
_AT = click.option(
    "--at",
    "mpps",
    type=click.FloatRange(0.01, 100),
    multiple=True,
    help="µm per pixel at which the model looks; give it again for more, whose probabilities are averaged.  "
    "[default: as the model was trained]",
)
_WHOLE = click.option("--whole-slide", is_flag=True, help="Look wherever there is slide, not at tissue only.")
_INSIDE = click.option(
    "--inside",
    type=Inside(path_type=Path, exists=True),
    help="Look only inside the regions of this annotation file (GeoJSON from QuPath, XML from ASAP), or of the file named as "
    'the slide in this folder; or inside outlines in pixels of the finest level, "POLYGON ((0 0, 900 0, 900 700, 0 0))".',
)
_STAIN = click.option(
    "--stain",
    type=click.Choice(["none", "macenko", "reinhard"]),
    default="none",
    show_default=True,
    help="Bring the stain of each slide to a reference first.",
)


def patch_options(command: Command) -> Command:
    """Give a command that predicts --overlap, --at, --whole-slide, --inside and --stain, as one argument `options`."""
    return _with_options(command, (_OVERLAP, _AT, _WHOLE, _INSIDE, _STAIN))


def extraction_options(command: Command) -> Command:
    """Give a command that extracts --whole-slide, --inside and --stain, as one argument `options`; it has its own --stride."""
    return _with_options(command, (_WHOLE, _INSIDE, _STAIN))


def _with_options(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    @wraps(command)
    def gathered(
        *arguments: Any,
        overlap: float | None = None,
        mpps: tuple[float, ...] = (),
        whole_slide: bool,
        inside: Path | Outlines | None,
        stain: str,
        **others: Any,
    ) -> Any:
        from napari_wsimil.inference.options import PatchOptions

        chosen = PatchOptions.from_json(
            {"overlap": overlap or 0.0, "mpps": mpps or None, "tissue_only": not whole_slide, "inside": inside, "stain": stain}
        )
        return command(*arguments, options=chosen, **others)

    for option in reversed(options):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]
