"""The user's own models: a folder of packages that `load_model` knows by name and every list of models shows."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_wsimil.encoders import storage
from napari_wsimil.errors import ModelError
from napari_wsimil.files import written_whole
from napari_wsimil.packages.contents import check_package, copy_package, write_spec
from napari_wsimil.packages.installed import InstalledModel, describe
from napari_wsimil.packages.model import SPEC, package_folder, read_model_spec
from napari_wsimil.packages.places import NAME, in_library, library_folder, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_wsimil.packages.spec import ModelSpec

__all__ = [
    "Removed",
    "add_to_library",
    "find_in_library",
    "library_folder",
    "remove_from_library",
    "removed_models",
    "rename_in_library",
    "restore_to_library",
    "set_title",
]

REMOVED = ".removed"
KEPT_DAYS = 30
"""How long a removed model can be brought back."""

_WHEN = "%Y%m%dT%H%M%S%f"


@dataclass(frozen=True)
class Removed:
    """A model that was removed from the library and can be brought back.

    Attributes
    ----------
    name
        As it was in the library.
    folder
        Where it lies now.
    when
        It was removed, in UTC.
    """

    name: str
    folder: Path
    when: datetime

    @property
    def until(self) -> datetime:
        """When it may be deleted for good."""
        return self.when + timedelta(days=KEPT_DAYS)

    def restore(self) -> InstalledModel:
        """Bring it back, by its old name or, where that was given to another meanwhile, one like it.

        Raises
        ------
        ModelError
            It is gone for good, or can't be moved.
        """
        if not self.folder.is_dir():
            raise ModelError(f"The removed model {self.name!r} is gone for good: they are kept for {KEPT_DAYS} days.")
        return _placed(self.folder, self.name)


def add_to_library(package: str | Path, *, name: str | None = None, title: str | None = None) -> InstalledModel:
    """Copy a model package into the user's library, whole or not at all; from then on it is known by its name.

    The weights, the card and an encoder that lies in a folder go along; nothing else that lies beside them does.

    Parameters
    ----------
    package
        What `load_model` takes: a folder, a .zip that `share_model` wrote, "hf:owner/name", or a name.
    name
        By which `load_model` is to know it; by default made of the title. A number is added where it is taken.
    title
        For people; by default the package's own.

    Raises
    ------
    ModelError
        It is no package, or broken, the name can't be one, or the library can't be written.
    """
    if name is not None and (not NAME.fullmatch(name) or safe_name(name) != name):
        raise ModelError(
            f"{name!r} can't be the name of a model: up to 56 small letters, digits, dots, _ and -, beginning with a letter or "
            f"digit, and none that means something else; {safe_name(name)!r} would do."
        )
    spec = read_model_spec(package_folder(package))
    forget_old()
    part = _own_folder() / f".{uuid4().hex}.part"
    try:
        copy_package(package, part, None if title is None else lambda spec, card: _titled(spec, card, title))
        check_package(part)
        return _placed(part, name or safe_name(title or spec.title or spec.id))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_from_library(name: str) -> Removed:
    """Take a model out of the library; it can be brought back for 30 days.

    Raises
    ------
    ModelError
        The library has no such model, or it can't be moved.
    """
    folder = _known(name)
    forget_old()
    when = datetime.now(UTC)
    target = library_folder() / REMOVED / f"{when.strftime(_WHEN)}-{name}"
    try:
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
    except OSError as error:
        raise ModelError(f"{folder} can't be moved ({error.strerror or error}); close what uses it and try again.") from error
    return Removed(name, target, when)


def removed_models() -> tuple[Removed, ...]:
    """What can be brought back, the newest first."""
    return tuple(sorted(_removed(), key=lambda one: one.when, reverse=True))


def restore_to_library(name: str) -> InstalledModel:
    """Bring back the model of that name that was removed last.

    Raises
    ------
    ModelError
        There is none.
    """
    for one in removed_models():
        if one.name == name:
            return one.restore()
    have = ", ".join(sorted({one.name for one in removed_models()}))
    raise ModelError(f"No removed model is called {name!r}; {f'there are {have}' if have else 'none can be brought back'}.")


def rename_in_library(name: str, title: str) -> InstalledModel:
    """Give a model of the library another title; its name stays, so that scripts go on finding it.

    Raises
    ------
    ModelError
        The library has no such model, or the title is empty or longer than 200 letters.
    """
    folder = _known(name)
    set_title(folder, title)
    return describe(name, folder, "library")


def set_title(folder: Path, title: str) -> None:
    """Change what people call the package in a folder, in its spec and at the head of its card.

    Raises
    ------
    ModelError
        The title is empty or longer than 200 letters, or the package can't be written.
    """
    spec = read_model_spec(folder)
    card = folder / storage.CARD
    try:
        told, text = _titled(spec, card.read_text(encoding="utf-8", errors="replace") if card.is_file() else "", title)
        with written_whole(folder / SPEC) as spec_part, written_whole(card) as card_part:
            write_spec(spec_part, told)
            card_part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{folder} can't be written ({error.strerror or error}); check its rights.") from error


def find_in_library(package: str | Path) -> str | None:
    """The name by which the library knows exactly this model (its title apart), or None.

    Raises
    ------
    ModelError
        It is no package.
    """
    source = package_folder(package)
    wanted = _identity(source)
    for folder in _folders():
        with suppress(ModelError):
            if _identity(folder) == wanted and _same_file(folder / storage.WEIGHTS, source / storage.WEIGHTS):
                return folder.name
    return None


def forget_old() -> None:
    """Delete for good what was removed more than 30 days ago, and what a killed process left half-copied."""
    now = datetime.now(UTC)
    for one in _removed():
        if one.until < now:
            shutil.rmtree(one.folder, ignore_errors=True)
    for part in library_folder().glob(".*.part"):
        with suppress(OSError):
            if now.timestamp() - part.stat().st_mtime > timedelta(days=1).total_seconds():
                shutil.rmtree(part, ignore_errors=True)


def _own_folder() -> Path:
    folder = library_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"The folder of your models {folder} can't be made ({error.strerror or error}); set NAPARI_WSIMIL_LIBRARY to "
            "another."
        ) from error
    return folder


def _known(name: str) -> Path:
    folder = in_library(name)
    if folder is None:
        have = ", ".join(folder.name for folder in _folders())
        raise ModelError(f"Your library has no model {name!r}; {f'it has {have}' if have else 'it is empty'}.")
    return folder


def _folders() -> list[Path]:
    return sorted(spec.parent for spec in library_folder().glob(f"*/{SPEC}") if NAME.fullmatch(spec.parent.name))


def _placed(folder: Path, name: str) -> InstalledModel:
    """Move a folder into the library by a name that is free."""
    for number in range(1, 10_000):
        free = name if number == 1 else f"{name}-{number}"
        target = library_folder() / free
        if target.exists():
            continue
        try:
            folder.rename(target)
        except OSError as error:
            if target.exists():  # somebody was quicker
                continue
            raise ModelError(f"{target} can't be written ({error.strerror or error}); check its rights.") from error
        return describe(free, target, "library")
    raise ModelError(f"Your library has thousands of models called {name!r}; choose another name.")


def _removed() -> Iterator[Removed]:
    for folder in (library_folder() / REMOVED).glob("*-*"):
        when, _, name = folder.name.partition("-")
        with suppress(ValueError):
            yield Removed(name, folder, datetime.strptime(when, _WHEN).replace(tzinfo=UTC))


def _titled(spec: ModelSpec, card: str, title: str) -> tuple[ModelSpec, str]:
    """Spec and card with another title."""
    wanted = " ".join(title.split())
    if not 1 <= len(wanted) <= 200:
        raise ModelError("The title of a model has 1 to 200 letters; choose another.")
    head, line, rest = card.partition("\n")
    if head.startswith("# "):
        card = f"# {wanted}{line}{rest}"
    return spec.model_copy(update={"title": wanted}), card


def _identity(folder: Path) -> str:
    """What a package says of itself, but for the title and where its encoder lies."""
    spec = read_model_spec(folder)
    encoder = spec.encoder.model_copy(update={"name": ""})
    return spec.model_copy(update={"title": "", "encoder": encoder}).model_dump_json()


def _same_file(one: Path, other: Path) -> bool:
    if not (one.is_file() and other.is_file()) or one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(1 << 20):
            if block != second.read(1 << 20):
                return False
    return True
