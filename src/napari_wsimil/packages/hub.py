"""Packages from the Hugging Face hub: three named files of a repository, no code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_wsimil.encoders.hub import fetch_files
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NAME = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def fetch(name: str, files: Sequence[str]) -> Path:
    """Download the `files` of "hf:owner/name" or "hf:owner/name@revision", or find them in the hub's cache.

    Raises
    ------
    ModelError
        huggingface_hub is not installed, the repository is missing or gated, or there is no network.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ModelError(f'"{name}" is not the name of a Hugging Face repository; it looks like "hf:owner/name".')
    return fetch_files(name, match["repo"], match["revision"], files)
