"""Packages from the Hugging Face hub: three named files of a repository, no code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise ModelError(f'{name} needs the package huggingface_hub: pip install "napari-wsimil[hub]".') from error
    repo, revision = match["repo"], match["revision"]
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(files)))
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{name} is gated: accept its terms on https://huggingface.co/{repo}, then log in with `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"https://huggingface.co/{repo} has no revision {revision!r}; check its name.") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ModelError(
            f"There is no https://huggingface.co/{repo}, or it is private; check the name, or log in with `hf auth login`."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError, TimeoutError) as error:
        raise ModelError(
            f"{name} is not on this computer and Hugging Face can't be reached; connect, or copy its folder."
        ) from error
    except (errors.HfHubHTTPError, OSError) as error:
        raise ModelError(f"{name} can't be downloaded ({str(error).splitlines()[0]}); try again later.") from error
