"""The table of pathology's encoders: where they are, how they are built, what patches they take, under which licence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_wsimil.encoders.foreign.pixels import PixelSpec  # noqa: TC001 - pydantic checks by it

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = Path(__file__).parent / "known.toml"

Length = Annotated[int, Field(ge=1, le=65536)]
Pooling = Literal["cls", "mean", "cls+mean", "projection"]


class KnownEncoder(BaseModel):
    """One entry of the table; None where nothing could be verified.

    Attributes
    ----------
    title, source
        For people; where the facts come from.
    trident
        What TRIDENT calls it in its feature files; "" where it has not got it.
    repo, library
        Repository on Hugging Face, and what it is loaded with.
    architecture, arguments
        What timm builds; None: as its config.json says.
    prefix, files
        Of the weights, where they are part of a larger file; the names of their files.
    dimension
        Length of a feature vector.
    input_size
        Side of what the network sees, in pixels.
    patch_size, mpp
        Side of patches in pixels, and µm per pixel, that it is used with.
    pooling
        What of the network becomes the features.
    pixels
        How patches are prepared; None: as its own configuration says.
    licence, gated
        As its makers name it; whether its terms must be accepted before it can be downloaded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: str
    source: str
    trident: str = ""
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    library: Literal["timm", "transformers"]
    architecture: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    prefix: str = ""
    files: tuple[str, ...] = ()
    dimension: Length | None = None
    input_size: Length
    patch_size: int = Field(ge=32, le=4096)
    mpp: float | None = Field(default=None, gt=0, le=100)
    pooling: Pooling
    pixels: PixelSpec | None = None
    licence: str = ""
    gated: bool | None = None


def _read() -> Mapping[str, KnownEncoder]:
    entries = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {name: KnownEncoder.model_validate(entry) for name, entry in entries.items()}


KNOWN = _read()


def known_at(repo: str) -> tuple[str, KnownEncoder] | None:
    """Return short name and entry of a repository, however its letters are written; None where it is not in the table."""
    return next(((name, entry) for name, entry in KNOWN.items() if entry.repo.lower() == repo.lower()), None)
