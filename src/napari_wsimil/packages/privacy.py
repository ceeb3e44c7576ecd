"""What a package tells of the computer it was made on, and the package without it.

At home a package remembers where its manifest and its run lie, and the command that made it: that is how a model is trained
further. None of it helps anybody else, and names of folders and slides can name patients.
"""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_wsimil.packages.spec import ModelSpec

BEGIN, END = "<!-- private -->", "<!-- /private -->"
"""In a card, around what is for home only."""

PRIVATE = frozenset({"path", "paths", "command", "run", "folder", "store", "host", "user", "platform"})
"""Entries of the training's provenance that go nowhere."""

PUBLIC_SOURCES = ("hf:", "timm:")

_SECTION = re.compile(rf"{re.escape(BEGIN)}.*?(?:{re.escape(END)}|\Z)\n?", re.DOTALL)
_PATH = re.compile(r"(?<![\w/:.])(?:~?/|[A-Za-z]:[\\/]|\\\\)[^\s'\"`|<>()\[\],;]+[\\/][^\s'\"`|<>()\[\],;]*|file://\S+")


def private_lines(text: str) -> str:
    """Text of a card that is for home only: shown there, and left out of what is shared."""
    return f"{BEGIN}\n{text}\n{END}"


def without_private(spec: ModelSpec, card: str) -> tuple[ModelSpec, str]:
    """Spec and card without paths of this computer, commands, and what a card marks as private.

    Left are the data's counts, the figures, the settings, the digests and dates, the title and the id.
    """
    secrets = sorted(set(_secrets(spec.training)), key=len, reverse=True)
    text = _SECTION.sub("", card)
    for secret in secrets:
        text = text.replace(secret, "…")
    told = spec.model_copy(update={"training": public(spec.training), "metrics": public(spec.metrics)})
    return told, _PATH.sub("…", text)


def public(value: Any) -> Any:
    """A JSON-able value without what is private in it."""
    if isinstance(value, dict):
        # a class may be called so too; what is counted of it is no text
        texts = {name for name, inside in value.items() if name in PRIVATE and isinstance(inside, str | list)}
        kept = {name: public(inside) for name, inside in value.items() if name not in texts}
        source = kept.get("source")
        if isinstance(source, str) and not (source == "bundled" or source.startswith(PUBLIC_SOURCES)):
            del kept["source"]
        return kept
    if isinstance(value, list | tuple):
        return [public(inside) for inside in value]
    return _PATH.sub("…", value) if isinstance(value, str) else value


def _secrets(value: Any, name: str = "") -> Iterator[str]:
    """Whole texts that are private, and folders in which what they name lies."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from _secrets(inside, key)
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from _secrets(inside, name)
    elif isinstance(value, str) and (_is_path(value) or (name in PRIVATE and len(value) > 3)):
        yield value
        if _is_path(value):
            parents = PureWindowsPath(value).parents if ":" in value[:3] else Path(value).parents
            yield from (str(parent) for parent in parents if len(parent.parts) > 2)


def _is_path(text: str) -> bool:
    return len(text) > 3 and (Path(text).is_absolute() or PureWindowsPath(text).is_absolute())
