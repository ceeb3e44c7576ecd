"""A model package in memory, and the folder it lives in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_wsimil.encoders import load_encoder, storage
from napari_wsimil.errors import ModelError
from napari_wsimil.mil import build_mil
from napari_wsimil.packages.hub import fetch
from napari_wsimil.packages.spec import SCHEMA_VERSION, ModelSpec

if TYPE_CHECKING:
    from napari_wsimil.encoders import Encoder
    from napari_wsimil.mil import MILModel

SPEC = "model.json"
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True, eq=False)
class Model:
    """A model ready to predict.

    Attributes
    ----------
    spec
        The validated `model.json`.
    mil
        The network, on the CPU and in evaluation; copy it before moving it elsewhere.
    encoder
        The encoder whose features it takes, on the CPU.
    digest
        Short sha256 of the weights and of everything in the spec that changes a prediction.
    card
        The model card, Markdown.
    source
        What `load_model` was asked for.
    """

    spec: ModelSpec
    mil: MILModel
    encoder: Encoder
    digest: str
    card: str
    source: str

    @property
    def id(self) -> str:
        """Name for files."""
        return self.spec.id

    @property
    def title(self) -> str:
        """Name for people."""
        return self.spec.title or self.spec.id

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.spec.classes

    @property
    def positive_class(self) -> str | None:
        """The class whose evidence is shown first, or None."""
        return self.spec.positive_class


def load_model(name: str | Path = "bundled") -> Model:
    """Load a model package; nothing is ever unpickled.

    Parameters
    ----------
    name
        ``"bundled"``, the path of a package folder (`model.json`, `weights.safetensors`, `README.md`), or
        ``"hf:owner/name"`` with an optional ``@revision`` for the Hugging Face hub.

    Raises
    ------
    ModelError
        There is no such package, it is broken, or it needs another encoder than there is; one sentence says which.
    """
    folder = package_folder(name)
    return _load(folder.resolve(), str(name), storage.stamp(folder, SPEC, storage.WEIGHTS, storage.CARD))


def package_folder(name: str | Path) -> Path:
    """Return the folder of a package, downloaded first for "hf:"; raises `ModelError` where there is none."""
    if str(name).startswith("hf:"):
        return fetch(str(name), (SPEC, storage.WEIGHTS, storage.CARD))
    folder = BUNDLED if str(name) == "bundled" else Path(name).expanduser()
    if not folder.is_dir():
        raise ModelError(f'There is no model "{name}": give "bundled", the path of a package folder or "hf:owner/name".')
    return folder


def read_model_spec(folder: Path) -> ModelSpec:
    """Read and check the `model.json` of a package folder."""
    return storage.read_spec(folder / SPEC, ModelSpec, SCHEMA_VERSION)


@lru_cache(maxsize=4)
def _load(folder: Path, source: str, _stamp: tuple[tuple[str, int, int], ...]) -> Model:
    spec = read_model_spec(folder)
    encoder = _matching_encoder(spec, folder)
    mil = build_mil(spec.method, spec.encoder.dimension, len(spec.classes), spec.parameters)
    tensors = storage.read_weights(folder / storage.WEIGHTS)
    storage.fill(mil, tensors, folder / storage.WEIGHTS)
    # left out where they say what was meant before they could be said, so that the digest of older packages stays
    usual = {name for name, value in (("resampling", "area"), ("colour", "raw")) if getattr(spec, name) == value}
    behaviour = spec.model_dump_json(exclude={"id", "title", "training", "metrics", *usual})
    card = folder / storage.CARD
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return Model(spec, mil, encoder, storage.digest(tensors, behaviour), text, source)


def _matching_encoder(spec: ModelSpec, folder: Path) -> Encoder:
    """Load the encoder of a model, or say in what the one that is there differs."""
    wanted = spec.encoder
    encoder = load_encoder(wanted.name)
    if encoder.dimension != wanted.dimension:
        raise ModelError(
            f"Model {spec.id} in {folder} takes {wanted.dimension} features per patch, but encoder {encoder.id} gives "
            f"{encoder.dimension}; use a package made for {encoder.id}."
        )
    if (encoder.id, encoder.digest) != (wanted.id, wanted.digest):
        raise ModelError(
            f"Model {spec.id} in {folder} was made for encoder {wanted.id} ({wanted.digest}), but {wanted.name!r} is "
            f"{encoder.id} ({encoder.digest}); use a package made for that, or the napari-wsimil that this one comes from."
        )
    if encoder.patch_size != spec.patch_size:
        raise ModelError(
            f"Model {spec.id} in {folder} takes patches of {spec.patch_size} px, but encoder {encoder.id} takes "
            f"{encoder.patch_size} px; use a package made for {encoder.id}."
        )
    return encoder


def save_model(folder: str | Path, mil: MILModel, spec: ModelSpec, card: str = "", dtype: torch.dtype = torch.float32) -> Model:
    """Write a model package and return it as `load_model` reads it.

    Parameters
    ----------
    folder
        Made if missing; files of the same name in it are replaced.
    mil
        The trained network that `build_mil(spec.method, ...)` makes.
    spec
        What to say of it.
    card
        Model card in Markdown: data, figures, intended use, limits.
    dtype
        Precision of the stored weights.

    Raises
    ------
    ModelError
        The folder can't be written, or network, spec and encoder do not fit each other.
    """
    target = Path(folder).expanduser()
    _matching_encoder(spec, target)
    storage.write_folder(target, SPEC, spec, storage.weights_of(mil, dtype), card or f"# {spec.title or spec.id}\n")
    return load_model(target)
