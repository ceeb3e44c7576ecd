"""Names of encoders: which library, which repository, which revision, which part of the network."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from napari_wsimil.encoders.foreign.known import KNOWN
from napari_wsimil.errors import ModelError

Kind = Literal["hub", "folder", "program"]

PROGRAMS = (".pt", ".ts", ".pt2")
CONFIG = "config.json"

_HUB = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMM = re.compile(r"[a-z0-9_]+(\.[\w.-]+)?")
_LOOKS = 'it looks like "hf:owner/name", with @revision and #part where wanted, "timm:name" or "timm:hf-hub:owner/name"'


@dataclass(frozen=True)
class EncoderName:
    """What the name of an encoder says.

    Attributes
    ----------
    kind
        "hub": a repository on Hugging Face; "folder": a local copy of one; "program": a file that is code.
    place
        Repository ("owner/name"), or path.
    revision
        Of the repository: branch, tag or commit; None: the newest.
    part
        What to take from the network: "stage1" to "stage4", "cls", "mean", "cls+mean", "projection", "pooled"; "" for what is
        usual for its family.
    """

    kind: Kind
    place: str
    revision: str | None = None
    part: str = ""

    @property
    def pinned(self) -> bool:
        """Whether it names a commit, so that it means the same files for ever."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    def at(self, commit: str | None) -> EncoderName:
        """Return the name of one commit; unchanged where that is not known."""
        return self if commit is None else replace(self, revision=commit)

    def __str__(self) -> str:
        """Return the name by which `load_encoder` finds it."""
        revision = f"@{self.revision}" if self.revision else ""
        part = f"#{self.part}" if self.part else ""
        return f"{'hf:' if self.kind == 'hub' else ''}{self.place}{revision}{part}"


def parse_name(name: str) -> EncoderName | None:
    """Read the name of an encoder; None where it is "bundled" or one of our own folders, or nothing that could be known here.

    Raises
    ------
    ModelError
        It begins like the name of a repository and is none.
    """
    plain, _, part = name.partition("#")
    if plain in KNOWN:
        return EncoderName("hub", KNOWN[plain].repo, part=part)
    if plain.startswith("timm:"):
        return _timm_name(plain.removeprefix("timm:"), part, name)
    if plain.startswith("hf:"):
        return _hub_name(plain.removeprefix("hf:"), part, name)
    return _local_name(name) or (_local_name(plain, part) if part else None)


def commit_of(folder: Path) -> str | None:
    """Return the commit of a folder in Hugging Face's cache; None for another folder."""
    inside = folder.parent.name == "snapshots"
    return folder.name if inside and _COMMIT.fullmatch(folder.name) else None


def _local_name(path: str, part: str = "") -> EncoderName | None:
    place = Path(path).expanduser()
    if place.suffix in PROGRAMS and place.is_file():
        return EncoderName("program", str(place.resolve()), part=part)
    if (place / CONFIG).is_file():
        return EncoderName("folder", str(place.resolve()), part=part)
    return None


def _hub_name(text: str, part: str, name: str) -> EncoderName:
    match = _HUB.fullmatch(text)
    if match is None or ".." in text:
        raise ModelError(f'"{name}" is not the name of a Hugging Face repository; {_LOOKS}.')
    return EncoderName("hub", match["repo"], match["revision"], part)


def _timm_name(text: str, part: str, name: str) -> EncoderName:
    for prefix in ("hf-hub:", "hf_hub:"):
        if text.startswith(prefix):
            return _hub_name(text.removeprefix(prefix), part, name)
    if _TIMM.fullmatch(text) is None:
        raise ModelError(f'"{name}" is not the name of a timm model; {_LOOKS}.')
    if "." in text:
        return EncoderName("hub", f"timm/{text}", part=part)
    from napari_wsimil.encoders.foreign.timm_models import usual_repository

    return EncoderName("hub", usual_repository(text), part=part)
