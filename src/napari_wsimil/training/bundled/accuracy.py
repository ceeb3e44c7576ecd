"""How well a model finds tumour on generated slides that it was never trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wsimil.inference import predict
from napari_wsimil.samples import make_sample_slide, read_truth, tumour_fraction
from napari_wsimil.training.bundled.generated_bags import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.packages import Model


@dataclass(frozen=True)
class SlideResult:
    """One slide: the truth, the model's probability of tumour, and how its patches compare with the truth polygons.

    `attention_auc` and `instance_auc` are areas under the ROC curve over the slide's patches, a patch being positive where at
    least half of it lies in a focus; None on slides without both kinds of patches.
    """

    seed: int
    tumour: bool
    probability: float
    patches: int
    attention_auc: float | None = None
    instance_auc: float | None = None


@dataclass(frozen=True)
class Accuracy:
    """Figures over all slides; intervals are 95 % bootstrap."""

    slides: int
    slide_auc: float
    slide_auc_interval: tuple[float, float]
    slide_accuracy: float
    patch_slides: int
    attention_auc: float
    attention_auc_least: float
    instance_auc: float
    results: tuple[SlideResult, ...]

    def summary(self) -> dict[str, Any]:
        """The figures without the single slides."""
        return {name: value for name, value in asdict(self).items() if name != "results"}


def measure(
    model: Model,
    seeds: Sequence[int],
    *,
    patch_slides: int = 10,
    size: int = 6144,
    on_slide: Callable[[SlideResult], None] | None = None,
) -> Accuracy:
    """Make one slide per seed, even seeds with tumour, predict it and compare.

    The first `patch_slides` slides with tumour give the patch figures.
    """
    results = []
    with TemporaryDirectory() as folder:
        for seed in seeds:
            path = make_sample_slide(Path(folder) / "slide.tiff", kind=kind_of(seed), seed=seed, size=size)  # type: ignore[arg-type]
            results.append(_compare(seed, path, predict(path, model)))
            if on_slide is not None:
                on_slide(results[-1])
    return _summarise(results, patch_slides)


def _compare(seed: int, path: Path, prediction: SlidePrediction) -> SlideResult:
    foci = read_truth(path)
    positive = prediction.positive_class
    attention = next(iter(prediction.attention.values()))
    probability = float(prediction.probabilities[positive])
    if not foci:
        return SlideResult(seed, False, probability, len(attention))
    inside = tumour_fraction(foci, attention.xy, attention.size_level0) >= 0.5
    instances = next(iter(prediction.instances.values())).column(prediction.classes.index(positive))
    return SlideResult(
        seed,
        True,
        probability,
        len(attention),
        _area(inside, attention.values),
        _area(inside, instances.values),
    )


def _area(truth: NDArray[np.bool_], score: NDArray[np.float32]) -> float | None:
    """Area under the ROC curve; None where all patches are alike, since there is nothing to tell apart then."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, score)) if truth.any() and not truth.all() else None


def _summarise(results: Sequence[SlideResult], patch_slides: int) -> Accuracy:
    from sklearn.metrics import roc_auc_score

    truth = np.array([result.tumour for result in results])
    probability = np.array([result.probability for result in results])
    measured = [result for result in results if result.attention_auc is not None][:patch_slides]
    if not measured:
        raise ValueError("No slide has patches both inside and outside a tumour focus; measure larger slides or more of them.")
    attention = [result.attention_auc for result in measured if result.attention_auc is not None]
    instances = [result.instance_auc for result in measured if result.instance_auc is not None]
    return Accuracy(
        slides=len(results),
        slide_auc=float(roc_auc_score(truth, probability)),
        slide_auc_interval=_interval(truth, probability),
        slide_accuracy=float(((probability >= 0.5) == truth).mean()),
        patch_slides=len(measured),
        attention_auc=float(np.mean(attention)),
        attention_auc_least=float(np.min(attention)),
        instance_auc=float(np.mean(instances)),
        results=tuple(results),
    )


def _interval(truth: NDArray[np.bool_], score: NDArray[np.float64], draws: int = 1000) -> tuple[float, float]:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    chosen = [rng.integers(0, len(truth), len(truth)) for _ in range(draws)]
    areas = [roc_auc_score(truth[rows], score[rows]) for rows in chosen if 0 < truth[rows].sum() < len(rows)]
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)
