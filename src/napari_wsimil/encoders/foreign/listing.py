"""Which encoders can be used here and now, for whoever lets somebody choose."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wsimil.encoders._folders import load_encoder
from napari_wsimil.encoders.foreign.known import KNOWN
from napari_wsimil.encoders.foreign.loading import MPP, in_cache

if TYPE_CHECKING:
    from napari_wsimil.encoders.foreign.known import KnownEncoder

HERE = "here"


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder that somebody may choose.

    Attributes
    ----------
    name
        For `load_encoder`.
    title
        For people.
    mpp, patch_size
        µm per pixel, and side in pixels, of the patches that it takes where nothing else is said.
    problem
        Why it can't be loaded here and now, in one sentence; empty where it can.
    """

    name: str
    title: str
    mpp: float
    patch_size: int
    problem: str = ""


def state_of(entry: KnownEncoder) -> str:
    """Say in words whether an encoder of the table can be used here and now."""
    extra = "timm" if entry.library == "timm" else "hf"
    if find_spec("huggingface_hub") is None or find_spec(entry.library) is None:
        return f'needs pip install "napari-wsimil[{extra}]"'
    if in_cache(entry.repo):
        return HERE
    return "not downloaded; its terms must be accepted first" if entry.gated else "not downloaded"


def encoder_choices() -> list[EncoderChoice]:
    """The bundled encoder, then those of the table: those that can be loaded first."""
    known = [
        EncoderChoice(name, entry.title, entry.mpp or MPP, entry.patch_size, _problem(name, entry))
        for name, entry in KNOWN.items()
    ]
    return [encoder_choice("bundled", "Bundled encoder"), *sorted(known, key=lambda choice: bool(choice.problem))]


def encoder_choice(name: str, title: str = "") -> EncoderChoice:
    """An encoder by what `load_encoder` takes, which it is loaded for.

    Raises
    ------
    ModelError
        It can't be loaded; one sentence says why.
    """
    spec = load_encoder(name).spec
    return EncoderChoice(name, title or f"{spec.id} ({Path(name).name})", spec.mpp, spec.patch_size)


def _problem(name: str, entry: KnownEncoder) -> str:
    state = state_of(entry)
    if state == HERE:
        return ""
    if not state.startswith("not downloaded"):
        return f"{entry.title} {state}."
    terms = f"accept its terms on https://huggingface.co/{entry.repo}, then run" if entry.gated else "run"
    return f"{entry.title} is not on this computer: {terms} `napari-wsimil encoders {name}` once."
