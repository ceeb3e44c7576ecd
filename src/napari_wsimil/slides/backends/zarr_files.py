"""The small files of a Zarr, in a folder or in a zip file."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any, Self

from napari_wsimil.errors import SlideError
from napari_wsimil.slides.backends.base import DECODE_ERRORS, said

if TYPE_CHECKING:
    from pathlib import Path

METADATA_NAMES = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")
_MAX_JSON = 1 << 26
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, EOFError, *DECODE_ERRORS)
"""What zipfile raises for a damaged archive, by where it is damaged."""


class ZarrFiles:
    """Metadata files by name; names are below the root of the Zarr.

    Attributes
    ----------
    path
        The folder or zip file.
    prefix
        Where the root lies in a zip file: "" or a folder with a slash.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.prefix = ""
        self._zip: zipfile.ZipFile | None = None
        if path.is_file():
            try:
                self._zip = zipfile.ZipFile(path)
            except _DAMAGE as error:
                raise SlideError(
                    f"{path.name} is a zip file that can't be read ({said(error, path)}); copy it again."
                ) from error
            self.prefix = _root_in(self._zip) or ""

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether a folder has the metadata of a Zarr at its top, or a zip file there or one folder below."""
        if path.is_dir():
            return any((path / name).is_file() for name in METADATA_NAMES)
        if not path.is_file():
            return False
        with path.open("rb") as file:
            if file.read(4) != b"PK\3\4":
                return False
        try:
            with zipfile.ZipFile(path) as archive:
                return _root_in(archive) is not None
        except _DAMAGE:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def json(self, name: str) -> dict[str, Any] | None:
        """The object in a JSON file; None where there is no such file.

        Raises
        ------
        SlideError
            It is no JSON object, or absurdly large.
        """
        text = self.read(name.lstrip("/"))
        if text is None:
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SlideError(f"{self.path.name} is a Zarr with damaged metadata ({name} is no JSON); copy it again.") from error
        if not isinstance(found, dict):
            raise SlideError(f"{self.path.name} is a Zarr with damaged metadata ({name} is no JSON object); copy it again.")
        return found

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file; None where there is none."""
        if self._zip is None:
            file = self.path / name
            if not file.is_file():
                return None
            self._check_size(name, file.stat().st_size)
            return file.read_bytes()
        try:
            about = self._zip.getinfo(self.prefix + name)
            self._check_size(name, about.file_size)
            return self._zip.read(about)
        except KeyError:
            return None
        except _DAMAGE as error:
            raise SlideError(
                f"{self.path.name} is a zip file whose {name} can't be read ({said(error, self.path)}); copy it again."
            ) from error

    def _check_size(self, name: str, size: int) -> None:
        if size > _MAX_JSON:
            raise SlideError(
                f"{self.path.name} is a Zarr whose {name} has {size} bytes, which is no metadata; export it again."
            )


def _root_in(archive: zipfile.ZipFile) -> str | None:
    """The folder of the Zarr's root in a zip file: its top, or the one folder in it."""
    tops = [name for name in archive.namelist() if name.count("/") <= 1 and name.rpartition("/")[2] in METADATA_NAMES]
    return "".join(min(tops, key=lambda name: name.count("/")).rpartition("/")[:2]) if tops else None
