"""A package as one .zip: the same bytes for the same package, and unpacked with suspicion."""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_wsimil.encoders import FILES as ENCODER_FILES
from napari_wsimil.encoders import storage
from napari_wsimil.errors import ModelError
from napari_wsimil.samples import sample_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIX = ".zip"
SPEC = "model.json"
MOST_ENTRIES = 1000
MOST_SWELLING = 100
"""How many times larger than packed a file may be: weights hardly shrink, and what shrinks more is no package."""
SMALL = 1 << 20
LARGEST = 16 << 30
LARGEST_TEXT = 4 << 20
"""In bytes: what may be small and swell as it likes, all weights, and a text."""
FIRST_DAY = (1980, 1, 1, 0, 0, 0)


def is_archive(path: Path) -> bool:
    """Whether a path is that of a .zip."""
    return path.suffix.lower() == SUFFIX and path.is_file()


def write_archive(path: Path, folder: Path, files: Sequence[str]) -> None:
    """Write files of a folder to a .zip; neither times, owners nor the compressor of this computer are in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for name in files:
            entry = zipfile.ZipInfo(name, FIRST_DAY)
            entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            entry.file_size = (folder / name).stat().st_size
            with (folder / name).open("rb") as source, packed.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def unpacked(path: Path) -> Path:
    """The folder to which the package in a .zip is unpacked, in the cache; once, as long as the file stays as it is.

    Raises
    ------
    ModelError
        It holds no package, is damaged or encrypted, names files outside of itself, or would swell beyond all measure.
    """
    whole = path.resolve()
    about = whole.stat()
    place = hashlib.sha256(str(whole).encode()).hexdigest()[:16]
    parent = sample_folder() / "packages" / place
    folder = parent / f"{about.st_mtime_ns:x}-{about.st_size:x}"
    if not (folder / SPEC).is_file():
        shutil.rmtree(parent, ignore_errors=True)  # of the file as it was before
        unpack(whole, folder)
    return folder


def unpack(path: Path, folder: Path) -> None:
    """Unpack the package in a .zip to a new folder, whole or not at all; raises as `unpacked` does."""
    part = folder.with_name(f".{uuid4().hex}.part")
    try:
        with zipfile.ZipFile(path) as packed:
            wanted = _wanted(path, packed)
            part.mkdir(parents=True)
            for name, entry in wanted.items():
                (part / name).parent.mkdir(exist_ok=True)
                with packed.open(entry) as source, (part / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        part.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path} is damaged ({error}); copy or download it again.") from error
    except OSError as error:
        if (folder / SPEC).is_file():  # another process was quicker
            return
        raise ModelError(
            f"{path} can't be unpacked to {folder.parent} ({error.strerror or error}); free some space."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _wanted(path: Path, packed: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The entries of the package by their names in it; others are left in the .zip."""
    entries = packed.infolist()
    if len(entries) > MOST_ENTRIES:
        raise ModelError(f"{path} holds {len(entries):,} files, which no model package does; share the model again.")
    for entry in entries:
        parts = PurePosixPath(entry.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in entry.filename:
            raise ModelError(f"{path} names a file outside of itself ({entry.filename!r}); do not trust it.")
    top = _top([entry.filename for entry in entries])
    if top is None:
        raise ModelError(f"{path} holds no model package: there is no {SPEC} in it.")
    own = (SPEC, storage.WEIGHTS, storage.CARD)
    known = {*own, *(f"encoder/{name}" for name in ENCODER_FILES)}
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = entry.filename.removeprefix(top)
        if not entry.filename.startswith(top) or name not in known:
            continue
        if name in found:
            raise ModelError(f"{path} holds {entry.filename!r} twice; do not trust it.")
        found[name] = _measured(path, entry)
    return found


def _measured(path: Path, entry: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """An entry that can be unpacked as it says; sizes are checked before anything is."""
    if entry.flag_bits & 1:
        raise ModelError(f"{path} is encrypted; unpack it with its password and give the folder.")
    text = not entry.filename.endswith(storage.WEIGHTS)
    swollen = entry.file_size > SMALL and entry.file_size > MOST_SWELLING * max(entry.compress_size, 1)
    if swollen or entry.file_size > (LARGEST_TEXT if text else LARGEST):
        raise ModelError(
            f"{path}: {entry.filename!r} would take {entry.file_size / 1e6:,.0f} MB unpacked, which no model package does; do "
            "not trust it."
        )
    return entry


def _top(names: Sequence[str]) -> str | None:
    """The folder in a .zip, with its slash, in which the package lies: none or one; None where there is no package."""
    tops = [name.removesuffix(SPEC) for name in names if PurePosixPath(name).name == SPEC and name.count("/") <= 1]
    tops = [top for top in tops if not top.startswith("__MACOSX")]
    return tops[0] if len(tops) == 1 else "" if "" in tops else None
