"""The command `manifest`: a list of slides to train on, made of a folder or checked, before any training."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import BAD_INPUT, as_json_option, complain, file_path, to_json
from napari_wsimil.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.training.data.drafting import Draft, SplitCount

share = click.FloatRange(0, 1, max_open=True)


@click.command()
@click.argument("source", metavar="FOLDER|MANIFEST.csv", type=file_path)
@click.option("--out", type=file_path, help="CSV to write.  [default: only tell what is wrong]")
@click.option("--overwrite", is_flag=True, help="Write over OUT where it is there already.")
@click.option(
    "--labels-from",
    "labels",
    type=click.Choice(["auto", "folders", "none"]),
    default="auto",
    show_default=True,
    help="Of a folder: whether the names of the folders in it are the labels; auto: where that can be meant.",
)
@click.option("--validation", type=share, help="Share of the slides that choose the epoch, dealt out anew.  [default: 0.15]")
@click.option("--test", type=share, help="Share of the slides that are tested on, once, dealt out anew.  [default: 0.15]")
@click.option("--seed", type=click.IntRange(0), help="Another number, dealt out another way.")
@as_json_option
def manifest(source: Path, out: Path | None, labels: Any, *, overwrite: bool, as_json: bool, **deal: Any) -> None:
    """List the slides of a folder, or check a manifest: tells whatever a training would refuse, and what to do.

    Slides, feature files (.h5, .pt) or folders of patch images are found in FOLDER and all folders in it. The splits of a
    manifest stay as they are; where it has none, patients are dealt out to train, validation and test. Exit code 2 where a
    training would refuse the list; OUT is written all the same.
    """
    from napari_wsimil.training.data.drafting import draft_manifest

    if out is not None and out.exists() and not overwrite:
        raise TrainingError(f"{out} is there already; choose another name, or give --overwrite.")
    draft = draft_manifest(source, labels=labels)
    if any(value is not None for value in deal.values()):
        draft.deal(**deal)
    found = draft.examine()
    written = draft.write(out) if out is not None else None
    click.echo(to_json(_described(draft, written)) if as_json else _text(draft, written))
    if not as_json:
        for sentence in (*draft.notices, *(problem.sentence for problem in found.problems)):
            complain(sentence)
    if not found.ready:
        sys.exit(BAD_INPUT)


def _text(draft: Draft, written: Path | None) -> str:
    from napari_wsimil.training.data.drafting.words import counts_text

    lines = [counts_text(draft)]
    for side in draft.split_table():
        classes = ", ".join(f"{label} {count.slides:,}" for label, count in sorted(side.classes.items()) if label)
        slides, patients = side.whole.slides, side.whole.patients
        whole = f"{slides:,} slide{'s' * (slides != 1)} of {patients:,} patient{'s' * (patients != 1)}"
        lines.append(f"  {side.name or 'no side'}: {whole} ({classes or 'none'})")
    return "\n".join([*lines, *([f"  wrote {written}"] if written is not None else [])])


def _described(draft: Draft, written: Path | None) -> dict[str, Any]:
    found = draft.examine()
    names = {row.key: row.name for row in draft.rows}
    return {
        "slides": [
            {
                "name": row.name,
                "slide": str(row.path),
                "label": row.label or None,
                "patient": row.who,
                "split": row.part or None,
                "annotation": None if row.annotation is None else str(row.annotation),
            }
            for row in draft.rows
        ],
        "classes": list(draft.classes),
        "splits": {side.name or "none": _counts(side) for side in found.sides},
        "problems": [
            {
                "kind": problem.kind,
                "sentence": problem.sentence,
                "serious": problem.serious,
                "slides": [names[key] for key in problem.rows],
            }
            for problem in found.problems
        ],
        "ready": found.ready,
        "manifest": None if written is None else str(written),
    }


def _counts(side: SplitCount) -> dict[str, Any]:
    by_class = {label: {"slides": count.slides, "patients": count.patients} for label, count in sorted(side.classes.items())}
    return {"slides": side.whole.slides, "patients": side.whole.patients, "classes": by_class}
