"""Files from the Hugging Face hub, or from its cache on this computer; no code, and one sentence for whatever goes wrong."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FULL = {errno.ENOSPC, errno.EDQUOT}


def fetch_files(
    name: str,
    repo: str,
    revision: str | None,
    patterns: Sequence[str],
    *,
    cached: bool = False,
    instead: str = "copy its folder",
) -> Path:
    """Download the files of a repository that fit `patterns`, or find them in the hub's cache.

    Parameters
    ----------
    name
        What the user asked for.
    repo, revision
        "owner/name"; branch, tag or commit, or None for the newest.
    patterns
        File names with * and ?.
    cached
        Look in the cache only.
    instead
        What to do where there is no network.

    Returns
    -------
    The folder; a pattern that nothing fits is no error.

    Raises
    ------
    ModelError
        huggingface_hub is not installed, the repository is missing or gated, there is no network, or the disk is full.
    """
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise ModelError(f'{name} needs the package huggingface_hub: pip install "napari-wsimil[hub]".') from error
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns), **_where(cached=cached)))
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
        raise ModelError(f"{name} is not on this computer and {_unreachable()}, or {instead}.") from error
    except (errors.HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise ModelError(
                f"{name} can't be downloaded, the disk is full; free some space, or set HF_HOME to a folder on another disk."
            ) from error
        raise ModelError(f"{name} can't be downloaded ({str(error).splitlines()[0]}); try again later.") from error


def _where(*, cached: bool) -> dict[str, Any]:
    return {"local_files_only": True} if cached else {}


def _unreachable() -> str:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids to download it; unset that"
    return "Hugging Face can't be reached; connect"
