"""From what a network gave to what a user gets."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from napari_wsimil import __version__
from napari_wsimil.errors import printable
from napari_wsimil.inference.prediction import PatchScores, PatchSet, SlidePrediction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.inference.options import PatchOptions
    from napari_wsimil.mil import MILOutput, Selection
    from napari_wsimil.packages import Model
    from napari_wsimil.patches import PatchGrid, PatchSpec, TissueMask
    from napari_wsimil.slides import Slide


class Named(Protocol):
    """Whoever has a name and a digest."""

    @property
    def id(self) -> str:
        """For people."""

    @property
    def digest(self) -> str:
        """For sure."""


class LookedAt(Protocol):
    """What is asked of a bag when a model has looked at it."""

    @property
    def mpps(self) -> tuple[float, ...]:
        """Magnifications in µm per pixel, coarse to fine."""

    @property
    def encoder(self) -> Named:
        """What made the features."""

    @property
    def precision(self) -> str:
        """What it computed in."""

    @property
    def encoded(self) -> Mapping[float, int]:
        """Mpp -> patches that had to be encoded."""

    def grid(self, mpp: float) -> PatchGrid:
        """Return the patches at `mpp`."""


@dataclass(frozen=True)
class Run:
    """What produced an output.

    Attributes
    ----------
    slide
        None: nobody knows of which slide the features are.
    seconds
        Stage -> seconds, "total" included.
    notices
        Sentences that the user must see.
    specs
        How patches were cut, one for each magnification.
    options
        What the user chose.
    tissue
        Where patches were looked for.
    """

    slide: Slide | None
    model: Model
    bag: LookedAt
    device: torch.device
    seconds: dict[str, float]
    notices: tuple[str, ...]
    specs: tuple[PatchSpec, ...]
    options: PatchOptions
    tissue: TissueMask | None = None


def assemble(outputs: Sequence[MILOutput], run: Run) -> SlidePrediction:
    """Put coordinates and provenance to the numbers of a network.

    Where it looked at several magnifications one by one, there is an output for each, coarse to fine: the probabilities are
    averaged, heatmaps stand side by side, and boxes are those of the finest.
    """
    plain = np.mean([run.model.mil.probabilities(output.logits).double().cpu().numpy() for output in outputs], axis=0)
    calibration = run.model.spec.calibration
    probabilities = plain if calibration is None else calibration.apply(plain)
    finest = outputs[-1]

    def scores(name: str) -> dict[float, PatchScores]:
        return {
            mpp: _scores(run.bag.grid(mpp), values, output.rows.get(mpp))
            for output in outputs
            for mpp, values in (getattr(output, name) or {}).items()
        }

    return SlidePrediction(
        probabilities=_by_class(run, probabilities),
        attention=scores("attention"),
        class_attention=scores("class_attention"),
        instances={mpp: _softmaxed(table) for mpp, table in scores("instance_logits").items()},
        regions=scores("regions"),
        anchors=_chosen(run.bag, finest.anchors) if finest.anchors is not None else None,
        zoom={mpp: _chosen(run.bag, chosen) for mpp, chosen in finest.zoom.items()} if finest.zoom is not None else None,
        provenance=_provenance(run) | {"calibration": _about_calibration(run, plain)},
        tissue=run.tissue,
    )


def _softmaxed(table: PatchScores) -> PatchScores:
    """Probabilities from (N, C) evidence."""
    return replace(table, values=torch.softmax(torch.from_numpy(table.values), dim=1).numpy())


def _by_class(run: Run, probabilities: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(run.model.classes, probabilities.tolist(), strict=True))


def _about_calibration(run: Run, plain: NDArray[np.float64]) -> dict[str, Any] | None:
    """What was done to the probabilities of the network, and what they were; None where they stay as they are."""
    calibration = run.model.spec.calibration
    if calibration is None or not calibration.scales:
        return None
    return {**calibration.model_dump(include={"method", "temperature", "cases"}), "before": _by_class(run, plain)}


def _scores(grid: PatchGrid, values: Tensor, rows: Tensor | None) -> PatchScores:
    xy = grid.xy if rows is None else grid.xy[rows.cpu().numpy()]
    return PatchScores(xy, grid.size_level0, values.float().cpu().numpy(), grid.stride_level0)


def _chosen(bag: LookedAt, chosen: Selection) -> PatchSet:
    grid, rows = bag.grid(chosen.mpp), chosen.rows.cpu().numpy()
    return PatchSet(grid.xy[rows], grid.size_level0, chosen.scores.float().cpu().numpy())


def _provenance(run: Run) -> dict[str, Any]:
    spec, encoder = run.model.spec, run.bag.encoder
    finest = run.specs[-1]
    return {
        **({} if run.slide is None else {"slide": _about_slide(run.slide)}),
        "model": {
            "id": run.model.id,
            "title": run.model.title,
            "digest": run.model.digest,
            "source": run.model.source,
            "method": spec.method,
            "positive_class": run.model.positive_class,
        },
        "encoder": {"id": encoder.id, "digest": encoder.digest, "precision": run.bag.precision},
        "patches": {
            "mpp": [patches.mpp for patches in run.specs],
            "size": finest.size,
            "stride": finest.stride,
            "resampling": finest.resampling,
            "colour": finest.colour,
            "normalisation": finest.normalisation,
            "digest": {f"{patches.mpp:g}": patches.digest for patches in run.specs},
            "options": run.options.as_json(),
            "counts": {f"{mpp:g}": len(run.bag.grid(mpp)) for mpp in run.bag.mpps},
            "encoded": {f"{mpp:g}": count for mpp, count in run.bag.encoded.items()},
        },
        "device": str(run.device),
        "seconds": {stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "notices": list(run.notices),
        "versions": {
            "napari-wsimil": __version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _about_slide(slide: Slide) -> dict[str, Any]:
    return {
        "path": printable(str(slide.path)),
        "name": slide.name,
        "fingerprint": slide.fingerprint,
        "width": slide.width,
        "height": slide.height,
        "mpp": list(slide.mpp) if slide.mpp else None,
        "mpp_source": slide.mpp_source,
        "origin": list(slide.origin),
    }
