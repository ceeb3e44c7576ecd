"""The command `inspect`: what a saved prediction says of one place, at every magnification."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from napari_wsimil.cli.console import as_json_option, file_path, to_json
from napari_wsimil.cli.values import Point

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.inference.levels import Family, SeenPatch


@click.command()
@click.argument("prediction", type=file_path)
@click.option("--point", type=Point(), required=True, help="Where: level-0 pixels from the top-left corner.")
@click.option(
    "--mpp",
    type=click.FloatRange(0, min_open=True),
    help="Whose children: µm per pixel.  [default: the second finest that has a patch there]",
)
@as_json_option
def inspect(prediction: Path, point: tuple[float, float], mpp: float | None, *, as_json: bool) -> None:
    """Tell what a saved PREDICTION says of one place: the patch there at each magnification, its scores, its children."""
    from napari_wsimil.inference import load_prediction
    from napari_wsimil.inference.levels import patch_family

    loaded = load_prediction(prediction)
    found = patch_family(loaded, *point, mpp=mpp)
    click.echo(to_json(_described(found)) if as_json else _text(found, loaded.positive_class))


def _described(family: Family) -> dict[str, object]:
    return {
        "mpp": family.focus,
        "patches": [None if seen is None else asdict(seen) for seen in family.seen.values()],
        "children": [asdict(seen) for seen in family.children],
    }


def _text(family: Family, positive_class: str) -> str:
    lines = []
    for mpp, seen in family.seen.items():
        lines.append(f"{mpp:g} µm/px  {'no patch here' if seen is None else _scores(seen, positive_class)}")
        if mpp == family.focus and family.children:
            lines.append(f"  {len(family.children)} patches in it at {family.children[0].patch.mpp:g} µm/px:")
            lines += [f"    {_scores(child, positive_class)}" for child in family.children]
    return "\n".join(lines)


def _scores(seen: SeenPatch, positive_class: str) -> str:
    patch, parts = seen.patch, []
    if seen.attention is not None and seen.percentile is not None:
        parts.append(f"attention {seen.attention:.3g} (percentile {100 * seen.percentile:.0f})")
    if seen.probability is not None:
        parts.append(f"{positive_class} {seen.probability:.3f}")
    if seen.zoom is not None:
        parts.append(f"zoomed into, score {seen.zoom:.3g}")
    return f"({patch.x:.0f}, {patch.y:.0f}) + {patch.size_level0:.0f} px: {', '.join(parts) or 'no scores'}"
