"""The files of a package: which there are, copied whole, and checked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.encoders import FILES as ENCODER_FILES
from napari_wsimil.encoders import copy_encoder, load_encoder, storage
from napari_wsimil.errors import ModelError
from napari_wsimil.packages.cards import without_header
from napari_wsimil.packages.model import ENCODER, SPEC, encoder_files, network_of, package_folder, read_model_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_wsimil.packages.spec import ModelSpec

    Change = Callable[[ModelSpec, str], tuple[ModelSpec, str]]

OWN_FILES = (storage.CARD, storage.WEIGHTS, SPEC)
INSIDE = ENCODER.removeprefix("./")
FILES = (*OWN_FILES, *(f"{INSIDE}/{name}" for name in ENCODER_FILES))
"""All that a package can hold, as copied packages hold it: the encoder in the folder `encoder`."""


def copy_package(package: str | Path, target: Path, change: Change | None = None) -> ModelSpec:
    """Copy a package to a new folder, with its encoder where that is a folder of this program; nothing else goes along.

    Parameters
    ----------
    package
        What `load_model` takes.
    target
        Made here.
    change
        From the spec and the card to what the copy is to say.

    Returns
    -------
    The spec of the copy.

    Raises
    ------
    ModelError
        There is no such package, or it is broken, or the copy can't be written.
    """
    source = package_folder(package)
    spec = told = read_model_spec(source)
    card = card_of(source)
    own = own_encoder(spec, source)
    if own is not None:
        told = spec.model_copy(update={"encoder": spec.encoder.model_copy(update={"name": ENCODER})})
    told, text = (told, card) if change is None else change(told, card)
    try:
        target.mkdir(parents=True)
        if own is not None:
            copy_encoder(own, target / INSIDE)
        shutil.copyfile(_there(source / storage.WEIGHTS), target / storage.WEIGHTS)
        (target / storage.CARD).write_text(text, encoding="utf-8")
        if told == spec:
            shutil.copyfile(source / SPEC, target / SPEC)
        else:
            write_spec(target / SPEC, told)
    except OSError as error:
        raise ModelError(
            f"{target} can't be written ({error.strerror or error}); free some space, or check its rights."
        ) from error
    return told


def write_spec(path: Path, spec: ModelSpec) -> None:
    """Write `model.json`."""
    path.write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def own_encoder(spec: ModelSpec, folder: Path) -> Path | None:
    """The folder of the encoder that can go along with a package: inside it, or elsewhere on this computer; else None."""
    name = spec.encoder.name
    if name in ("", "bundled"):
        return None
    if encoder_files(folder):
        return folder / name
    place = Path(name).expanduser()
    return place if (place / ENCODER_FILES[0]).is_file() else None


def check_package(folder: Path) -> ModelSpec:
    """Read a package once, all of it, and keep nothing in memory; an encoder that lies elsewhere is not looked at.

    Raises
    ------
    ModelError
        Something of it is missing or broken; one sentence says what.
    """
    spec = read_model_spec(folder)
    storage.fill(network_of(spec), storage.read_weights(folder / storage.WEIGHTS), folder / storage.WEIGHTS)
    if spec.encoder.inside:
        encoder = load_encoder(folder / spec.encoder.name)
        if encoder.digest != spec.encoder.digest:
            raise ModelError(
                f"Model {spec.id} in {folder} was made for encoder {spec.encoder.id} ({spec.encoder.digest}), but the one "
                f"inside is {encoder.id} ({encoder.digest}); copy or download the whole package again."
            )
    return spec


def files_of(folder: Path) -> tuple[str, ...]:
    """The files of a copied package, relative to it, in one order."""
    return tuple(name for name in FILES if (folder / name).is_file())


def card_of(folder: Path) -> str:
    """The card of the package in a folder, without what was written around it for a hub; "" where there is none."""
    path = folder / storage.CARD
    return without_header(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else ""


def _there(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(f"{path.parent} holds no {path.name}; the package is incomplete: save or download it again.")
    return path
