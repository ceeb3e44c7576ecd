"""The two forms of what learns to see coarse patches: a copy of the encoder, or an adapter behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_wsimil.encoders import load_encoder, load_network, save_encoder
from napari_wsimil.mil.adapted import Adapted
from napari_wsimil.mil.cross_resolution import FeatureAdapter
from napari_wsimil.packages import EncoderReference
from napari_wsimil.training.data.pixels import normalised
from napari_wsimil.training.lrmil.distillation import AdapterDistillation, DistillationSettings, EncoderDistillation
from napari_wsimil.training.lrmil.fine import look_through
from napari_wsimil.training.lrmil.sets import CoarsePatches, TaughtSlides
from napari_wsimil.training.lrmil.tables import SlideTables
from napari_wsimil.training.lrmil.taps import taps_of, vectors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from napari_wsimil.mil import MILModel
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.lrmil.context import Context
    from napari_wsimil.training.recipe import Recipe

ENCODER_RATE, ADAPTER_RATE = 1e-4, 1e-3


class Learner(ABC):
    """What stage 3 trains.

    Attributes
    ----------
    network
        What learns; begun anew with every instance.
    settings
        Of stage 3.
    adapts
        Whether it becomes an adapter in front of the student.
    encoder
        Folder of the encoder that it becomes, or None.
    """

    network: nn.Module
    adapts = False
    encoder: Path | None = None

    def __init__(self, context: Context, learning_rate: float) -> None:
        self.context = context
        settings = context.settings
        self.settings = DistillationSettings(
            epochs=settings.patch_epochs,
            learning_rate=settings.patch_learning_rate or learning_rate,
            batch=settings.patch_batch,
            patience=settings.patch_patience,
            patches=settings.patches_of_slide,
            layer_weight=settings.layer_weight,
            final_weight=settings.final_weight,
            select="loss",
            clip=settings.clip,
            precision=settings.precision,
            seed=settings.seed,
        )

    @abstractmethod
    def recipe(self) -> tuple[Recipe, BagSet]:
        """How it learns, and what chooses the epoch."""

    @abstractmethod
    def keep(self, results: Mapping[str, Any]) -> None:
        """Write what it became, beside its weights."""

    @abstractmethod
    def features(self, side: str, folder: Path) -> Iterator[tuple[int, int]]:
        """Make the features of coarse patches that the student needs; yields as `look` does."""

    @abstractmethod
    def reader(self, side: str) -> Callable[[int], Tensor]:
        """Row -> (Nc, D) features of the coarse patches, for the student."""

    @abstractmethod
    def equip(self, student: MILModel) -> MILModel:
        """Return the student with its part of this."""

    @abstractmethod
    def reference(self) -> EncoderReference:
        """The encoder whose features the student takes."""


class EncoderLearner(Learner):
    """A copy of the encoder, all weights of which learn."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, ENCODER_RATE)
        self._spec, self._encoder = load_network(context.task.spec.encoder.name)
        self.network = taps_of(self._encoder, context.children_across).to(context.task.device)
        self.encoder = context.folder("3-distillation") / "encoder"

    def recipe(self) -> tuple[Recipe, BagSet]:
        """Coarse patches of the training slides teach, those of the validation slides choose the epoch."""
        c = self.context
        train, validation = (
            CoarsePatches(bags, c.pixels[side], c.mpps, c.fine(side), c.taught(side)) for side, bags in c.sides.items()
        )
        blank = np.zeros((1, self._spec.patch_size, self._spec.patch_size, 3), np.uint8)
        widths = vectors_of(self.network, normalised(blank, self._spec, c.task.device))[2]
        return EncoderDistillation(self.network, train, self.settings, self._spec, widths), validation

    def keep(self, results: Mapping[str, Any]) -> None:
        """Write the encoder's folder."""
        spec, coarse = self._spec, self.context.mpps[0]
        made_from = f"{spec.id} {self.context.task.spec.encoder.digest}"
        assert self.encoder is not None  # noqa: S101 - set in __init__
        save_encoder(
            self._encoder.cpu(),
            self.encoder,
            id=f"{spec.id[:54]}-distilled",
            mean=spec.mean,
            std=spec.std,
            patch_size=spec.patch_size,
            mpp=coarse,
            training={"method": "LRMIL, distillation of patches", "from": made_from, **results},
            card=f"# {spec.id}-distilled\n\n{made_from}, taught to see patches at {coarse:g} µm per pixel (LRMIL).\n",
            dtype=torch.float32,
        )
        self._encoder.to(self.context.task.device)

    def features(self, side: str, folder: Path) -> Iterator[tuple[int, int]]:
        """Encode all coarse patches, those without children too."""
        c, tables = self.context, SlideTables(folder / side, "features")
        assert self.encoder is not None  # noqa: S101 - set in __init__
        encoder = load_encoder(self.encoder).to(c.task.device)
        for row in range(len(c.sides[side])):
            if not tables.has(row):
                corners = np.array(c.fine(side).table(row, "corners"))
                parts = yield from look_through(c.pixels[side], row, c.mpps[0], corners, encoder.encode)
                tables.save(row, features=torch.cat(parts).numpy())
            yield row, -1

    def reader(self, side: str) -> Callable[[int], Tensor]:
        """Features that stage 4 kept."""
        tables = SlideTables(self.context.folder("4-coarse-features") / side, "features")
        return lambda row: torch.from_numpy(np.array(tables.table(row, "features")))

    def equip(self, student: MILModel) -> MILModel:
        """Return it as it is: the encoder stands before the student."""
        return student

    def reference(self) -> EncoderReference:
        """The encoder that stage 3 wrote."""
        assert self.encoder is not None  # noqa: S101 - set in __init__
        return EncoderReference.to(load_encoder(self.encoder), str(self.encoder))


class AdapterLearner(Learner):
    """An adapter behind the encoder, which stays as it is; it becomes part of the student."""

    adapts = True

    def __init__(self, context: Context) -> None:
        super().__init__(context, ADAPTER_RATE)
        self.network = FeatureAdapter(context.task.spec.encoder.dimension).to(context.task.device)

    def recipe(self) -> tuple[Recipe, BagSet]:
        """Training slides teach, validation slides choose the epoch."""
        c = self.context
        train, validation = (TaughtSlides(bags, c.mpps, c.fine(side), c.taught(side)) for side, bags in c.sides.items())
        return AdapterDistillation(self.network, train, self.settings, c.mpps), validation

    def keep(self, results: Mapping[str, Any]) -> None:
        """Nothing more: the student holds it."""

    def features(self, side: str, folder: Path) -> Iterator[tuple[int, int]]:
        """Nothing to make: the coarse features are those of the frozen encoder."""
        yield from ()

    def reader(self, side: str) -> Callable[[int], Tensor]:
        """Coarse features of the task's bags."""
        bags, coarse = self.context.sides[side], self.context.mpps[0]
        return lambda row: bags.bag(row).features(coarse)

    def equip(self, student: MILModel) -> MILModel:
        """Return it behind a copy of the adapter."""
        adapted = Adapted(student, self.context.task.spec.encoder.dimension).to(self.context.task.device)
        adapted.adapter.load_state_dict(self.network.state_dict())
        return adapted

    def reference(self) -> EncoderReference:
        """The task's encoder."""
        return self.context.task.spec.encoder


def learner_of(context: Context) -> Learner:
    """What the settings ask for."""
    return EncoderLearner(context) if context.settings.form == "encoder" else AdapterLearner(context)
