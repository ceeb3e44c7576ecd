"""The command `correct`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import as_json_option, file_path, folder_path, to_json
from napari_wsimil.cli.encoders import trust_code_option
from napari_wsimil.cli.runs import start, tell_started
from napari_wsimil.cli.training import device_option, watched
from napari_wsimil.cli.training_plans import command_line, pairs, parsed

if TYPE_CHECKING:
    from napari_wsimil.training.corrections import Correction
    from napari_wsimil.training.fine_tuning.before_after import BeforeAfter
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan


class _Old(click.Path):
    """A manifest, or "auto", or "none"."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Give a path, "auto" or None."""
        if value in ("auto", None):
            return value
        return None if str(value).lower() == "none" else super().convert(value, parameter, context)


_old = _Old(path_type=Path, dir_okay=False)


@click.command()
@click.argument("slides", nargs=-1, type=file_path, metavar="[SLIDE]...")
@click.option("--from", "package", default="bundled", show_default=True, help="The model package that is corrected.")
@click.option(
    "--out", type=folder_path, required=True, help="Folder of the run; made if missing. The new model is in OUT/model."
)
@click.option(
    "--annotation",
    "annotations",
    type=file_path,
    multiple=True,
    help="GeoJSON from QuPath or XML from ASAP with what is marked on the slide, one for each slide in the same order; or a "
    "folder with files named like the slides. Regions of a class of the model say what is there, !CLASS what is not.",
)
@click.option(
    "--label", "labels", multiple=True, help="Class of the slide: one for all slides, or one for each in the same order."
)
@click.option("--mpp", type=click.FloatRange(0.01, 100), help="µm per pixel, where the slides do not say or are wrong.")
@click.option(
    "--manifest",
    type=file_path,
    help="Instead of slides: a CSV with the columns slide and annotation, label or both (patient and mpp may be there).",
)
@click.option("--tune", type=click.Choice(["head", "adapter", "all"]), help="What changes.  [default: as in the window]")
@click.option(
    "--rehearsal",
    type=_old,
    default="auto",
    show_default=True,
    help="Manifest of old slides, shown again so that they are not forgotten; auto: of the run that made the model; or none.",
)
@click.option(
    "--validation",
    type=_old,
    default="auto",
    show_default=True,
    help="Manifest of slides that judge the model before and after; auto: of the run that made the model; or none.",
)
@click.option("--store", type=folder_path, help="Folder that keeps features of the slides.  [default: OUT/features]")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A setting of fine-tuning, for example epochs=20.")
@click.option(
    "--means", multiple=True, metavar="NAME=CLASS", help="Regions of this name are of that class of the model, or ignore."
)
@device_option
@click.option("--title", default="", help="Name of the new model for people.")
@click.option("--resume", is_flag=True, help="Go on with the run in OUT where it was stopped.")
@click.option("--detach", is_flag=True, help="Work in the background and return at once (see `runs`).")
@trust_code_option
@as_json_option
def correct(
    slides: tuple[Path, ...],
    package: str,
    out: Path,
    annotations: tuple[Path, ...],
    labels: tuple[str, ...],
    mpp: float | None,
    manifest: Path | None,
    *,
    detach: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Correct a model by what is marked on one SLIDE or a few, or by their labels put right.

    A short fine-tuning, mixed with slides that the model knows so that it does not forget; then what it says of the slides and
    of validation slides is compared before and after. Nothing happens to the model itself: the corrected one is in OUT/model.

        napari-wsimil correct slide.svs --annotation slide.geojson --from RUN/model --out corrected
    """
    plan = _plan(_corrections(slides, annotations, labels, mpp, manifest), package, out, options)
    if detach:
        tell_started(start(plan, resume=options["resume"], trust_code=options["trust_code"]), as_json=as_json)
        return
    from napari_wsimil.training.fine_tuning.before_after import read_before_after
    from napari_wsimil.training.fine_tuning.run import fine_tune_steps

    for notice in plan.notices:
        click.echo(notice, err=True)
    run = watched(fine_tune_steps(plan, resume=options["resume"]), out, tensorboard=False)
    _tell(run.folder, read_before_after(run.folder), as_json=as_json)


def _tell(folder: Path, found: BeforeAfter | None, *, as_json: bool) -> None:
    """Print what changed."""
    if as_json:
        from dataclasses import asdict

        told = {"folder": str(folder), "model": str(folder / "model"), "before_after": None if found is None else asdict(found)}
        click.echo(to_json(told))
        return
    for sentence in [] if found is None else found.sentences():
        click.echo(sentence)
    click.echo(f"  wrote {folder / 'model'}, {folder / 'report.html'}")


def _corrections(
    slides: tuple[Path, ...],
    annotations: tuple[Path, ...],
    labels: tuple[str, ...],
    mpp: float | None,
    manifest: Path | None,
) -> tuple[Correction, ...]:
    from napari_wsimil.training.corrections.reading import paired_corrections, read_corrections

    if manifest is not None:
        if slides or annotations or labels:
            raise click.UsageError("Give slides, or a table of them (--manifest), not both.")
        return read_corrections(manifest)
    if not slides:
        raise click.UsageError("Give at least one slide, or a table of slides (--manifest).")
    return paired_corrections(slides, annotations, labels, mpp)


def _plan(corrections: tuple[Correction, ...], package: str, out: Path, options: dict[str, Any]) -> FineTuningPlan:
    from napari_wsimil.packages import load_model
    from napari_wsimil.training.corrections import correction_plan
    from napari_wsimil.training.corrections.defaults import TUNE

    return correction_plan(
        load_model(package, trust_code=options["trust_code"]),
        corrections,
        out,
        tune=options["tune"] or TUNE,
        rehearsal=options["rehearsal"],
        validation=options["validation"],
        settings=parsed(options["given"]),
        store=options["store"],
        names=pairs(options["means"], "--means"),
        device=options["device"],
        title=options["title"],
        command=command_line(),
        resume=options["resume"],
    )
