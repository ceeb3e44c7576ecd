"""The files of a package, uploaded to a repository of the Hugging Face hub; one sentence for whatever goes wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_wsimil.encoders import storage
from napari_wsimil.errors import ModelError
from napari_wsimil.packages.cards import USE, without_header
from napari_wsimil.packages.contents import files_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wsimil.packages.spec import ModelSpec

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LIBRARY = "napari-wsimil"
TASK = "image-classification"
TAGS = ("pathology", "whole-slide-image", "multiple-instance-learning", "napari")
TOKENS = "https://huggingface.co/settings/tokens"


def upload(folder: Path, spec: ModelSpec, repository: str, *, private: bool, licence: str | None, token: str | None) -> str:
    """Make the repository where there is none and upload what `folder` holds of a package; returns its address.

    Takes and raises what `sharing.push_model` does.
    """
    if not REPOSITORY.fullmatch(repository) or len(repository) > 96 or re.search(r"--|\.\.|[.-](/|\Z)", repository):
        raise ModelError(
            f"{repository!r} is no name of a repository: it looks like owner/name, of letters, digits, _, single - and dots."
        )
    hub = _hub()
    api = hub.HfApi(token=token or None, library_name=LIBRARY)
    _write_page(folder, spec, hub, repository, licence)
    try:
        if not token and hub.get_token() is None:
            raise hub.errors.LocalTokenNotFoundError
        address = str(api.create_repo(repository, private=private, exist_ok=True, repo_type="model"))
        if private and api.repo_info(repository, repo_type="model").private is False:
            raise ModelError(
                f"https://huggingface.co/{repository} is there already and is public; choose another name, or let "
                "everybody see the model."
            )
        files = list(files_of(folder))
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            repo_type="model",
            allow_patterns=files,
            commit_message=f"Model {spec.id} of napari-wsimil",
        )
    except ModelError:
        raise
    except Exception as error:
        raise _told(error, repository, hub) from error
    return address


def login(token: str | None = None) -> str | None:
    """The name of the account that is logged in to the hub on this computer, or that has the token; None where there is none.

    Raises
    ------
    ModelError
        huggingface_hub is not installed.
    """
    hub = _hub()
    if not token and hub.get_token() is None:
        return None
    try:
        return str(hub.HfApi(token=token or None).whoami()["name"])
    except Exception:  # noqa: BLE001 - no network: that there is a login is all that is known
        return ""


def _write_page(folder: Path, spec: ModelSpec, hub: Any, repository: str, licence: str | None) -> None:
    """Make the card in a folder the page of a repository: what the hub shows beside it comes first, how to use it last."""
    base = str(spec.training.get("fine_tuned_from", {}).get("source", ""))
    data = hub.ModelCardData(
        license=licence,
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=[*TAGS, spec.method],
        base_model=base.removeprefix("hf:").partition("@")[0] if base.startswith("hf:") else None,
    )
    path = folder / storage.CARD
    card = without_header(path.read_text(encoding="utf-8")).rstrip()
    page = f"---\n{data.to_yaml()}\n---\n\n{card}\n\n{USE.format(name=repository)}"
    path.write_text(page, encoding="utf-8")


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ModelError('The Hugging Face hub needs the package huggingface_hub: pip install "napari-wsimil[hub]".') from error
    return huggingface_hub


def _told(error: Exception, repository: str, hub: Any) -> ModelError:
    """One sentence, with the way on."""
    errors = hub.errors
    status = getattr(getattr(error, "response", None), "status_code", None)
    address = f"https://huggingface.co/{repository}"
    way = f"log in with `hf auth login`, or give a token with the right to write ({TOKENS})"
    if isinstance(error, errors.LocalTokenNotFoundError):
        return ModelError(f"Nobody is logged in to the Hugging Face hub on this computer; {way}.")
    if status == 401:
        return ModelError(f"The Hugging Face hub does not know this login or token (any more); {way}.")
    if status == 403 or isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(f"You may not write to {address}; check the owner's name, or {way}.")
    if isinstance(error, errors.HFValidationError) or status == 400:
        return ModelError(f"{repository!r} can't be the name of a repository ({_first(error)}); choose another.")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return ModelError("HF_HUB_OFFLINE forbids to reach the Hugging Face hub; unset it and try again.")
    if status is None:
        return ModelError(
            f"The Hugging Face hub can't be reached ({_first(error)}); connect and try again, or share a .zip instead."
        )
    return ModelError(f"{address} can't be written ({_first(error)}); try again later, or share a .zip instead.")


def _first(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(". ")
