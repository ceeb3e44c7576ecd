"""Names to encoders: where the files are, which library reads them, and what is kept in mind of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_wsimil.encoders import storage
from napari_wsimil.encoders.foreign.encoder import LARGEST, SMALLEST, ForeignEncoder, ForeignSpec
from napari_wsimil.encoders.foreign.known import KnownEncoder, known_at
from napari_wsimil.encoders.foreign.loaded import ASKED_SIDE
from napari_wsimil.encoders.foreign.names import commit_of
from napari_wsimil.encoders.foreign.programs import load_program, storage_name
from napari_wsimil.encoders.foreign.weights import CONFIGS, PICKLED, SAFE, digest_of, find_weights, read_json
from napari_wsimil.encoders.hub import fetch_files
from napari_wsimil.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from napari_wsimil.encoders.foreign.loaded import Loaded
    from napari_wsimil.encoders.foreign.names import EncoderName

MPP = 0.5
"""µm per pixel where nobody says: that of a 20x objective, at which most of them were trained."""
COPY = "copy Hugging Face's cache (HF_HOME) from a computer that has it"


def load_foreign(name: EncoderName) -> ForeignEncoder:
    """Load an encoder that others made onto the CPU.

    Raises
    ------
    ModelError
        It is not there, needs a library that is not there, is gated, broken or of an unknown kind; one sentence says which.
    """
    if name.kind == "program":
        if name.part:
            raise ModelError(f"{name.place} is a program and has no part {name.part!r}; leave that away.")
        path = Path(name.place)
        return _load_program(path, storage.stamp(path.parent, path.name, path.with_suffix(".json").name))
    if name.kind == "folder":
        folder = Path(name.place)
        files = [file.name for file in find_weights(folder)]
        return _load(name, folder, storage.stamp(folder, *CONFIGS, *files))
    exact, folder = _downloaded(name)
    return _load(exact, folder, ())


def in_cache(repo: str) -> bool:
    """Whether weights of a repository are on this computer already."""
    known = _table(repo)
    try:
        folder = fetch_files(repo, repo, None, _patterns(known), cached=True)
    except ModelError:
        return False
    return bool(find_weights(folder, known.files if known else ()))


def _table(repo: str) -> KnownEncoder | None:
    found = known_at(repo)
    return found[1] if found else None


def _patterns(known: KnownEncoder | None) -> list[str]:
    return [*CONFIGS, *(known.files if known and known.files else SAFE)]


@lru_cache(maxsize=16)
def _downloaded(name: EncoderName) -> tuple[EncoderName, Path]:
    """Name with its commit, and folder; asked for once in a process, so that it stays the same while that runs."""
    known = _table(name.place)
    named = known.files if known else ()
    if name.pinned:
        # nothing of a commit ever changes, so what is here is enough, also without a network
        folder = _cached(name, [*_patterns(known), *PICKLED])
        if folder is not None and find_weights(folder, named):
            return name, folder
    folder = fetch_files(str(name), name.place, name.revision, _patterns(known), instead=COPY)
    exact = name.at(commit_of(folder))
    if not find_weights(folder, named):
        folder = fetch_files(str(name), name.place, exact.revision, [*CONFIGS, *PICKLED], instead=COPY)
    return exact, folder


def _cached(name: EncoderName, patterns: list[str]) -> Path | None:
    try:
        return fetch_files(str(name), name.place, name.revision, patterns, cached=True)
    except ModelError:
        return None


@lru_cache(maxsize=2)
def _load_program(path: Path, _stamp: tuple[tuple[str, int, int], ...]) -> ForeignEncoder:
    return load_program(path)


@lru_cache(maxsize=2)
def _load(name: EncoderName, folder: Path, _stamp: tuple[tuple[str, int, int], ...]) -> ForeignEncoder:
    known = _table(name.place) if name.kind == "hub" else None
    loaded = _built(name, folder, known)
    side = known.patch_size if known else min(max(loaded.pixels.side or ASKED_SIDE, SMALLEST), LARGEST)
    spec = ForeignSpec(
        id=_id(name, folder),
        architecture=loaded.architecture,
        dimension=_dimension(loaded.network, loaded.pixels.output(side), name, known),
        patch_size=side,
        mpp=(known.mpp if known else None) or MPP,
        mean=loaded.pixels.mean,
        std=loaded.pixels.std,
        library=loaded.library,
        source=str(name),
        revision=name.revision,
        pooling=loaded.pooling,
        pixels=loaded.pixels,
        licence=known.licence if known else "",
        also_called=(known.trident,) if known and known.trident else (),
    )
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    built = known.model_dump_json(include={"architecture", "arguments", "prefix"}) if known else ""
    weights = find_weights(folder, known.files if known else ())
    behaviour = (loaded.library, loaded.architecture, loaded.pooling, loaded.pixels.model_dump_json(), built)
    return ForeignEncoder(spec, loaded.network, digest_of(weights, config, *behaviour))


def _built(name: EncoderName, folder: Path, known: KnownEncoder | None) -> Loaded:
    """Build the network with the library that its configuration belongs to."""
    library = known.library if known else _library(folder, name)
    if library == "timm":
        from napari_wsimil.encoders.foreign.timm_models import load_timm

        return load_timm(folder, str(name), name.part, known)
    from napari_wsimil.encoders.foreign.transformers_models import load_transformers

    part = name.part or (known.pooling if known else "")
    return load_transformers(folder, str(name), part, known.pixels if known else None)


def _library(folder: Path, name: EncoderName) -> str:
    config = read_json(folder / "config.json")
    # some models of timm carry a model_type as well, so that Hugging Face counts their downloads
    if isinstance(config.get("architecture"), str):
        return "timm"
    if "model_type" in config:
        return "transformers"
    raise ModelError(f"{name} is no model of transformers or timm (its config.json names neither); choose another.")


def _id(name: EncoderName, folder: Path) -> str:
    found = known_at(name.place) if name.kind == "hub" else None
    text = found[0] if found else name.place.replace("/", "--") if name.kind == "hub" else folder.name
    return storage_name(f"{text}-{name.part.replace('+', '-')}" if name.part else text)


@torch.inference_mode()
def _dimension(network: nn.Module, size: tuple[int, int], name: EncoderName, known: KnownEncoder | None) -> int:
    """Length of the features of one patch, which must be what the table says."""
    try:
        features = network(torch.zeros(1, 3, *size))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{name} can't take {size[1]} x {size[0]} px ({problem}); take another copy of it.") from error
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        raise ModelError(f"{name} gives no single vector for a patch; say which by #cls, #mean or #cls+mean behind its name.")
    dimension = int(features.shape[1])
    if known and known.dimension and not name.part and dimension != known.dimension:
        raise ModelError(
            f"{name} gives {dimension} features, not the {known.dimension} that are known of it: it was changed; give an older "
            "@revision."
        )
    return dimension
