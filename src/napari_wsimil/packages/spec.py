"""What a model package says of itself: the schema of `model.json`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from napari_wsimil.packages.calibration import Calibration  # noqa: TC001 - pydantic checks by it
from napari_wsimil.patches import PatchSpec
from napari_wsimil.slides import Colour, Resampling  # noqa: TC001 - pydantic checks by them

if TYPE_CHECKING:
    from napari_wsimil.encoders import Encoder

SCHEMA_VERSION = 1

Mpp = Annotated[float, Field(gt=0, le=100)]
ClassName = Annotated[str, Field(min_length=1, max_length=100)]

_INSIDE = re.compile(r"\./[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class EncoderReference(BaseModel):
    """The encoder whose features the model was trained on.

    Attributes
    ----------
    name
        What `load_encoder` takes: "bundled", a folder, "hf:owner/name@commit" and so on; or "./encoder", the subfolder of the
        package that holds it; or "" for an encoder that is known by name only: such a model takes features that were made
        elsewhere, and no pixels.
    id, digest, dimension
        What that encoder must turn out to be.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "bundled"
    id: str
    digest: str
    dimension: int = Field(ge=1, le=65536)

    @field_validator("name")
    @classmethod
    def _never_outside(cls, name: str) -> str:
        if name.startswith(".") and not _INSIDE.fullmatch(name):
            raise ValueError(f"{name!r} is no subfolder of the package; it looks like './encoder'")
        return name

    @property
    def inside(self) -> bool:
        """Whether the encoder lies in the package's own folder and moves with it."""
        return self.name.startswith("./")

    @classmethod
    def to(cls, encoder: Encoder, name: str = "bundled") -> Self:
        """Refer to `encoder`, which `load_encoder(name)` gives."""
        return cls(name=name, id=encoder.id, digest=encoder.digest, dimension=encoder.dimension)


class ModelSpec(BaseModel):
    """The content of `model.json`.

    Attributes
    ----------
    id, title
        For files, and for people.
    method, parameters
        A name in `mil.METHODS` and its hyper-parameters.
    classes, positive_class
        In the order of the logits; the class whose evidence is shown first, or None.
    encoder
        Whose features.
    mpps
        Magnifications in µm per pixel, coarse to fine.
    patch_size, stride
        In pixels at each mpp.
    tissue_method, min_tissue
        How patches were chosen.
    resampling, colour
        How their pixels are read, see `Slide.read_region`.
    adapter
        Whether a small adapter of the features stands in front of the network (`mil.adapted`), as fine-tuning can put there.
    calibration
        How probabilities are made to mean what they say, or None: as the network gives them.
    training, metrics
        Free provenance: data, command, figures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    title: str = Field(default="", max_length=200)
    method: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    classes: tuple[ClassName, ...] = Field(min_length=2, max_length=1000)
    positive_class: str | None = None
    encoder: EncoderReference
    mpps: tuple[Mpp, ...] = Field(min_length=1, max_length=16)
    patch_size: int = Field(default=256, ge=32, le=4096)
    stride: int = Field(default=256, ge=1, le=4096)
    tissue_method: str = "hsv-otsu"
    min_tissue: float = Field(default=0.25, ge=0, le=1)
    resampling: Resampling = "area"
    colour: Colour = "raw"
    adapter: bool = False
    calibration: Calibration | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("two classes have the same name")
        if self.positive_class is not None and self.positive_class not in self.classes:
            raise ValueError(f"positive_class {self.positive_class!r} is none of the classes")
        if list(self.mpps) != sorted(set(self.mpps), reverse=True):
            raise ValueError("mpps must be different and go from coarse to fine (large to small)")
        return self

    def patch_specs(self) -> tuple[PatchSpec, ...]:
        """How patches are cut, one for each magnification."""
        return tuple(
            PatchSpec(
                mpp,
                self.patch_size,
                self.stride,
                min_tissue=self.min_tissue,
                tissue_method=self.tissue_method,
                resampling=self.resampling,
                colour=self.colour,
            )
            for mpp in self.mpps
        )
