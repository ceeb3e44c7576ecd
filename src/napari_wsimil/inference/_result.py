"""From what a network gave to what a user gets."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_wsimil import __version__
from napari_wsimil.inference.prediction import PatchScores, PatchSet, SlidePrediction
from napari_wsimil.mil.precision import precise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_wsimil.bags import Bag, SlideBag
    from napari_wsimil.mil import MILOutput, Selection
    from napari_wsimil.packages import Model
    from napari_wsimil.patches import PatchGrid
    from napari_wsimil.slides import Slide


@dataclass(frozen=True)
class Run:
    """What produced an output.

    Attributes
    ----------
    seconds
        Stage -> seconds, "total" included.
    notices
        Sentences that the user must see.
    """

    slide: Slide
    model: Model
    bag: SlideBag
    device: torch.device
    seconds: dict[str, float]
    notices: tuple[str, ...]


def assemble(output: MILOutput, run: Run) -> SlidePrediction:
    """Put coordinates and provenance to the numbers of a network."""
    plain = run.model.mil.probabilities(output.logits).double().cpu().numpy()
    calibration = run.model.spec.calibration
    probabilities = plain if calibration is None else calibration.apply(plain)
    evidence = output.instance_logits or {}

    def scores(tables: Mapping[float, Tensor] | None) -> dict[float, PatchScores]:
        return {mpp: _scores(run.bag.grid(mpp), values, output.rows.get(mpp)) for mpp, values in (tables or {}).items()}

    return SlidePrediction(
        probabilities=_by_class(run, probabilities),
        attention=scores(output.attention),
        class_attention=scores(output.class_attention),
        instances=scores({mpp: torch.softmax(precise(logits), dim=1) for mpp, logits in evidence.items()}),
        regions=scores(output.regions),
        anchors=_chosen(run.bag, output.anchors) if output.anchors is not None else None,
        zoom={mpp: _chosen(run.bag, chosen) for mpp, chosen in output.zoom.items()} if output.zoom is not None else None,
        provenance=_provenance(run) | {"calibration": _about_calibration(run, plain)},
    )


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


def _chosen(bag: Bag, chosen: Selection) -> PatchSet:
    grid, rows = bag.grid(chosen.mpp), chosen.rows.cpu().numpy()
    return PatchSet(grid.xy[rows], grid.size_level0, chosen.scores.float().cpu().numpy())


def _provenance(run: Run) -> dict[str, Any]:
    spec, encoder = run.model.spec, run.model.encoder
    return {
        "slide": _about_slide(run.slide),
        "model": {
            "id": run.model.id,
            "title": run.model.title,
            "digest": run.model.digest,
            "source": run.model.source,
            "method": spec.method,
            "positive_class": run.model.positive_class,
        },
        "encoder": {"id": encoder.id, "digest": encoder.digest},
        "patches": {
            "mpp": list(spec.mpps),
            "size": spec.patch_size,
            "stride": spec.stride,
            "resampling": spec.resampling,
            "colour": spec.colour,
            "digest": {f"{patches.mpp:g}": patches.digest for patches in spec.patch_specs()},
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
        "path": str(slide.path),
        "name": slide.name,
        "fingerprint": slide.fingerprint,
        "width": slide.width,
        "height": slide.height,
        "mpp": list(slide.mpp) if slide.mpp else None,
        "mpp_source": slide.mpp_source,
        "origin": list(slide.origin),
    }
