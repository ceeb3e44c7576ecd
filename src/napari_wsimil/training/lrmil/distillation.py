"""Stage 3: teach a copy of the encoder, or an adapter behind it, to see in a coarse patch what was seen in its children."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from napari_wsimil.mil.cross_resolution import PatchDistillation, Taps, patch_distillation
from napari_wsimil.mil.parameters import parameter
from napari_wsimil.training.bag_sets import load_ahead
from napari_wsimil.training.data.pixels import normalised
from napari_wsimil.training.optimisers import make_optimiser
from napari_wsimil.training.recipe import Recipe, in_batches
from napari_wsimil.training.settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from napari_wsimil.bags import Bag
    from napari_wsimil.encoders import EncoderSpec
    from napari_wsimil.mil import MILModel
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.lrmil.sets import CoarsePatch, CoarsePatches, TaughtSlide, TaughtSlides
    from napari_wsimil.training.recipe import Phase

AT_ONCE = 1024
"""Coarse patches of a slide that an adapter looks at in one step: with 16 children of 1024 numbers each, 64 MB."""


class DistillationSettings(TrainingSettings):
    """Settings of stage 3, made from those of the whole recipe."""

    batch: int = parameter(32, "Coarse patches in a step.", "ours", ge=1)
    layer_weight: float = parameter(1.0, "Weight of the layers.", "ours", ge=0)
    final_weight: float = parameter(1.0, "Weight of the features.", "ours", ge=0)
    patches: int = parameter(0, "Coarse patches of each slide in an epoch; 0: all.", "ours", ge=0)


class Distillation(Recipe):
    """What both forms share: one optimiser over the network that learns, judged by the same losses on validation slides.

    Parameters
    ----------
    model
        The network that learns; no MIL model, the trainer only keeps its weights.
    bags, settings
        See `Recipe`.
    """

    settings: DistillationSettings

    def __init__(self, model: nn.Module, bags: BagSet, settings: DistillationSettings) -> None:
        super().__init__(cast("MILModel", model), bags, settings)
        self.optimisers = {"model": make_optimiser(settings, model.parameters())}

    def minimise(self, losses: PatchDistillation) -> dict[str, float]:
        """Take one step; returns the losses by name."""
        total = self.total(losses)
        self.backward(total)
        self.change()
        return {"loss": float(total.detach()), "layers": float(losses.layers.detach()), "final": float(losses.final.detach())}

    def total(self, losses: PatchDistillation) -> Tensor:
        """L_patch with the weights of the settings."""
        return losses.total(self.settings.layer_weight, self.settings.final_weight)

    def judge(self, validation: BagSet) -> dict[str, float]:
        """Mean losses over the validation slides; "loss" is what chooses the epoch."""
        self.model.eval()
        sums, count = np.zeros(3), 0
        with torch.no_grad():
            for losses, patches in self.judged(validation):
                sums += patches * np.array([float(self.total(losses)), float(losses.layers), float(losses.final)])
                count += patches
        return dict(zip(("loss", "layers", "final"), (sums / count).tolist(), strict=True))

    @abstractmethod
    def judged(self, validation: BagSet) -> Iterator[tuple[PatchDistillation, int]]:
        """Losses of parts of the validation slides, with the number of coarse patches that each is a mean of."""


class EncoderDistillation(Distillation):
    """All weights of the encoder's copy learn, from batches of coarse patches.

    Normalisations keep the statistics that the fine patches gave them, so that every batch is seen as it will be in prediction.

    Parameters
    ----------
    model
        Of `taps_of`.
    bags, settings
        See `Recipe`.
    spec
        What the encoder expects of pixels.
    widths
        Numbers of each tapped layer.
    """

    def __init__(
        self,
        model: nn.Module,
        bags: CoarsePatches,
        settings: DistillationSettings,
        spec: EncoderSpec,
        widths: Sequence[int],
    ) -> None:
        super().__init__(model, bags, settings)
        self._spec, self._widths, self._slides = spec, list(widths), bags.slides

    def phases(self, epoch: int, random: np.random.Generator) -> list[Phase]:
        """Coarse patches of all slides in random order."""
        keys = np.arange(len(self._slides))
        if self.settings.patches:
            shuffled = random.permutation(keys)
            keys = _first_of_each(shuffled, self._slides[shuffled], self.settings.patches)
        return [("patches", in_batches(random.permutation(keys), self.settings.batch))]

    def step(self, phase: str, batch: NDArray[np.int64], bags: Mapping[int, Bag]) -> dict[str, float]:
        """One batch of coarse patches."""
        self.model.eval()
        return self.minimise(self._losses([cast("CoarsePatch", bags[key]) for key in batch.tolist()]))

    def judged(self, validation: BagSet) -> Iterator[tuple[PatchDistillation, int]]:
        """Batch by batch; where not all patches of a slide are used, always the same ones, evenly spread."""
        slides = cast("CoarsePatches", validation).slides
        keys = np.arange(len(slides))
        if self.settings.patches:
            keys = np.concatenate([_spread(keys[slides == slide], self.settings.patches) for slide in np.unique(slides)])
        waiting: list[CoarsePatch] = []
        for number, (_, patch) in enumerate(load_ahead(validation, keys.tolist(), 2 * self.settings.batch)):
            waiting.append(cast("CoarsePatch", patch))
            if len(waiting) == self.settings.batch or number == len(keys) - 1:
                yield self._losses(waiting), len(waiting)
                waiting = []

    def _losses(self, patches: Sequence[CoarsePatch]) -> PatchDistillation:
        device = self.device
        pixels = normalised(np.stack([patch.pixels for patch in patches]), self._spec, device)
        with self.autocast():
            coarse = cast("Taps", self.model(pixels))  # type: ignore[arg-type]
        fine = Taps(
            (),
            _stacked((patch.layers for patch in patches), device).split(self._widths, dim=2),
            _stacked((patch.final for patch in patches), device),
        )
        if not self.settings.layer_weight:
            coarse, fine = Taps((), (), coarse.final), Taps((), (), fine.final)
        present, attention = (
            _stacked((getattr(patch, name) for patch in patches), device) for name in ("present", "attention")
        )
        return patch_distillation(coarse, fine, present, attention)


class AdapterDistillation(Distillation):
    """A `FeatureAdapter` learns from the features of both magnifications, a slide a step; there are no layers to compare.

    Parameters
    ----------
    mpps
        Coarse and fine.
    """

    def __init__(self, model: nn.Module, bags: TaughtSlides, settings: DistillationSettings, mpps: tuple[float, float]) -> None:
        super().__init__(model, bags, settings)
        self._mpps = mpps

    def phases(self, epoch: int, random: np.random.Generator) -> list[Phase]:
        """Slides in random order."""
        return [("slides", in_batches(random.permutation(len(self.bags)), 1))]

    def step(self, phase: str, batch: NDArray[np.int64], bags: Mapping[int, Bag]) -> dict[str, float]:
        """Coarse patches of one slide, drawn where there are too many for one step."""
        self.model.train()
        slide = cast("TaughtSlide", bags[int(batch[0])])
        there = (slide.children_rows >= 0).any(dim=1).nonzero()[:, 0]
        rows = there[torch.randperm(len(there))[: self.settings.patches or AT_ONCE]]
        return self.minimise(self._losses(slide, rows))

    def judged(self, validation: BagSet) -> Iterator[tuple[PatchDistillation, int]]:
        """Every coarse patch that has a child."""
        for _, bag in load_ahead(validation, range(len(validation))):
            slide = cast("TaughtSlide", bag)
            for rows in (slide.children_rows >= 0).any(dim=1).nonzero()[:, 0].split(AT_ONCE):
                yield self._losses(slide, rows), len(rows)

    def _losses(self, slide: TaughtSlide, rows: Tensor) -> PatchDistillation:
        coarse, fine = self._mpps
        children = slide.children_rows[rows]
        there, at = children >= 0, children.clamp(min=0)
        wanted = slide.features(fine)[at].to(self.device)
        with self.autocast():
            adapted = self.model(slide.features(coarse, rows).to(self.device))  # type: ignore[arg-type]
        return patch_distillation(
            Taps((), (), cast("Tensor", adapted)),
            Taps((), (), wanted),
            there.to(self.device),
            slide.attention[at].to(self.device),
        )


def _stacked(tensors: Iterable[Tensor], device: torch.device) -> Tensor:
    return torch.stack(list(tensors)).to(device)


def _first_of_each(keys: NDArray[np.int64], slides: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first `count` keys of each slide, sorted."""
    order = np.argsort(slides, kind="stable")
    _, starts, sizes = np.unique(slides[order], return_index=True, return_counts=True)
    place = np.arange(len(keys)) - np.repeat(starts, sizes)
    return np.sort(keys[order][place < count])


def _spread(keys: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the keys, evenly."""
    return keys if len(keys) <= count else keys[np.linspace(0, len(keys) - 1, count).astype(np.int64)]
