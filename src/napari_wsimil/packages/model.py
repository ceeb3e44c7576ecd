"""A model package in memory, and the folder it lives in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_wsimil.encoders import FILES as ENCODER_FILES
from napari_wsimil.encoders import AbsentEncoder, copy_encoder, load_encoder, storage, trust_program
from napari_wsimil.errors import ModelError
from napari_wsimil.mil import build_mil
from napari_wsimil.mil.adapted import Adapted
from napari_wsimil.packages.archive import is_archive, unpacked
from napari_wsimil.packages.cards import without_header
from napari_wsimil.packages.hub import fetch
from napari_wsimil.packages.places import in_library
from napari_wsimil.packages.spec import SCHEMA_VERSION, ModelSpec

if TYPE_CHECKING:
    from napari_wsimil.encoders import Encoder
    from napari_wsimil.mil import MILModel

SPEC = "model.json"
ENCODER = "./encoder"
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


def load_model(name: str | Path = "bundled", *, trust_code: bool = False) -> Model:
    """Load a model package; nothing is ever unpickled.

    Parameters
    ----------
    name
        ``"bundled"``; the name of one of the user's own models (`installed_models` lists them; ``"./name"`` is a folder of
        that name); the path of a package folder (`model.json`, `weights.safetensors`, `README.md`, and the folder `encoder`
        where a package brings its own) or of a .zip with one; or ``"hf:owner/name"`` with an optional ``@revision`` for the
        Hugging Face hub.
    trust_code
        Allow its encoder to run where that is a program (TorchScript or ExportedProgram).

    Raises
    ------
    ModelError
        There is no such package, it is broken, or it needs another encoder than there is; one sentence says which.
    """
    folder = package_folder(name)
    if trust_code:
        trust_program(read_model_spec(folder).encoder.name)
    files = (SPEC, storage.WEIGHTS, storage.CARD, *encoder_files(folder))
    return _load(folder.resolve(), str(name), storage.stamp(folder, *files))


def package_folder(name: str | Path) -> Path:
    """Return the folder of a package, downloaded first for "hf:", unpacked for a .zip; `ModelError` where there is none."""
    if str(name).startswith("hf:"):
        files = (SPEC, storage.WEIGHTS, storage.CARD)
        folder = fetch(str(name), files)
        own = encoder_files(folder)
        return fetch(str(name), (*files, *own)) if own else folder
    if str(name) == "bundled":
        return BUNDLED
    listed = in_library(name) if isinstance(name, str) else None
    folder = listed or Path(name).expanduser()
    if is_archive(folder):
        return unpacked(folder)
    if not folder.is_dir():
        raise ModelError(
            f'There is no model "{name}": give "bundled", one of `napari-wsimil models`, the path of a package folder or .zip, '
            'or "hf:owner/name".'
        )
    return folder


def read_model_spec(folder: Path) -> ModelSpec:
    """Read and check the `model.json` of a package folder."""
    return storage.read_spec(folder / SPEC, ModelSpec, SCHEMA_VERSION)


def network_of(spec: ModelSpec) -> MILModel:
    """Make the network that a spec names, its weights random.

    Raises
    ------
    ModelError
        The method is not known or a hyper-parameter is out of range.
    """
    network = build_mil(spec.method, spec.encoder.dimension, len(spec.classes), spec.parameters)
    return Adapted(network, spec.encoder.dimension) if spec.adapter else network


def encoder_files(folder: Path) -> tuple[str, ...]:
    """Return the files of the encoder that a package brings along, relative to its folder."""
    reference = read_model_spec(folder).encoder
    if not reference.inside:
        return ()
    own = folder / reference.name
    if not own.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"{own} is a link out of the package; put the encoder's folder itself there.")
    return tuple(f"{own.name}/{file}" for file in ENCODER_FILES)


def _encoder_of(spec: ModelSpec, folder: Path) -> Encoder:
    """Load the encoder that a package names, from the package's folder where it brings its own."""
    reference = spec.encoder
    if not reference.name:
        return AbsentEncoder(reference.id, reference.dimension, patch_size=spec.patch_size, mpp=spec.mpps[-1])
    if not reference.inside:
        return load_encoder(reference.name)
    own = folder / reference.name
    if not own.is_dir():
        raise ModelError(f"{folder} lacks its folder {own.name!r} with the encoder; copy or download the whole package.")
    return load_encoder(own)


@lru_cache(maxsize=4)
def _load(folder: Path, source: str, _stamp: tuple[tuple[str, int, int], ...]) -> Model:
    spec = read_model_spec(folder)
    encoder = _matching_encoder(spec, folder)
    mil = network_of(spec)
    tensors = storage.read_weights(folder / storage.WEIGHTS)
    storage.fill(mil, tensors, folder / storage.WEIGHTS)
    # left out where they say what was meant before they could be said, so that the digest of older packages stays
    usual = {
        name for name, value in (("resampling", "area"), ("colour", "raw"), ("adapter", False)) if getattr(spec, name) == value
    }
    behaviour = spec.model_dump_json(exclude={"id", "title", "training", "metrics", "calibration", *usual})
    scaling = [f"temperature {spec.calibration.temperature!r}"] if spec.calibration and spec.calibration.scales else []
    card = folder / storage.CARD
    text = without_header(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else ""
    return Model(spec, mil, encoder, storage.digest(tensors, behaviour, *scaling), text, source)


def _matching_encoder(spec: ModelSpec, folder: Path) -> Encoder:
    """Load the encoder of a model, or say in what the one that is there differs."""
    wanted = spec.encoder
    encoder = _encoder_of(spec, folder)
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
    if not encoder.takes(spec.patch_size):
        raise ModelError(
            f"Model {spec.id} in {folder} takes patches of {spec.patch_size} px, but encoder {encoder.id} takes "
            f"{encoder.patch_size} px; use a package made for {encoder.id}."
        )
    return encoder


def _with_encoder(spec: ModelSpec, name: str | Path | None) -> ModelSpec:
    """Return the spec with its encoder at another place, or as it is for None."""
    return spec if name is None else spec.model_copy(update={"encoder": spec.encoder.model_copy(update={"name": str(name)})})


def save_model(
    folder: str | Path,
    mil: MILModel,
    spec: ModelSpec,
    card: str = "",
    dtype: torch.dtype = torch.float32,
    *,
    encoder: str | Path | None = None,
) -> Model:
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
    encoder
        Folder of the encoder that the package is to bring along: copied to its subfolder `encoder`, which the stored spec then
        names. None: the encoder stays where the spec says.

    Raises
    ------
    ModelError
        The folder can't be written, or network, spec and encoder do not fit each other.
    """
    target = Path(folder).expanduser()
    _matching_encoder(_with_encoder(spec, encoder), target)
    if encoder is not None:
        copy_encoder(encoder, target / ENCODER)
        spec = _with_encoder(spec, ENCODER)
    storage.write_folder(target, SPEC, spec, storage.weights_of(mil, dtype), card or f"# {spec.title or spec.id}\n")
    return load_model(target)
