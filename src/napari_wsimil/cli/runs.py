"""The command `runs`: trainings in the background, those that there are, and what can be done with one."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_wsimil.cli.console import INTERRUPTED, as_json_option, complain, to_json
from napari_wsimil.cli.encoders import trust_code_option
from napari_wsimil.cli.training_told import tell_run
from napari_wsimil.errors import CancelledError, TrainingError

if TYPE_CHECKING:
    from napari_wsimil.training.background import BackgroundRun, RunState
    from napari_wsimil.training.fine_tuning.plan import FineTuningPlan
    from napari_wsimil.training.runs.plan import TrainingPlan
    from napari_wsimil.training.runs.study_run import TrainingRun

LOOK_SECONDS = 0.2

run_folder = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.group(invoke_without_command=True)
@as_json_option
@click.pass_context
def runs(context: click.Context, *, as_json: bool) -> None:
    """List the trainings that were started in the background lately; or follow, pause, resume and stop one.

    Those are started by `train --detach` and in the window.
    """
    if context.invoked_subcommand is not None:
        return
    from napari_wsimil.training.background import attach_run, recent_runs

    found = []
    for folder in recent_runs():
        # one that another version wrote is no reason to not tell of the others
        with suppress(TrainingError):
            found.append(attach_run(folder))
    if as_json:
        click.echo(to_json([describe(run) for run in found]))
    elif found:
        click.echo("\n".join(map(text, found)))
    else:
        click.echo("No training was started in the background (train --detach does it).")


@runs.command()
@run_folder
@as_json_option
def follow(folder: Path, *, as_json: bool) -> None:
    """Show how the run in FOLDER goes, until it ends; Ctrl-C leaves, and the run goes on."""
    from napari_wsimil.training.background import attach_run

    run = attach_run(folder)
    try:
        outcome = _followed(run)
    except KeyboardInterrupt:
        complain(f"the training goes on in the background; {command('stop', folder)} ends it.")
        sys.exit(INTERRUPTED)
    except CancelledError:
        click.echo(f"{folder} is stopped; nothing is lost: {command('resume', folder)} goes on.")
        return
    tell_run(outcome, as_json=as_json)


@runs.command()
@run_folder
def pause(folder: Path) -> None:
    """Let the run in FOLDER wait after the step that it is at; its memory stays taken."""
    from napari_wsimil.training.background import attach_run

    run = attach_run(folder)
    _refuse_idle(run)
    run.pause()
    click.echo(f"{folder} pauses after this step; {command('resume', folder)} goes on.")


@runs.command()
@run_folder
@click.option("--device", help="Go on computing there: cpu after a GPU ran out of memory.  [default: as before]")
@trust_code_option
def resume(folder: Path, *, device: str | None, trust_code: bool) -> None:
    """Go on with the run in FOLDER, which was paused or stopped, failed, or was killed."""
    from napari_wsimil.training.background import attach_run

    attach_run(folder).go_on(device=device, trust_code=trust_code)
    click.echo(f"{folder} goes on; {command('follow', folder)} shows how.")


@runs.command()
@run_folder
def stop(folder: Path) -> None:
    """End the run in FOLDER after the step that it is at; nothing is lost."""
    from napari_wsimil.training.background import attach_run

    run = attach_run(folder)
    _refuse_idle(run)
    run.stop()
    click.echo(f"{folder} stops after this step; nothing is lost: {command('resume', folder)} goes on.")


def start(plan: TrainingPlan | FineTuningPlan, *, resume: bool, trust_code: bool) -> BackgroundRun:
    """Start a run in the background."""
    from napari_wsimil.training.background import start_run

    return start_run(plan, resume=resume, trust_code=trust_code)


def tell_started(run: BackgroundRun, *, as_json: bool) -> None:
    """Say that a run was started, and what can be done with it."""
    if as_json:
        click.echo(to_json(describe(run)))
    else:
        click.echo(f"training in the background\n  follow it with: {command('follow', run.folder)}")


def command(name: str, folder: Path) -> str:
    """Return what to type to do something with a run, wherever it lies."""
    return shlex.join(["napari-wsimil", "runs", name, str(folder)])


def describe(run: BackgroundRun) -> dict[str, Any]:
    """Return JSON-able facts of a run."""
    state = run.state()
    return {
        "folder": str(run.folder),
        "task": run.request.task,
        "phase": state.phase,
        "sentence": state.sentence,
        "started": state.started.isoformat(),
        "updated": state.updated.isoformat(),
        "stage": state.stage,
        "epoch": None if state.epoch is None else state.epoch + 1,
        "epochs": state.epochs,
        "seconds_left": state.seconds_left,
        "pid": state.pid,
    }


def text(run: BackgroundRun) -> str:
    """Put a run in a line or two for people."""
    state = run.state()
    line = f"{run.folder}  {state.phase}{_how_far(state) if state.living else ''}"
    return f"{line}\n  {state.sentence}" if state.sentence else line


def _refuse_idle(run: BackgroundRun) -> None:
    """Raise `TrainingError` where no process is at the run."""
    state = run.state()
    if not state.living:
        way_on = "" if state.phase == "finished" else f"; {command('resume', run.folder)} goes on"
        raise TrainingError(f"The training in {run.folder} does not run (it is {state.phase}){way_on}.")


def _how_far(state: RunState) -> str:
    from napari_wsimil.training.history import PLAN

    told = [PLAN.get(state.stage, state.stage).lower()] if state.stage else []
    if state.epoch is not None:
        told.append(f"epoch {state.epoch + 1}" + (f" of {state.epochs}" if state.epochs else ""))
    if state.seconds_left is not None:
        hours, rest = divmod(round(state.seconds_left), 3600)
        told.append(f"{hours}:{rest // 60:02d}:{rest % 60:02d} left")
    return "".join(f", {part}" for part in told)


def _followed(run: BackgroundRun) -> TrainingRun:
    """Show events until the run ends."""
    from napari_wsimil.cli.training_bar import EventBar

    with EventBar() as bar:
        living = True
        while living:
            # first the state: what happens in between is shown too
            living = run.state().living
            for event in run.poll():
                bar(event)
            if living:
                time.sleep(LOOK_SECONDS)
    return run.wait()
