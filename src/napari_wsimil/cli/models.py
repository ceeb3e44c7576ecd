"""The command `models`: which there are, the user's own, and how others get them."""

from __future__ import annotations

import click

from napari_wsimil.cli.console import as_json_option, to_json
from napari_wsimil.cli.reports import describe_model, model_text

keep_paths_option = click.option(
    "--keep-paths", is_flag=True, help="Leave in where manifest and run lie, the command, and remarks that name slides."
)


@click.group(invoke_without_command=True)
@as_json_option
@click.pass_context
def models(context: click.Context, *, as_json: bool) -> None:
    """List the model packages on this computer, or do something with one: add it to your own, share it, and so on."""
    if context.invoked_subcommand is not None:
        return
    from napari_wsimil.packages import installed_models

    found = installed_models()
    click.echo(to_json([describe_model(model) for model in found]) if as_json else "\n".join(map(model_text, found)))


@models.command()
@click.argument("package")
@click.option("--name", help="By which it is known afterwards.  [default: made of its title]")
@click.option("--title", help="What people call it.  [default: its own]")
@as_json_option
def add(package: str, name: str | None, title: str | None, *, as_json: bool) -> None:
    """Copy PACKAGE (a folder, a .zip or "hf:owner/name") to your own models."""
    from napari_wsimil.packages import add_to_library

    model = add_to_library(package, name=name, title=title)
    click.echo(to_json(describe_model(model)) if as_json else f"added {model.title}; it is known as {model.name}")


@models.command()
@click.argument("name")
def remove(name: str) -> None:
    """Take one of your own models out of the list; `restore` brings it back for some time."""
    from napari_wsimil.packages import remove_from_library

    removed = remove_from_library(name)
    click.echo(f"removed {name}; until {removed.until:%d %B %Y} `napari-wsimil models restore {name}` brings it back")


@models.command()
@click.argument("name", required=False)
def restore(name: str | None) -> None:
    """Bring back one of your own models that was removed; without NAME, list those that can be."""
    from napari_wsimil.packages import removed_models, restore_to_library

    if name is not None:
        model = restore_to_library(name)
        click.echo(f"restored {model.title}; it is known as {model.name}")
        return
    found = removed_models()
    lines = [f"{one.name}, removed on {one.when:%d %B %Y}, kept until {one.until:%d %B %Y}" for one in found]
    click.echo("\n".join(lines) or "no removed models")


@models.command()
@click.argument("name")
@click.argument("title")
def rename(name: str, title: str) -> None:
    """Give one of your own models another TITLE; scripts go on finding it by NAME."""
    from napari_wsimil.packages import rename_in_library

    click.echo(f"{name} is called {rename_in_library(name, title).title} now")


@models.command()
@click.argument("name")
@as_json_option
def show(name: str, *, as_json: bool) -> None:
    """Print the card of the model NAME: what it was trained on, how well it does, and what it is not for."""
    from napari_wsimil.errors import ModelError
    from napari_wsimil.packages import installed_models
    from napari_wsimil.packages.contents import card_of
    from napari_wsimil.packages.installed import describe
    from napari_wsimil.packages.model import package_folder

    folder = package_folder(name)
    model = next((found for found in installed_models() if found.name == name), None) or describe(name, folder)
    if model.problem is not None:
        raise ModelError(model.problem)
    card = card_of(folder)
    click.echo(to_json({**describe_model(model), "card": card}) if as_json else _for_reading(card) or model_text(model))


def _for_reading(card: str) -> str:
    """A card without the marks between which the part for home stands."""
    from napari_wsimil.packages.privacy import BEGIN, END

    return "\n".join(line for line in card.splitlines() if line.strip() not in (BEGIN, END)).strip()


@models.command()
@click.argument("name")
@click.argument("target")
@keep_paths_option
def share(name: str, target: str, *, keep_paths: bool) -> None:
    """Write the model NAME for others to TARGET: a folder, or one file where it ends in .zip.

    Paths of this computer, the command that made it and remarks that name slides are left out.
    """
    from napari_wsimil.packages import share_model

    click.echo(f"wrote {share_model(name, target, keep_paths=keep_paths)}")


@models.command()
@click.argument("name")
@click.argument("repository")
@click.option("--public", is_flag=True, help="Let everybody see it; otherwise only those whom the owner lets in.")
@click.option("--licence", help="As the hub calls it, such as cc-by-nc-4.0.  [default: none]")
@click.option("--token", help="Of an account that may write there.  [default: $HF_TOKEN, or that of `hf auth login`]")
@keep_paths_option
def push(name: str, repository: str, licence: str | None, token: str | None, *, public: bool, keep_paths: bool) -> None:
    """Upload the model NAME to the REPOSITORY owner/name of the Hugging Face hub.

    Paths of this computer, the command that made it and remarks that name slides are left out.
    """
    from napari_wsimil.packages import push_model

    address = push_model(name, repository, private=not public, licence=licence, token=token, keep_paths=keep_paths)
    click.echo(f"uploaded to {address}; others load it as hf:{repository}")
