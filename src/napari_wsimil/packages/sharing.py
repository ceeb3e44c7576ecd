"""A model for others: as a folder, as one .zip, or on the Hugging Face hub; without what it knows of this computer."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_wsimil.encoders import FILES as ENCODER_FILES
from napari_wsimil.encoders import storage
from napari_wsimil.encoders.foreign.names import parse_name
from napari_wsimil.errors import ModelError
from napari_wsimil.files import written_whole
from napari_wsimil.packages.archive import SUFFIX, unpack, write_archive
from napari_wsimil.packages.contents import INSIDE, check_package, copy_package, files_of, own_encoder
from napari_wsimil.packages.hub_upload import upload
from napari_wsimil.packages.model import package_folder, read_model_spec
from napari_wsimil.packages.privacy import public, without_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.packages.spec import ModelSpec


def share_model(package: str | Path, target: str | Path, *, keep_paths: bool = False) -> Path:
    """Write a model for others: a folder, or one .zip where `target` ends in that; `load_model` takes both.

    What goes along: the spec, the weights, the card, and an encoder that lies in a folder. What does not: paths of this
    computer (of the manifest, of the run, of the model that it was fine-tuned from), the command that made it, and remarks of
    the card that name slides. The package at home keeps all of that. The same package gives the same .zip, byte for byte. What
    was written is read back and checked before it takes its place.

    Parameters
    ----------
    package
        What `load_model` takes.
    target
        A new or empty folder, or a file name that ends in .zip; such a file is replaced.
    keep_paths
        Leave everything in, for oneself.

    Returns
    -------
    The path written.

    Raises
    ------
    ModelError
        There is no such package, or it is broken, its encoder can't go along, or the target can't be written.
    """
    path = Path(target).expanduser()
    if path.suffix.lower() == SUFFIX:
        return _as_archive(package, path, keep_paths=keep_paths)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ModelError(f"{path} is there already; choose a new or empty folder, or a name that ends in .zip.")
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(package, part, keep_paths=keep_paths)
        if path.is_dir():
            path.rmdir()
        part.rename(path)
    except OSError as error:
        raise ModelError(f"{path} can't be written ({error.strerror or error}); choose another folder.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def push_model(
    package: str | Path,
    repository: str,
    *,
    private: bool = True,
    licence: str | None = None,
    token: str | None = None,
    keep_paths: bool = False,
) -> str:
    """Upload a model to a repository of the Hugging Face hub, from where ``load_model("hf:owner/name")`` gets it.

    The repository is made where there is none, private unless said otherwise. Its page is the model's card, with what the hub
    shows beside it (licence, tags, library). Nothing else is uploaded than the files of the package, without what
    `share_model` leaves out.

    Parameters
    ----------
    package
        What `load_model` takes.
    repository
        "owner/name".
    private
        Only those whom the owner lets in may see it.
    licence
        As the hub calls it ("cc-by-nc-4.0"); None: the page says none, and others may not use it without asking.
    token
        Of an account that may write there; by default that of ``hf auth login``.
    keep_paths
        Leave everything in, for a repository that only its owner sees.

    Returns
    -------
    The address of the repository.

    Raises
    ------
    ModelError
        huggingface_hub is not installed, there is no login, no right to write there, no network, or such a repository is
        public although it was to be private; or what `share_model` raises.
    """
    with _copied(package, keep_paths=keep_paths) as (folder, spec):
        return upload(folder, spec, repository, private=private, licence=licence, token=token)


def _as_archive(package: str | Path, path: Path, *, keep_paths: bool) -> Path:
    with _copied(package, keep_paths=keep_paths) as (folder, _):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as part:
                write_archive(part, folder, files_of(folder))
                unpack(part, folder.with_name("read back"))
                check_package(folder.with_name("read back"))
        except OSError as error:
            raise ModelError(f"{path} can't be written ({error.strerror or error}); choose another place.") from error
    return path


@contextmanager
def _copied(package: str | Path, *, keep_paths: bool) -> Iterator[tuple[Path, ModelSpec]]:
    """A copy of a package as others get it, in a folder that is gone afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix="napari-wsimil-") as folder:
            copy = Path(folder) / "package"
            yield copy, _write(package, copy, keep_paths=keep_paths)
    except FileNotFoundError as error:
        raise ModelError(f"{tempfile.gettempdir()} can't be written ({error.strerror or error}); free some space.") from error


def _write(package: str | Path, target: Path, *, keep_paths: bool) -> ModelSpec:
    """Copy a package as others get it, and check the copy."""
    source = package_folder(package)
    spec = read_model_spec(source)
    if own_encoder(spec, source) is None and _on_this_computer(spec.encoder.name):
        raise ModelError(
            f"Model {spec.id} looks through the encoder {spec.encoder.id}, which is on this computer only "
            f"({spec.encoder.name}) and can't go along; use one of the hub (hf:, timm:), or a folder of napari-wsimil, for a "
            "model that others are to get."
        )
    copy_package(package, target, None if keep_paths else without_private)
    if not keep_paths:
        _clean_encoder(target)
    return check_package(target)


def _clean_encoder(target: Path) -> None:
    """Take what is private out of the encoder inside: of its card, and of how it was trained."""
    folder = target / INSIDE
    card, path = folder / storage.CARD, folder / ENCODER_FILES[0]
    if card.is_file():
        spec = read_model_spec(target)
        card.write_text(without_private(spec, card.read_text(encoding="utf-8", errors="replace"))[1], encoding="utf-8")
    if path.is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        if public(told.get("training", {})) != told.get("training", {}):
            path.write_text(json.dumps({**told, "training": public(told["training"])}, indent=2) + "\n", encoding="utf-8")


def _on_this_computer(encoder: str) -> bool:
    """Whether the name of an encoder leads to a program, or to a folder of another library."""
    found = parse_name(encoder) if encoder else None
    return found is not None and found.kind != "hub"
