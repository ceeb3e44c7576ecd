"""A prediction of the network as it is now, from the features that it is trained with."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch

from napari_wsimil.bags.bag import BagView
from napari_wsimil.bags.images import ImageBag
from napari_wsimil.encoders import AbsentEncoder
from napari_wsimil.errors import TrainingError
from napari_wsimil.inference.options import PatchOptions
from napari_wsimil.inference.result import Run, assemble
from napari_wsimil.packages import Model
from napari_wsimil.slides import open_slide
from napari_wsimil.training.data.feature_folders import FEATURE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_wsimil.bags import Bag
    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.mil import MILModel
    from napari_wsimil.packages import EncoderReference, ModelSpec
    from napari_wsimil.patches import PatchGrid
    from napari_wsimil.slides import Slide
    from napari_wsimil.training.data.manifest import Case
    from napari_wsimil.training.watching import Glance

STORED = "stored"


class PlacedBag(BagView):
    """A bag whose patches have places, from elsewhere where it has none itself; and what a prediction tells of it.

    Parameters
    ----------
    bag
        The bag.
    name
        Of its slide.
    encoder
        What made its features.
    places
        Mpp -> patches, or None.
    """

    precision = STORED

    def __init__(
        self, bag: Bag, name: str, encoder: EncoderReference, places: Callable[[float], PatchGrid] | None = None
    ) -> None:
        super().__init__(bag)
        self.encoder, self._name, self._places = encoder, name, places
        self._grids: dict[float, PatchGrid] = {}

    @property
    def encoded(self) -> dict[float, int]:
        """Nothing was encoded for this."""
        return dict.fromkeys(self.mpps, 0)

    def grid(self, mpp: float) -> PatchGrid:
        """Return the patches at `mpp`; raises `TrainingError` where nobody knows where they lie."""
        if mpp not in self._grids:
            try:
                self._grids[mpp] = self._bag.grid(mpp) if self._places is None else self._places(mpp)
            except (KeyError, AttributeError) as error:
                raise TrainingError(
                    f"The features of {self._name} do not say where its patches lie, so nothing can be shown on the slide; "
                    "extract them again to see it (napari-wsimil extract)."
                ) from error
        return self._grids[mpp]


class Looking:
    """Looks at slides with networks that are being trained; the slide stays open, since it is looked at again."""

    def __init__(self) -> None:
        self._slide: tuple[Path, Slide] | None = None

    def at(self, glance: Glance, name: str) -> tuple[SlidePrediction, str]:
        """What the network sees on the slide called `name`, and one sentence on what is not known of the slide, or "".

        Raises
        ------
        TrainingError
            There is no such slide, or nobody knows where its patches lie.
        """
        if glance.spec is None:
            raise TrainingError("Nothing is known of the model to be, so nothing can be shown.")
        bag = _bag(glance, name, glance.spec.encoder)
        network = cast("MILModel", glance.model).eval()
        with torch.inference_mode():
            output = network(bag)
        slide, missing = self._opened(glance.cases.get(name), name)
        specs = tuple(spec for spec in glance.spec.patch_specs() if spec.mpp in bag.mpps)
        device = next(network.parameters()).device
        run = Run(slide, _model(glance.spec, network, glance), bag, device, {}, (), specs, PatchOptions())
        prediction = assemble([output], run)
        about = {**prediction.provenance, "training": {"stage": glance.stage, "epoch": glance.epoch, "slide": name}}
        return replace(prediction, provenance=about), missing

    def _opened(self, case: Case | None, name: str) -> tuple[Slide | None, str]:
        path = None if case is None else case.slide or case.path
        if case is None or path is None or path.suffix.lower() in FEATURE_SUFFIXES:
            return None, f"The manifest names features of {name}, not the slide; open the slide to see it there."
        if self._slide is None or self._slide[0] != path:
            self._slide = path, open_slide(path, mpp=case.mpp)
        return self._slide[1], ""


def _bag(glance: Glance, name: str, encoder: EncoderReference) -> PlacedBag:
    """The slide's bag, of those that judge or those that teach."""
    for side, bags in (("validation", glance.validation), ("train", glance.train)):
        if name in bags.names:
            row = list(bags.names).index(name)
            bag = bags.bag(row)
            if isinstance(bag, ImageBag):
                raise TrainingError(f"{name} is a folder of patch images: nobody knows where on a slide they lie.")
            return PlacedBag(bag, name, encoder, _places(glance, side, row))
    raise TrainingError(f"{name} is none of the slides of this training; choose another one to watch.")


def _places(glance: Glance, side: str, row: int) -> Callable[[float], PatchGrid] | None:
    places = glance.places
    return None if places is None else lambda mpp: places(side, row, mpp)


def _model(spec: ModelSpec, network: MILModel, glance: Glance) -> Model:
    """The model to be, as it is now."""
    state = hashlib.sha256(f"{spec.id} {glance.stage} {glance.epoch}".encode()).hexdigest()[:16]
    absent = AbsentEncoder(spec.encoder.id, spec.encoder.dimension, patch_size=spec.patch_size, mpp=spec.mpps[-1])
    return Model(spec, network, absent, state, "", "training")
