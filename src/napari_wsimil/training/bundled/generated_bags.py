"""Bags of generated slides: made, opened, tiled and encoded exactly as a user's slide is."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from napari_wsimil.bags import SlideBag
from napari_wsimil.files import written_whole
from napari_wsimil.patches import find_tissue
from napari_wsimil.samples import make_sample_slide
from napari_wsimil.slides import open_slide

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_wsimil.encoders import Encoder
    from napari_wsimil.patches import PatchSpec


def kind_of(seed: int) -> str:
    """Even seeds have tumour."""
    return "normal" if seed % 2 else "tumour"


def bag_features(seed: int, size: int, encoder: Encoder, spec: PatchSpec, work: Path) -> NDArray[np.float32]:
    """(N, D) features of the generated slide `seed` of `size` px, kept in the folder `work` for the next time."""
    kept = work / f"{seed}-{size}-{encoder.digest}-{spec.digest}.npy"
    if kept.exists():
        return np.asarray(np.load(kept, allow_pickle=False))
    with TemporaryDirectory(dir=work) as folder:
        path = make_sample_slide(f"{folder}/slide.tiff", kind=kind_of(seed), seed=seed, size=size)  # type: ignore[arg-type]
        with open_slide(path) as slide:
            bag = SlideBag(slide, encoder, [spec], tissue=find_tissue(slide, spec.tissue_method))
            features = bag.features(spec.mpp).numpy()
    with written_whole(kept) as part, part.open("wb") as file:
        np.save(file, features)
    return features
